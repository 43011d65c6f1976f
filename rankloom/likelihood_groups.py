"""Likelihoods for several things (pairs of query and document), asked for within the session's budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from rankloom.budget import Budget
from rankloom.ledger import Cost
from rankloom.likelihood import Continuation, ScoringModel, known_prompts, log_likelihoods
from rankloom.session import Session

_SLICE = 16  # groups between two looks at a budget


class Told(NamedTuple):
    """What a model says of the continuations of one prompt.

    Args:
        log_probabilities: One for each.
        unlisted: How many of them it has not told; see `rankloom.likelihood.Likelihood`.
    """

    log_probabilities: list[float]
    unlisted: int


class GroupsTold(NamedTuple):
    """Likelihoods of groups, and what they cost this time.

    Args:
        told: One for each of the first groups: of all, or of as many as the budget has sufficed for.
        calls: How many prompts the model was sent.
        tokens: What it read for these.
        stopped: Which limit stopped the others; empty if none did.
    """

    told: list[Told]
    calls: int
    tokens: int
    stopped: str


def log_likelihoods_of_groups(
    model: ScoringModel, groups: Sequence[Sequence[Continuation]], *, session: Session, stage: str
) -> GroupsTold:
    """How likely continuations are, those of one prompt together; see `log_likelihoods`.

    With a budget, what is known costs nothing, and the rest is asked for a few prompts at a time, in order, until a
    limit is reached. A limit of calls is never passed, the others by one such batch at most.

    Args:
        model: The model.
        groups: The continuations of one prompt each.
        session: Its cache remembers likelihoods; its budget is looked at, and charged.
        stage: Who asks, for errors, the cache's bookkeeping and the budget's prices.

    Raises:
        StageError: As `log_likelihoods` does.
        UsageError: The budget limits money, and has no price for the model.
    """
    budget = session.budget
    if budget is None:
        whole, cost = _asked(model, groups, session=session, stage=stage)
        return GroupsTold(whole, cost.calls, cost.tokens, "")
    known = known_prompts(model, [one for group in groups for one in group], session=session)
    free = [group[0].prompt in known for group in groups]
    if not all(free):
        budget.check_priced(stage, model.name)
    told: list[Told] = []
    calls, tokens, stopped = 0, 0, ""
    while len(told) < len(groups) and not stopped:
        with budget.turn:
            size, stopped = _room(free[len(told) :], budget)
            some, cost = _asked(model, groups[len(told) : len(told) + size], session=session, stage=stage)
            budget.spend(cost)
        told, calls, tokens = told + some, calls + cost.calls, tokens + cost.tokens
    return GroupsTold(told, calls, tokens, stopped)


def _asked(
    model: ScoringModel, groups: Sequence[Sequence[Continuation]], *, session: Session, stage: str
) -> tuple[list[Told], Cost]:
    """What the model says of some groups, and what that cost."""
    begun = time.perf_counter()
    done = log_likelihoods(model, [one for group in groups for one in group], session=session, stage=stage)
    values = iter(zip(done.log_probabilities, done.listed, strict=True))
    told = []
    for group in groups:
        own = list(islice(values, len(group)))
        told.append(Told([value for value, _ in own], sum(not listed for _, listed in own)))
    seconds = time.perf_counter() - begun
    return told, Cost(stage, calls=done.calls, tokens=done.tokens, seconds=seconds, model=model.name)


def _room(free: Sequence[bool], budget: Budget) -> tuple[int, str]:
    """How many groups may be asked about at a time, from the first; if none, why.

    Args:
        free: For each group, whether it costs nothing.
        budget: What may be spent.
    """
    most = 0 if budget.exhausted() else budget.calls_left(_SLICE)
    to_pay = 0
    for place, costs_nothing in enumerate(free):
        to_pay += not costs_nothing
        if to_pay > most:
            return place, "" if place else budget.exhausted()
    return len(free), ""
