"""Carrying out the sorting of many queries side by side, within a budget.

Each round takes the questions that all queries are waiting for, leaves out what was asked before, and puts the rest to
the comparator as one batch. So a batch is as large as it can be, and nothing is asked twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

from rankloom.budget import Budget
from rankloom.errors import StageError
from rankloom.ledger import Cost, Note
from rankloom.rerank.sorting.question import Answer, Question, Rounds, Sorting

_SLICE = 16  # questions between two looks at a budget


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about the hits of one query.

    Args:
        query: The query's number.
        question: What is asked.
    """

    query: int
    question: Question


@dataclass(frozen=True, slots=True)
class Answered:
    """What a comparator says of some questions, and what that took.

    Args:
        answers: One for each question, in order.
        notes: What is to be said of them: outputs that had to be repaired, or could not be read.
        cached: How many model calls a cache has answered.
        calls: How many were made.
        tokens: What models read and wrote.
        written: What of it they wrote.
    """

    answers: Sequence[Answer]
    notes: Sequence[Note] = ()
    cached: int = 0
    calls: int = 0
    tokens: int = 0
    written: int = 0


class Comparator(Protocol):
    """Answers questions about hits. An answer depends on nothing but its question.

    Attributes:
        calls_each: Most model calls that a question takes.
    """

    calls_each: int

    def answer(self, asked: Sequence[Asked]) -> Answered:
        """Answer some questions, all different."""
        ...


@dataclass
class SortOutcome:
    """What became of a batch of sortings; the order stands in each of them.

    Args:
        unfinished: The queries that the budget did not suffice for.
        stopped: Which limit stopped them; empty if none did.
        questions: How many were answered; equal ones count once.
        notes: All that the comparator noted.
        cached: Model calls that a cache has answered.
        calls: Model calls made.
        tokens: What models read and wrote.
        written: What of it they wrote.
    """

    unfinished: list[int] = field(default_factory=list)
    stopped: str = ""
    questions: int = 0
    notes: list[Note] = field(default_factory=list)
    cached: int = 0
    calls: int = 0
    tokens: int = 0
    written: int = 0


def sort_hits(
    sortings: Sequence[Sorting],
    comparator: Comparator,
    *,
    stage: str,
    model: str = "",
    budget: Budget | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> SortOutcome:
    """Carry out sortings, one a query, until all are done or the budget is spent.

    With a budget, questions are asked a few at a time; a limit of calls is never passed, the others by one such batch
    at most. A sorting whose round is not answered in full stays as the last full round has left it.

    Args:
        sortings: One for each query, none of them begun.
        comparator: Who answers.
        stage: Who asks, for errors and the budget.
        model: What the budget's prices know the model as.
        budget: What may be spent; None: as much as it takes.
        advance: Is told how many questions have been answered.

    Raises:
        StageError: The comparator gave another number of answers, or one that does not fit its question.
        UsageError: The budget limits money, and has no price for the model.
    """
    return _Race(sortings, comparator, stage=stage, model=model, budget=budget, advance=advance).run()


class _Race:
    """Sortings under way: what is known, and what each is waiting for."""

    def __init__(
        self,
        sortings: Sequence[Sorting],
        comparator: Comparator,
        *,
        stage: str,
        model: str,
        budget: Budget | None,
        advance: Callable[[int], None],
    ) -> None:
        self.sortings, self.comparator, self.stage, self.model = sortings, comparator, stage, model
        self.budget, self.advance = budget, advance
        self.known: dict[tuple[int, Hashable], Answer] = {}
        self.waiting: dict[int, tuple[Rounds, Sequence[Question]]] = {}
        self.outcome = SortOutcome()

    def run(self) -> SortOutcome:
        """All rounds of all sortings."""
        for number, sorting in enumerate(self.sortings):
            self._go_on(number, sorting.rounds(), None)
        if self.budget is not None and self.waiting:
            self.budget.check_priced(self.stage, self.model)
        while self.waiting:
            self._ask(self._missing())
            ready = [number for number in self.waiting if self._answered(number)]
            for number in ready:
                rounds, questions = self.waiting.pop(number)
                self._go_on(number, rounds, [self.known[number, one.key] for one in questions])
            if not ready:
                break
        self.outcome.unfinished = sorted(self.waiting)
        if self.budget is not None:
            spent = Cost(self.stage, calls=self.outcome.calls, tokens=self.outcome.tokens, model=self.model)
            self.outcome.notes.extend(self.budget.uncounted(spent))
        return self.outcome

    def _go_on(self, number: int, rounds: Rounds, answers: Sequence[Answer] | None) -> None:
        """Start a sorting, or send it its answers, and let it wait with its next questions, if it has any."""
        try:
            self.waiting[number] = (rounds, next(rounds) if answers is None else rounds.send(answers))
        except StopIteration:
            return

    def _missing(self) -> dict[tuple[int, Hashable], Asked]:
        """What nobody has answered yet; equal questions once, in the form that comes first."""
        missing: dict[tuple[int, Hashable], Asked] = {}
        for number, (_, questions) in self.waiting.items():
            for one in questions:
                if (number, one.key) not in self.known:
                    missing.setdefault((number, one.key), Asked(number, one))
        return missing

    def _answered(self, number: int) -> bool:
        """Whether all is known that a sorting is waiting for."""
        return all((number, one.key) in self.known for one in self.waiting[number][1])

    def _ask(self, missing: Mapping[tuple[int, Hashable], Asked]) -> None:
        """Have questions answered, as many as the budget has room for."""
        items = list(missing.items())
        while items and not self.outcome.stopped:
            with nullcontext() if self.budget is None else self.budget.turn:
                size, self.outcome.stopped = self._room(len(items))
                part, items = items[:size], items[size:]
                answers = self._answers([one for _, one in part]) if part else ()
            self.known.update(zip((key for key, _ in part), answers, strict=True))
            self.advance(len(part))

    def _room(self, wanted: int) -> tuple[int, str]:
        """How many questions may be asked at a time; if none, why."""
        if self.budget is None:
            return wanted, ""
        each = self.comparator.calls_each
        stopped = self.budget.exhausted(calls=each)
        return (0, stopped) if stopped else (self.budget.calls_left(_SLICE * each) // each, "")

    def _answers(self, asked: list[Asked]) -> Sequence[Answer]:
        """Answers to some questions, checked and counted."""
        begun = time.perf_counter()
        told = self.comparator.answer(asked)
        if len(told.answers) != len(asked):
            problem = f"a comparator gave {len(told.answers)} answers to {len(asked)} questions"
            raise StageError(problem, stage=self.stage)
        for one, answer in zip(asked, told.answers, strict=True):
            if not one.question.allows(answer):
                raise StageError(f"no answer to {one.question}", stage=self.stage, value=answer)
        outcome = self.outcome
        outcome.questions += len(asked)
        outcome.notes.extend(told.notes)
        outcome.cached, outcome.calls = outcome.cached + told.cached, outcome.calls + told.calls
        outcome.tokens, outcome.written = outcome.tokens + told.tokens, outcome.written + told.written
        if self.budget is not None:
            cost = Cost(self.stage, calls=told.calls, tokens=told.tokens, written=told.written, model=self.model)
            self.budget.spend(replace(cost, seconds=time.perf_counter() - begun))
        return told.answers
