"""The seam to language models: prompts in, completions out, each paid for once.

A backend (an HTTP API, a model on this machine, a recording) is a `LanguageModel` and knows nothing of caches;
`complete` asks it for what the session's cache does not hold, and keeps each answer as soon as it is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from rankloom.cache import Cache
from rankloom.codec import pack, unpack
from rankloom.errors import DataError, StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.session import Session
from rankloom.thoughts import without_thought

_FORMAT = "completion 3"  # part of every key
_BYTES, _FRAME = 3, 16  # of a token, where nobody counts them (English text has 4 to 5); tokens around a prompt
_ONLY_THOUGHT = "only a thought; allow more tokens, or switch thinking off (local: template_options; a server: body)"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a language model is asked.

    Args:
        text: The request.
        system: Instructions that stand before it, for models that tell the two apart; may be empty.
        sample: Which of several outputs for the same request. A model that draws its outputs at random draws another
            for each; one that does not gives the same.
    """

    text: str
    system: str = ""
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a language model says.

    Args:
        text: The output.
        read: Tokens of the prompt, as the backend counts them.
        written: Tokens of the output.
        cut: Whether the output was stopped before its end, mostly at its limit of tokens.
    """

    text: str
    read: int = 0
    written: int = 0
    cut: bool = False


class LanguageModel(ABC):
    """A backend. Equal fingerprints promise equal completions, as far as the model can promise that.

    Attributes:
        name: What ledgers and prices call the model.
        greedy: Whether equal requests get equal outputs whatever their `sample`, so that several are pointless.
        requires: Optional modules that it runs on; an experiment looks for them before it begins.
        knows_room: Whether `room` tells anything.
        context_tokens: What it is said to read, prompt and output together, where the fingerprint does not tell.
    """

    name: str = ""
    greedy: bool = False
    knows_room: bool = False
    context_tokens: int | None = None
    requires: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the model and of all that changes its output, such as the temperature; never of a key."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        """Each prompt with its completion, as soon as that is there, in any order.

        What has been given back before an error is kept, so nothing that was paid for is lost.

        Args:
            prompts: Some prompts, all different; a backend may send them side by side.
            max_tokens: Limit of each output.
            session: Device, seed, and whether sockets may be opened.
        """

    @classmethod
    def named_by(cls, given: Mapping[str, Any]) -> str:
        """The `name` of a model with some parameters, without making it: by default that of the parameter `name`."""
        return str(given.get("name", cls.name))

    def numerics(self, session: Session) -> str:
        """A digest of what of the session changes outputs: its seed, where they are drawn, and its dtype.

        It belongs to every key. A backend that computes elsewhere leaves the dtype out.
        """
        return digest(None if self.greedy else session.seed, session.dtype)

    def recall(
        self,
        prompts: Sequence[Prompt],  # noqa: ARG002  # most remember nothing
        *,
        max_tokens: int,  # noqa: ARG002  # likewise
        session: Session,  # noqa: ARG002  # likewise
    ) -> Mapping[Prompt, Completion]:
        """Completions that are known without asking, such as recorded ones: they count as cached, and cost nothing."""
        return {}

    def room(self, max_tokens: int, session: Session) -> int | None:  # noqa: ARG002  # most do not know
        """How many tokens a prompt may have besides an output of so many; None if nobody knows."""
        return None

    def prompt_tokens(self, prompts: Sequence[Prompt], session: Session) -> list[int]:  # noqa: ARG002  # by default
        """How many tokens prompts have, with all that stands around them; by default an estimate, rather too high."""
        return [-(-len(f"{one.system}{one.text}".encode("utf-8", "replace")) // _BYTES) + _FRAME for one in prompts]

    def resolve(self, session: Session) -> None:  # noqa: B027  # most have nothing to look for
        """Find what is needed, without loading it; afterwards the fingerprint does not change."""

    def load(self, session: Session) -> None:  # noqa: B027  # likewise
        """Get ready now rather than on first use."""

    def close(self) -> None:  # noqa: B027  # likewise
        """Free what was loaded."""


class Completed(NamedTuple):
    """Completions and what they cost this time.

    Args:
        completions: One for each prompt, in order.
        cached: How many prompts were answered by the cache, or by what the model recalls.
        calls: How many prompts the model was sent.
        tokens: What it read and wrote for these.
        written: What of it it wrote.
    """

    completions: list[Completion]
    cached: int
    calls: int
    tokens: int
    written: int


def complete(
    model: LanguageModel, prompts: Sequence[Prompt], *, max_tokens: int, session: Session, stage: str
) -> Completed:
    """Ask a language model; equal prompts once, and those that the session's cache knows not at all.

    Each completion is in the cache as soon as the model has given it: after an error, or when the process is killed,
    the next call asks only for the rest. A completion without text is not kept: it may be a server's hiccup, and the
    next call asks again.

    Args:
        model: The backend.
        prompts: What to ask, equal ones or not.
        max_tokens: Limit of each output.
        session: Its cache remembers completions.
        stage: Who asks, for errors and the cache's bookkeeping.

    Raises:
        StageError: The model gave a completion that was not asked for, or did not give one that was.
    """
    keys = _keys(model, prompts, max_tokens, session)
    known = known_completions(model, prompts, max_tokens=max_tokens, session=session)
    cached = sum(prompt in known for prompt in prompts)
    missing = [prompt for prompt in keys if prompt not in known]
    fresh: dict[Prompt, Completion] = {}
    with session.progress.task(stage, len(missing)) as advance:
        for prompt, answer in _asked(model, missing, max_tokens=max_tokens, session=session, stage=stage):
            if session.cache is not None and answer.text.strip():
                session.cache.put({keys[prompt]: _packed(answer)}, stage=stage)
            fresh[prompt] = answer
            advance(1)
    written = sum(answer.written for answer in fresh.values())
    tokens = written + sum(answer.read for answer in fresh.values())
    known.update(fresh)
    return Completed([known[prompt] for prompt in prompts], cached, len(fresh), tokens, written)


def known_completions(
    model: LanguageModel, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
) -> dict[Prompt, Completion]:
    """What need not be asked: completions that the session's cache holds, or that the model recalls.

    Args:
        model: The backend.
        prompts: What is to be asked.
        max_tokens: Limit of each output.
        session: Its cache remembers completions.
    """
    keys = _keys(model, prompts, max_tokens, session)
    known = _known(session.cache, keys)
    known.update(model.recall([one for one in keys if one not in known], max_tokens=max_tokens, session=session))
    return known


def output_notes(completion: Completion, *, stage: str, query_id: str, doc_id: str = "") -> list[Note]:
    """What the ledger should know of an output: that it was cut, or says nothing, be it but for a thought.

    Args:
        completion: The output.
        stage: Who asked.
        query_id: For which query.
        doc_id: About which document, if it is about one.
    """
    notes = []
    if completion.cut:
        notes.append(Note(stage, "cut_output", query_id, doc_id, amount=completion.written))
    if not without_thought(completion.text).strip():
        detail = _ONLY_THOUGHT if completion.text.strip() else "it counts for nothing"
        notes.append(Note(stage, "empty_output", query_id, doc_id, detail=detail))
    return notes


def checked_model(model: object, *, stage: str) -> LanguageModel:
    """The model, if it is one.

    Raises:
        UsageError: It is something else, such as a name.
    """
    if not isinstance(model, LanguageModel):
        raise UsageError(
            "model is not a language model",
            stage=stage,
            value=model,
            accepted="a backend of rankloom.language_models, or a subclass of LanguageModel",
        )
    return model


def _asked(
    model: LanguageModel, prompts: Sequence[Prompt], *, max_tokens: int, session: Session, stage: str
) -> Iterator[tuple[Prompt, Completion]]:
    """What a model gives for some prompts, each exactly once."""
    due = dict.fromkeys(prompts)
    for prompt, answer in model.generate(prompts, max_tokens=max_tokens, session=session) if prompts else ():
        if prompt not in due:
            raise StageError("the model gave a completion that was not asked for", stage=stage, value=prompt.text)
        del due[prompt]
        yield prompt, answer
    if due:
        given = len(prompts) - len(due)
        raise StageError(f"the model gave {given} completions for {len(prompts)} prompts", stage=stage)


def _keys(model: LanguageModel, prompts: Sequence[Prompt], max_tokens: int, session: Session) -> dict[Prompt, str]:
    """The key of each prompt; equal prompts once."""
    model.resolve(session)
    common = digest(_FORMAT, model, max_tokens, model.numerics(session))
    return {prompt: digest(common, prompt.system, prompt.text, prompt.sample) for prompt in prompts}


def _packed(one: Completion) -> bytes:
    """A completion as bytes."""
    return pack({"text": one.text, "read": one.read, "written": one.written, "cut": one.cut}, {})


def _known(cache: Cache | None, keys: dict[Prompt, str]) -> dict[Prompt, Completion]:
    """The completions that the cache holds; a damaged one is asked for again."""
    known: dict[Prompt, Completion] = {}
    if cache is None:
        return known
    held, damaged = cache.get(keys.values()), []
    for prompt, key in keys.items():
        if key in held:
            try:
                values, _ = unpack(held[key])
            except DataError:
                damaged.append(key)
                continue
            known[prompt] = Completion(**values)  # type: ignore[arg-type]  # as packed
    cache.drop(damaged)
    return known
