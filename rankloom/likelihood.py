"""How likely a language model holds a text after a prompt: for rerankers that need no output, only a probability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rankloom.cache import Cache
from rankloom.codec import pack, unpack
from rankloom.errors import DataError, StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import LanguageModel, Prompt
from rankloom.session import Session

_FORMAT = "likelihood 2"  # part of every key


@dataclass(frozen=True, slots=True)
class Continuation:
    """A text that a model might write after a prompt.

    Args:
        prompt: What it is asked.
        text: What it might say; not empty.
    """

    prompt: Prompt
    text: str


class Likelihood(NamedTuple):
    """What a model says of a continuation.

    Args:
        log_probability: The sum over its tokens, natural logarithm; finite, at most 0.
        read: Tokens of the prompt and of the continuation.
        listed: Whether the model has told it. A server that lists its likeliest tokens alone tells nothing of others:
            they get less than the least of the list.
    """

    log_probability: float
    read: int
    listed: bool = True


class ScoringModel(LanguageModel):
    """A language model that tells how likely a continuation is, as those on this machine do.

    Attributes:
        labels_only: Whether it tells no more than which of several labels is likelier, as servers do.
    """

    labels_only: bool = False

    def likelihood_numerics(self, session: Session) -> str:
        """What of the session changes likelihoods: its dtype, and no seed, for nothing is drawn."""
        return session.dtype

    @abstractmethod
    def log_likelihoods(
        self, asked: Sequence[Continuation], *, session: Session
    ) -> Iterator[tuple[Continuation, Likelihood]]:
        """Each continuation with its likelihood, as soon as it is there, in any order.

        Args:
            asked: Some continuations, all different; those of one prompt stand side by side, and are all there.
            session: Device, seed, and whether sockets may be opened.
        """


class Scored(NamedTuple):
    """Likelihoods and what they cost this time.

    Args:
        log_probabilities: One for each continuation, in order.
        cached: How many prompts the cache has answered.
        calls: How many prompts the model was sent.
        tokens: What it read for these.
        listed: For each continuation, whether the model has told it; see `Likelihood`.
    """

    log_probabilities: list[float]
    cached: int
    calls: int
    tokens: int
    listed: list[bool]


def scoring_model(model: LanguageModel, *, stage: str, labels: bool = True) -> ScoringModel:
    """The model, if it tells likelihoods.

    Args:
        model: The model.
        stage: Who asks, for errors.
        labels: Whether those of labels are enough.

    Raises:
        UsageError: It does not, or of labels alone.
    """
    if not isinstance(model, ScoringModel):
        raise UsageError(
            "the language model does not tell how likely an output is",
            stage=stage,
            value=model,
            accepted="a model on this machine (local), a server that tells logprobs (openai_compatible), or another "
            "ScoringModel",
            fix="let it write its answers instead, where the stage can (scoring: generation)",
        )
    if model.labels_only and not labels:
        raise UsageError(
            "the language model tells how likely labels are, and no other texts",
            stage=stage,
            value=model,
            accepted="a model on this machine (local), or another ScoringModel that tells them of any text",
            fix="yes_no or graded_relevance, which ask for labels",
        )
    return model


def log_likelihoods(model: ScoringModel, asked: Sequence[Continuation], *, session: Session, stage: str) -> Scored:
    """How likely continuations are; equal ones once, and those that the session's cache knows not at all.

    Args:
        model: The model.
        asked: Prompts and what might follow them.
        session: Its cache remembers likelihoods.
        stage: Who asks, for errors and the cache's bookkeeping.

    Raises:
        StageError: The model gave a likelihood that was not asked for or is no number, or did not give one that was.
    """
    keys = _keys(model, asked, session)
    known = _known(session.cache, keys)
    new = {one.prompt for one in keys if one not in known}
    missing = [one for one in keys if one.prompt in new]  # what is known of such a prompt helps to tell the rest
    due, tokens = dict.fromkeys(missing), 0
    for one, found in model.log_likelihoods(missing, session=session) if missing else ():
        if one not in due or not np.isfinite(found.log_probability):
            raise StageError("the model gave no likelihood, or one not asked for", stage=stage, value=(one.text, found))
        del due[one]
        if session.cache is not None:
            session.cache.put({keys[one]: _packed(found)}, stage=stage)
        known[one] = found
        tokens += found.read
    if due:
        problem = f"the model gave {len(missing) - len(due)} likelihoods for {len(missing)} continuations"
        raise StageError(problem, stage=stage)
    told = [known[one] for one in asked]
    cached = len({one.prompt for one in keys}) - len(new)
    return Scored([one.log_probability for one in told], cached, len(new), tokens, [one.listed for one in told])


def known_prompts(model: ScoringModel, asked: Sequence[Continuation], *, session: Session) -> set[Prompt]:
    """The prompts that need not be asked, because the session's cache holds all of their continuations.

    Args:
        model: The model.
        asked: Prompts and what might follow them.
        session: Its cache remembers likelihoods.
    """
    keys = _keys(model, asked, session)
    known = _known(session.cache, keys)
    return {one.prompt for one in keys} - {one.prompt for one in keys if one not in known}


def _keys(model: ScoringModel, asked: Sequence[Continuation], session: Session) -> dict[Continuation, str]:
    """The key of each continuation; equal ones once. What a server tells of a label depends on the others."""
    model.resolve(session)
    common = digest(_FORMAT, model, model.likelihood_numerics(session))
    texts: dict[Prompt, set[str]] = {}
    for one in asked if model.labels_only else ():
        texts.setdefault(one.prompt, set()).add(one.text)
    others = {prompt: [sorted(own)] for prompt, own in texts.items()}
    return {
        one: digest(
            common, one.prompt.system, one.prompt.text, one.prompt.sample, one.text, *others.get(one.prompt, [])
        )
        for one in asked
    }


def _packed(one: Likelihood) -> bytes:
    """A likelihood as bytes."""
    return pack({"log_probability": one.log_probability, "listed": one.listed}, {})


def _known(cache: Cache | None, keys: dict[Continuation, str]) -> dict[Continuation, Likelihood]:
    """The likelihoods that the cache holds; a damaged one is asked for again."""
    known: dict[Continuation, Likelihood] = {}
    if cache is None:
        return known
    held, damaged = cache.get(keys.values()), []
    for one, key in keys.items():
        if key in held:
            try:
                values, _ = unpack(held[key])
            except DataError:
                damaged.append(key)
                continue
            listed = bool(values.get("listed", True))  # what is kept of models on this machine does not say
            known[one] = Likelihood(float(values["log_probability"]), 0, listed)  # type: ignore[arg-type]  # as packed
    cache.drop(damaged)
    return known
