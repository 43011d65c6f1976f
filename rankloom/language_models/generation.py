"""Writing text with a model of transformers, a batch at a time. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from rankloom.encoders import readable
from rankloom.errors import StageError
from rankloom.extras import require
from rankloom.language_model import Prompt
from rankloom.language_models.prefix import Prefixes

_STAGE = "local language model"
_SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_UNLIMITED = 10**9  # tokenizers that know no limit say some number above this one


class Output(NamedTuple):
    """What was written for one prompt.

    Args:
        text: The text, without special tokens.
        tokens: How many tokens were written, the one that ends the text included.
        cut: Whether the limit has stopped it.
    """

    text: str
    tokens: int
    cut: bool


class Drawing(NamedTuple):
    """How tokens are drawn.

    Args:
        temperature: Above 0.
        top_p: The probability of the tokens that may be drawn.
        seeds: One for each prompt of a batch.
    """

    temperature: float
    top_p: float
    seeds: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """A loaded model.

    Args:
        model: Of transformers.
        tokenizer: Its tokenizer.
        ends: Tokens that end a text.
        padding: The token that fills up prompts.
        limit: Tokens that it reads, for a causal model output included; None if nobody says.
    """

    model: Any
    tokenizer: Any
    ends: tuple[int, ...]
    padding: int
    limit: int | None

    @property
    def has_template(self) -> bool:
        """Whether there is a chat template."""
        return bool(self.tokenizer.chat_template)

    @property
    def reads_apart(self) -> bool:
        """Whether prompts are read by an encoder, apart from the output."""
        return bool(self.model.config.is_encoder_decoder)

    def most_tokens(self, max_tokens: int) -> int | None:
        """How long a prompt may be for an output of some length; None if there is no limit."""
        return self.limit if self.limit is None or self.reads_apart else self.limit - max_tokens

    def plain_tokens(self, prompt: Prompt) -> list[int]:
        """A prompt as it is, the system text and a blank line before it."""
        text = f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text
        return list(self.tokenizer(readable(text), verbose=False)["input_ids"])

    def chat_tokens(self, prompt: Prompt, options: Mapping[str, Any]) -> list[int]:
        """A prompt in the chat template, up to where the model begins to write."""
        from jinja2 import TemplateError

        request = {"role": "user", "content": readable(prompt.text)}
        system = [{"role": "system", "content": readable(prompt.system)}] if prompt.system else []
        try:
            text = self._in_template([*system, request], options)
        except TemplateError:  # as Gemma's, which knows no system text
            request["content"] = readable(f"{prompt.system}\n\n{prompt.text}")
            text = self._in_template([request], options)
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _in_template(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> str:
        """Messages as the template writes them."""
        return str(
            self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True, **options)
        )


class _Drawn(LogitsProcessor):
    """Makes the largest score that of a token drawn at random, each row with a generator of its own.

    The Gumbel-max trick: of `log(probability) + Gumbel noise`, the largest is a draw from the probabilities. So rows of
    a batch are drawn independently of one another, which `generate` with one generator for all can not do.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._temperature, self._top_p = drawing.temperature, drawing.top_p
        self._generators = [torch.Generator().manual_seed(seed) for seed in drawing.seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  # as called
        """The scores of the next tokens, with noise."""
        logits = scores.float() / self._temperature
        if self._top_p < 1:
            ordered, places = logits.softmax(-1).sort(-1, descending=True)
            before = ordered.cumsum(-1) - ordered  # of the likelier tokens; the likeliest always stays
            unlikely = torch.zeros_like(before, dtype=torch.bool).scatter(-1, places, before >= self._top_p)
            unlikely.scatter_(-1, places[:, :1], value=False)
            logits = logits.masked_fill(unlikely, -torch.inf)
        noise = torch.stack([torch.empty(logits.shape[-1]).exponential_(generator=one) for one in self._generators])
        return logits - noise.log().to(logits.device)


def generate_batch(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    drawing: Drawing | None,
    prefixes: Prefixes | None = None,
) -> list[Output]:
    """What the model writes for some prompts.

    Args:
        writer: The model.
        prompts: Tokens of each.
        max_tokens: Limit of each output.
        drawing: How tokens are drawn; None takes the most likely each time.
        prefixes: What need not be read again of what the prompts begin with; None reads all.
    """
    begun, cache = (0, None) if prefixes is None else prefixes.of(prompts)
    tokens, mask = padded(writer, prompts, begun)
    device, width = writer.model.device, tokens.shape[1]
    with torch.inference_mode():
        written = writer.model.generate(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            **({} if cache is None else {"past_key_values": cache}),
            max_new_tokens=max_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([] if drawing is None else [_Drawn(drawing)]),
        )
    begun = 1 if writer.reads_apart else width
    return [_output(writer, row, max_tokens) for row in written[:, begun:].tolist()]


def padded(writer: Writer, prompts: Sequence[Sequence[int]], begun: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as rows of equal length, and which tokens are theirs; int64 of shape (prompts, longest) each.

    Args:
        writer: The model. An encoder's padding stands behind. A causal model writes on behind its prompt: padding
            stands before it, but behind what has been read.
        prompts: Tokens of each.
        begun: How many tokens of each, from the first, have been read.
    """
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), writer.padding)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        rest = len(prompt) - begun
        place = slice(begun, begun + rest) if writer.reads_apart else slice(width - rest, width)
        tokens[row, place], mask[row, place] = torch.tensor(prompt[begun:]), 1
        tokens[row, :begun], mask[row, :begun] = torch.tensor(prompt[:begun], dtype=torch.long), 1
    return tokens, mask


def _output(writer: Writer, row: list[int], max_tokens: int) -> Output:
    """One output, of the tokens up to the one that ends it."""
    end = next((place for place, token in enumerate(row) if token in writer.ends), None)
    own = row if end is None else row[: end + 1]
    text = writer.tokenizer.decode(own, skip_special_tokens=True)
    return Output(text, len(own), cut=end is None and len(own) >= max_tokens)


def _own_tokenizer(folder: str, changed: Any) -> Any:
    """The tokenizer that was saved with an adapter, which may have another chat template; else its model's.

    Raises:
        StageError: Its tokens are not those of the model.
    """
    if not (Path(folder) / "tokenizer_config.json").is_file():
        return changed
    own = transformers.AutoTokenizer.from_pretrained(folder, **_SAFE)
    if own.get_vocab() != changed.get_vocab():
        raise StageError(
            "the adapter's tokenizer has other tokens than its model's",
            stage=_STAGE,
            value=folder,
            fix="merge the adapter into its model with peft, and take the folder that this leaves",
        )
    return own


def load_writer(folder: str, device: str, dtype: Any, *, changed: str | None = None) -> Writer:
    """A causal or encoder-decoder model from a folder.

    Args:
        folder: The model, or an adapter of peft, which is merged into the one that it changes.
        device: Where it computes.
        dtype: Of torch.
        changed: The folder of the model that an adapter changes.

    Raises:
        StageError: The folder's weights are not all that such a model needs.
        MissingExtraError: It is an adapter, and peft is not installed.
    """
    if changed is not None:
        peft = require("peft", extra="train", stage=_STAGE)
        writer = load_writer(changed, device, dtype)
        merged = peft.PeftModel.from_pretrained(writer.model, folder).merge_and_unload()
        return replace(writer, model=merged.eval(), tokenizer=_own_tokenizer(folder, writer.tokenizer))
    safe = _SAFE
    config = transformers.AutoConfig.from_pretrained(folder, **safe)
    family = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
    load: Any = family.from_pretrained  # what it returns depends on an argument
    model, told = load(folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **safe)
    if told["missing_keys"]:
        raise StageError(
            "the model writes no text: its head has no weights",
            stage=_STAGE,
            value=min(told["missing_keys"]),
            fix="take a causal or an encoder-decoder language model",
        )
    own = model.generation_config
    ends = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    ends = tuple(ends) if isinstance(ends, list | tuple) else () if ends is None else (ends,)
    padding = next((one for one in (tokenizer.pad_token_id, own.pad_token_id, *ends) if one is not None), 0)
    # nothing of what the model's file says of sampling and penalties
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=list(ends) or None,
        pad_token_id=padding,
        bos_token_id=own.bos_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
    )
    return Writer(model.to(device).eval(), tokenizer, ends, padding, _limit(config, tokenizer))


def _limit(config: Any, tokenizer: Any) -> int | None:
    """Tokens that a model reads at most; None if neither it nor its tokenizer says."""
    positions = (
        None if config.is_encoder_decoder else getattr(config.get_text_config(), "max_position_embeddings", None)
    )
    known = [limit for limit in (positions, tokenizer.model_max_length) if limit and limit < _UNLIMITED]
    return min(known, default=None)
