"""What a score is made of: the part of each term, from stages whose scores are sums over terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rankloom.errors import DataError, UsageError
from rankloom.pipeline import Top
from rankloom.records import Query
from rankloom.session import Session
from rankloom.stage import Pruner

if TYPE_CHECKING:
    from rankloom.run import Run, Step


@dataclass(frozen=True, slots=True)
class TermPart:
    """What one term of the query adds to a document's score.

    Args:
        term: The term, as the index holds it.
        weight: Its weight in the query: how often it stands there, or what feedback or an encoder gave it.
        value: Its value in the document: its frequency, or its learned weight.
        idf: Its weight in the collection; None where the score knows none (of inference-free queries, `weight` is it).
        part: What it adds to the score.
    """

    term: str
    weight: float
    value: float
    idf: float | None
    part: float


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """The score of one document for one query, term by term. `print` shows it as a table.

    Args:
        stage: Name of the stage whose score it is.
        doc_id: The document.
        score: Its score; what the parts add up to, within the rounding of float32.
        terms: The terms of the query that the document holds, the largest part first.
        missing: The terms of the query that it does not hold, the heaviest first.
        facts: What else the score depends on: lengths, parameters.
    """

    stage: str
    doc_id: str
    score: float
    terms: tuple[TermPart, ...]
    missing: tuple[str, ...] = ()
    facts: Mapping[str, float | str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        """A line for the score, one for each term, one for the terms that are missing."""
        facts = ", ".join(f"{name} {_short(value)}" for name, value in self.facts.items())
        width = max((len(one.term) for one in self.terms), default=0)
        lines = [f"{self.stage} {self.score:.4f}{f' ({facts})' if facts else ''}"]
        for one in self.terms:
            idf = "" if one.idf is None else f"  idf {one.idf:.4f}"
            lines.append(
                f"  {one.part:8.4f}  {one.term:<{width}}  weight {_short(one.weight)}  value {_short(one.value)}{idf}"
            )
        return "\n".join([*lines, *([f"  missing: {', '.join(self.missing)}"] if self.missing else [])])


class ScoreExplainer(ABC):
    """A stage whose scores are sums over the query's terms, and that can tell them apart.

    A stage inherits this class beside its own; `Stage.explain`, `Hit.explain` and the command line then show its
    scores. `rankloom.testing` checks that the parts are those of the scores it ranks by.
    """

    @abstractmethod
    def score_parts(self, query: Query, doc_id: str, session: Session) -> ScoreParts | None:
        """What makes the score of a document, whether it is among the best k or not.

        Args:
            query: The query as the stage reads it, with the terms that feedback has written.
            doc_id: A document.
            session: How models are run.

        Returns:
            None if the stage does not hold the document.
        """


def parts_in_order(parts: Iterable[TermPart]) -> tuple[TermPart, ...]:
    """Parts as `ScoreParts` keeps them: the largest first, equal ones by term."""
    return tuple(sorted(parts, key=lambda one: (-one.part, one.term)))


def missing_terms(query: Mapping[str, float], parts: Sequence[TermPart]) -> tuple[str, ...]:
    """The terms of a query that no part is of, the heaviest first; those of weight 0 ask for nothing."""
    held = {one.term for one in parts}
    absent = [(term, weight) for term, weight in query.items() if weight and term not in held]
    return tuple(term for term, _ in sorted(absent, key=lambda pair: (-abs(pair[1]), pair[0])))


def explained(run: Run, number: int, doc_id: str, *, stage: str | None = None) -> ScoreParts:
    """What makes the score of a document in a run.

    Args:
        run: A run that has come through a pipeline.
        number: The place of the query.
        doc_id: A document, ranked or not.
        stage: Whose score: the last stage of this name. By default the one that gave the final scores.

    Raises:
        UsageError: The stage can not tell, or there is none of this name.
        DataError: The stage does not hold the document.
    """
    steps = list(flat_steps(run.steps))
    able = list(dict.fromkeys(step.stage for step in steps if isinstance(step.by, ScoreExplainer)))
    if stage is None:
        step = next((step for step in reversed(run.steps) if not isinstance(step.by, Top | Pruner)), None)
    else:
        step = next((step for step in reversed(steps) if step.stage == stage), None)
    if step is None:
        raise UsageError(
            "there is no such stage in the pipeline",
            stage="explain",
            value=stage,
            accepted=", ".join(able)
            or f"none: no score of {', '.join(dict.fromkeys(one.stage for one in steps))} is a sum over terms",
        )
    if not isinstance(step.by, ScoreExplainer):
        raise UsageError(
            "its scores are no sums over terms",
            stage=step.stage,
            accepted=", ".join(able) or "stages that score by terms, such as bm25",
            fix=f"explain(..., stage={able[-1]!r})" if able else None,
        )
    parts = step_parts(step, number, doc_id, run.session)
    if parts is None:
        raise DataError("there is no such document in the index", stage=step.stage, value=doc_id)
    return parts


def step_parts(step: Step, number: int, doc_id: str, session: Session) -> ScoreParts | None:
    """What makes the score that a step gives a document; None if it can not tell, or does not hold the document."""
    return step.by.score_parts(step.asked[number], doc_id, session) if isinstance(step.by, ScoreExplainer) else None


def flat_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, inputs of a fusion before it."""
    for step in steps:
        for branch in step.branches:
            yield from flat_steps(branch)
        yield step


def _short(value: float | str) -> str:
    """A number without superfluous digits."""
    return value if isinstance(value, str) else f"{value:.5g}"
