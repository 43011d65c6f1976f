"""Language models on this machine: any causal or encoder-decoder model of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, get_args

from rankloom.checks import between, choice, whole
from rankloom.errors import DataError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, Prompt
from rankloom.likelihood import Continuation, Likelihood, ScoringModel
from rankloom.model_files import is_peft
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.parameter_kinds import NamesModel
from rankloom.session import Session

Layout = Literal["auto", "chat", "plain"]
_VERSION = 2  # raised when the same model gives other outputs
_STAGE = "local language model"
_NO_ORGANISATION = ""  # names on the hub are written in full


class Local(ScoringModel):
    """Completions and likelihoods by a model of transformers, found by name or folder; see `rankloom.models`.

    Prompts of similar length go through the model together, and each batch is kept as soon as it is done. Outputs are
    those of the weights alone: sampling, penalties and beams that the model's `generation_config.json` asks for are not
    used. By default the most likely token is taken each time. Drawn outputs have a seed of their own, made of the
    session's seed, the prompt and its `sample`, so they do not depend on the batch; but for float noise, which can tip
    the balance between two tokens, and which `batch_size=1` takes away.

    What the prompts of a call begin with in common, such as instructions, a causal model reads once (from 32 tokens on,
    and not with `batch_size=1`). An encoder looks at each prompt as a whole, so encoder-decoder models share nothing.

    A prompt that does not fit the model, together with the longest output, is an error: it is never cut. Stages find
    that out before the first prompt, and show fewer words of passages where there is no room for all.

    Args:
        name: A folder, or a name on the hub such as `Qwen/Qwen3-0.6B`; or an adapter of peft, such as Rank-R1's and
            those of `rankloom train`, which is merged into the model that it names. Weights must be safetensors; code
            that comes with a model is never run.
        temperature: 0 takes the most likely token; above it, tokens are drawn.
        top_p: Draw only from the most likely tokens that have this probability together.
        layout: `chat` puts prompts into the model's chat template, `plain` gives them as they are, after the system
            text and a blank line; `auto` is `chat` for a model that has a template. A template that takes no system
            text gets it at the head of the request.
        template_options: What the chat template is told besides, such as `{enable_thinking: false}`.
        batch_size: Prompts that go through the model together.

    Raises:
        UsageError: A parameter is out of range.

    Example:
        >>> Local("Qwen/Qwen3-0.6B").greedy
        True
    """

    requires = ("torch", "transformers")
    knows_room = True

    def __init__(
        self,
        name: Annotated[str, NamesModel(_NO_ORGANISATION)],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        layout: Layout = "auto",
        template_options: Mapping[str, Any] | None = None,
        batch_size: int = 8,
    ) -> None:
        self.name = name
        self.temperature = between(temperature, 0.0, 10.0, stage=_STAGE, parameter="temperature")
        self.top_p = between(top_p, 0.0, 1.0, stage=_STAGE, parameter="top_p")
        choice(layout, get_args(Layout), stage=_STAGE, parameter="layout")
        self.layout: Layout = layout
        self.template_options = dict(template_options or {})
        self.batch_size = whole(batch_size, least=1, stage=_STAGE, parameter="batch_size")
        self._loaded: LoadedModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the loaded model."""
        return {**self.__dict__, "_loaded": None}

    def __repr__(self) -> str:
        """The call that makes a model with the same outputs."""
        return f"Local({self.name!r}, temperature={self.temperature})"

    @property
    def greedy(self) -> bool:  # type: ignore[override]  # by the temperature
        """Whether the most likely tokens are taken."""
        return self.temperature == 0

    def fingerprint(self) -> str:
        """A digest of the model's files and of how tokens are chosen; of the name, as long as the model is not here."""
        files = model_identity(self.name, stage=_STAGE, organisation=_NO_ORGANISATION)
        drawn = [] if self.greedy else [self.temperature, self.top_p]
        return digest(_STAGE, _VERSION, files, drawn, self.layout, self.template_options)

    def resolve(self, session: Session) -> None:
        """Find the model; see `rankloom.models.resolve_model` for the errors."""
        self._found(session)

    def load(self, session: Session) -> None:
        """Load the model.

        Raises:
            NotFoundError: It is not to be had.
            StageError: It can not be loaded, or writes no text.
        """
        self._model(session)

    def close(self) -> None:
        """Free the model, unless another holds it too."""
        self._loaded = None

    def room(self, max_tokens: int, session: Session) -> int | None:
        """What the model reads besides an output; None if neither it nor its tokenizer says. Loads the model."""
        found: int | None = self._model(session).model.most_tokens(max_tokens)
        return found

    def prompt_tokens(self, prompts: Sequence[Prompt], session: Session) -> list[int]:
        """How many tokens prompts have in their layout."""
        loaded = self._model(session)
        with loaded.lock:
            return [len(self._tokens(loaded.model, prompt)) for prompt in prompts]

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        """Completions, batch by batch, those of the longest prompts first.

        Raises:
            DataError: A prompt is longer than the model reads; names how long it is, and may be.
            NotFoundError: The model is not to be had.
            StageError: It can not be loaded, or writes no text.
        """
        loaded = self._model(session)
        from rankloom.language_models.generation import Drawing, generate_batch
        from rankloom.language_models.prefix import Prefixes

        with loaded.lock:
            tokens = {prompt: self._tokens(loaded.model, prompt) for prompt in prompts}
        self._check_lengths(tokens, loaded.model.most_tokens(max_tokens))
        order = sorted(prompts, key=lambda prompt: -len(tokens[prompt]))
        prefixes = Prefixes(loaded.model, list(tokens.values())) if self.batch_size > 1 else None
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            drawing = None
            if not self.greedy:
                drawing = Drawing(self.temperature, self.top_p, [_seed(session, prompt) for prompt in batch])
            with loaded.lock:
                outputs = generate_batch(
                    loaded.model,
                    [tokens[prompt] for prompt in batch],
                    max_tokens=max_tokens,
                    drawing=drawing,
                    prefixes=prefixes,
                )
            for prompt, output in zip(batch, outputs, strict=True):
                yield prompt, Completion(output.text, len(tokens[prompt]), output.tokens, output.cut)

    def log_likelihoods(
        self, asked: Sequence[Continuation], *, session: Session
    ) -> Iterator[tuple[Continuation, Likelihood]]:
        """Likelihoods, batch by batch, those of the longest prompts first; `temperature` and `top_p` play no part.

        Continuations of one prompt that differ in their last token alone, such as labels, are told by one pass. After a
        plain prompt a continuation begins with a space, as a word of the same text does.

        Raises:
            DataError: A prompt with its continuation is longer than the model reads, or a continuation has no tokens.
            NotFoundError: The model is not to be had.
            StageError: It can not be loaded, or writes no text.
        """
        loaded = self._model(session)
        from rankloom.language_models.prefix import Prefixes
        from rankloom.language_models.scoring import continuation_tokens, rows_of, score_rows

        writer = loaded.model
        spaced = not writer.reads_apart and (self.layout == "plain" or not writer.has_template)
        with loaded.lock:
            prompts = {prompt: self._tokens(writer, prompt) for prompt in dict.fromkeys(one.prompt for one in asked)}
            texts = {one.text: continuation_tokens(writer, one.text, spaced=spaced) for one in asked}
        longest = max((len(tokens) for tokens in texts.values()), default=0)
        self._check_lengths(prompts, writer.most_tokens(longest))
        rows = rows_of((one, prompts[one.prompt], texts[one.text]) for one in asked)
        prefixes = Prefixes(writer, [row.prompt for row in rows]) if self.batch_size > 1 else None
        for start in range(0, len(rows), self.batch_size):
            with loaded.lock:
                told = list(score_rows(writer, rows[start : start + self.batch_size], prefixes))
            yield from told

    # --- inside ------------------------------------------------------------------------------------------------

    def _found(self, session: Session) -> ResolvedModel:
        """Where the model is."""
        found = resolve_model(self.name, offline=session.offline, stage=_STAGE, organisation=_NO_ORGANISATION)
        if found.backbone is not None and not is_peft(found.path):
            raise UsageError("this is an adapter of another model, and writes no text", stage=_STAGE, value=self.name)
        return found

    def _model(self, session: Session) -> LoadedModel:
        """The model in memory."""
        from rankloom.language_models.generation import load_writer

        found = self._found(session)
        load = partial(load_writer, changed=None if found.backbone is None else str(found.backbone.path))
        self._loaded = shared_model("language model", found, session, load, stage=_STAGE)
        return self._loaded

    def _tokens(self, writer: Any, prompt: Prompt) -> list[int]:
        """A prompt as the model reads it."""
        if self.layout == "chat" and not writer.has_template:
            raise UsageError("the model has no chat template", stage=_STAGE, value=self.name, fix="layout: plain")
        if self.layout != "plain" and writer.has_template:
            return list(writer.chat_tokens(prompt, self.template_options))
        return list(writer.plain_tokens(prompt))

    def _check_lengths(self, tokens: Mapping[Prompt, Sequence[int]], most: int | None) -> None:
        """Refuse prompts that the model can not read as a whole."""
        for prompt, held in tokens.items():
            if not held:
                raise DataError("a prompt is empty", stage=_STAGE, value=prompt.text)
            if most is not None and len(held) > most:
                raise DataError(
                    f"a prompt has {len(held)} tokens, and the model reads {max(0, most)} besides its output",
                    stage=_STAGE,
                    value=prompt.text,
                    fix="shorten what stands in the prompt (a stage's max_words), ask for a shorter output, or take a "
                    "model that reads more",
                )


def _seed(session: Session, prompt: Prompt) -> int:
    """The seed of one output."""
    return int(digest(session.seed, prompt.system, prompt.text, prompt.sample)[:15], 16)
