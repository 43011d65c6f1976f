"""Several prompts about each of several things (queries, documents), asked within the session's budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from rankloom.budget import Budget
from rankloom.language_model import Completion, LanguageModel, Prompt, complete, known_completions
from rankloom.ledger import Cost, Note
from rankloom.prompt_room import check_room
from rankloom.session import Session

_SLICE = 16  # prompts between two looks at a budget


class GroupsCompleted(NamedTuple):
    """Completions of groups of prompts, and what they cost this time.

    Args:
        completions: For each group, one for each of its prompts, in order; None for a group that the budget did not
            suffice for.
        stopped: Which limit stopped the others; empty if none did.
        cached: How many prompts were answered by what was known before.
        calls: How many prompts the model was sent.
        tokens: What it read and wrote for these.
        written: What of it it wrote.
        notes: What is to be said of the budget.
    """

    completions: list[list[Completion] | None]
    stopped: str
    cached: int
    calls: int
    tokens: int
    written: int
    notes: tuple[Note, ...] = ()


def complete_groups(
    model: LanguageModel,
    groups: Sequence[Sequence[Prompt]],
    *,
    about: Sequence[str],
    max_tokens: int,
    session: Session,
    stage: str,
) -> GroupsCompleted:
    """Ask a language model about several things, each wholly or not at all; see `complete`.

    With a budget, what is known costs nothing, and the rest is asked a few prompts at a time, in order, until a limit
    is reached. A limit of calls is never passed, the others by one such batch at most.

    Args:
        model: The backend.
        groups: The prompts about each thing; there may be none.
        about: What to call each thing in errors.
        max_tokens: Limit of each output.
        session: Its cache remembers completions; its budget is looked at, and charged.
        stage: Who asks, for errors, the cache's bookkeeping and the budget's prices.

    Raises:
        StageError: As `complete` does.
        DataError: A prompt is longer than the model reads; nothing has been asked then.
        UsageError: The budget limits money, and has no price for the model.
    """
    prompts = [prompt for group in groups for prompt in group]
    known = known_completions(model, prompts, max_tokens=max_tokens, session=session)
    named = [(name, prompt) for name, group in zip(about, groups, strict=True) for prompt in group]
    unknown = [(name, prompt) for name, prompt in named if prompt not in known]
    check_room(model, unknown, max_tokens=max_tokens, session=session, stage=stage)
    if session.budget is None:
        done = complete(model, prompts, max_tokens=max_tokens, session=session, stage=stage)
        answers = iter(done.completions)
        whole: list[list[Completion] | None] = [[next(answers) for _ in group] for group in groups]
        return GroupsCompleted(whole, "", done.cached, done.calls, done.tokens, done.written)
    cached = sum(prompt in known for prompt in prompts)
    calls = tokens = written = 0
    stopped, due = "", [group for group in groups if any(prompt not in known for prompt in group)]
    if due:
        session.budget.check_priced(stage, model.name)
    while due:
        with session.budget.turn:
            part, stopped = _next(due, known, session.budget)
            if stopped:
                break
            begun = time.perf_counter()
            done = complete(model, part, max_tokens=max_tokens, session=session, stage=stage)
            session.budget.spend(
                Cost(
                    stage,
                    calls=done.calls,
                    tokens=done.tokens,
                    seconds=time.perf_counter() - begun,
                    written=done.written,
                    model=model.name,
                )
            )
        known.update(zip(part, done.completions, strict=True))
        calls, tokens, written = calls + done.calls, tokens + done.tokens, written + done.written
        due = [group for group in due if any(prompt not in known for prompt in group)]
    found = [[known[one] for one in group] if all(one in known for one in group) else None for group in groups]
    notes = session.budget.uncounted(Cost(stage, calls=calls, tokens=tokens, model=model.name))
    return GroupsCompleted(found, stopped, cached, calls, tokens, written, notes)


def _next(due: Sequence[Sequence[Prompt]], known: dict[Prompt, Completion], budget: Budget) -> tuple[list[Prompt], str]:
    """The prompts of the first groups that the budget has room for; if of none, why."""
    part: dict[Prompt, None] = {}
    for group in due:
        more = part | {prompt: None for prompt in group if prompt not in known}
        if part and len(more) > _SLICE:
            break
        if stopped := budget.exhausted(calls=len(more)):
            return list(part), "" if part else stopped
        part = more
    return list(part), ""
