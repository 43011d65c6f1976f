"""The seam to language models: prompts in, completions out, each paid for once.

A backend (an HTTP API, a model on this machine, a recording) implements `LanguageModel` and knows nothing of caches;
`complete` asks it, in units, for what the session's cache does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rankloom.cache import Cache
from rankloom.codec import pack, unpack
from rankloom.errors import DataError, StageError
from rankloom.fingerprint import digest
from rankloom.session import Session

_FORMAT = "completion 1"  # part of every key
_UNIT = 16  # prompts sent and stored at a time: what a killed process loses at most


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a language model is asked.

    Args:
        text: The request.
        system: Instructions that stand before it, for models that tell the two apart; may be empty.
    """

    text: str
    system: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a language model says.

    Args:
        text: The output.
        read: Tokens of the prompt, as the backend counts them.
        written: Tokens of the output.
        cut: Whether the output was stopped at its limit of tokens.
    """

    text: str
    read: int = 0
    written: int = 0
    cut: bool = False


class LanguageModel(Protocol):
    """A backend. Equal fingerprints promise equal completions, as far as the model can promise that."""

    def fingerprint(self) -> str:
        """A digest of the model and of all that changes its output, such as the temperature; never of a key."""
        ...

    def generate(self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session) -> list[Completion]:
        """A completion for each prompt, in order.

        Args:
            prompts: Some prompts, all different; a backend may send them side by side.
            max_tokens: Limit of each output.
            session: Device, seed, and whether sockets may be opened.
        """
        ...


class Completed(NamedTuple):
    """Completions and what they cost this time.

    Args:
        completions: One for each prompt, in order.
        cached: How many prompts were answered by the cache.
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

    Args:
        model: The backend.
        prompts: What to ask, equal ones or not.
        max_tokens: Limit of each output.
        session: Its cache remembers completions.
        stage: Who asks, for errors and the cache's bookkeeping.

    Raises:
        StageError: The model gave another number of completions than it got prompts.
    """
    common = digest(_FORMAT, model, max_tokens, session.numerics())
    keys = [digest(common, prompt.system, prompt.text) for prompt in prompts]
    known = _known(session.cache, keys)
    cached = sum(key in known for key in keys)
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
    fresh: list[Completion] = []
    with session.progress.task(stage, len(missing)) as advance:
        for start in range(0, len(missing), _UNIT):
            unit = dict(list(missing.items())[start : start + _UNIT])
            answers = model.generate(list(unit.values()), max_tokens=max_tokens, session=session)
            if len(answers) != len(unit):
                raise StageError(f"the model gave {len(answers)} completions for {len(unit)} prompts", stage=stage)
            if session.cache is not None:
                packed = {key: _packed(answer) for key, answer in zip(unit, answers, strict=True)}
                session.cache.put(packed, stage=stage)
            known.update(zip(unit, answers, strict=True))
            fresh += answers
            advance(len(unit))
    written = sum(answer.written for answer in fresh)
    tokens = written + sum(answer.read for answer in fresh)
    return Completed([known[key] for key in keys], cached, len(fresh), tokens, written)


def _packed(one: Completion) -> bytes:
    """A completion as bytes."""
    return pack({"text": one.text, "read": one.read, "written": one.written, "cut": one.cut}, {})


def _known(cache: Cache | None, keys: Sequence[str]) -> dict[str, Completion]:
    """The completions that the cache holds; a damaged one is asked for again."""
    known: dict[str, Completion] = {}
    if cache is None:
        return known
    damaged = []
    for key, data in cache.get(dict.fromkeys(keys)).items():
        try:
            values, _ = unpack(data)
        except DataError:
            damaged.append(key)
            continue
        known[key] = Completion(**values)  # type: ignore[arg-type]  # as packed
    cache.drop(damaged)
    return known
