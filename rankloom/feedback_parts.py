"""What a query rewritten by feedback is made of: the part of the query itself, and of each document, in every term."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankloom.errors import UsageError
from rankloom.ranking import Ranking
from rankloom.records import Query
from rankloom.score_parts import flat_steps
from rankloom.session import Session

if TYPE_CHECKING:
    from rankloom.run import Run, Step


@dataclass(frozen=True, slots=True)
class FeedbackTerm:
    """Where the weight of one term of a rewritten query comes from.

    Args:
        term: The term, as the index holds it.
        weight: Its weight in the new query; what the parts add up to, within rounding.
        original: The part of the query as it was.
        documents: The part of each feedback document that has one, the largest first; negative for documents that the
            query is moved away from.
    """

    term: str
    weight: float
    original: float
    documents: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class FeedbackParts:
    """A rewritten query, term by term. `print` shows it as a table.

    Args:
        stage: Name of the stage that wrote it.
        query_id: The query.
        terms: Its terms, the heaviest first.
    """

    stage: str
    query_id: str
    terms: tuple[FeedbackTerm, ...]

    def __str__(self) -> str:
        """A line for each term: weight, the query's own part, and the documents' parts."""
        width = max((len(one.term) for one in self.terms), default=0)
        lines = [f"{self.stage} {self.query_id}"]
        for one in self.terms:
            documents = "  ".join(f"{doc_id} {part:.4f}" for doc_id, part in one.documents)
            lines.append(f"  {one.weight:8.4f}  {one.term:<{width}}  query {one.original:.4f}  {documents}".rstrip())
        return "\n".join(lines)


class FeedbackExplainer(ABC):
    """A feedback stage that writes weighted terms and can tell where their weights come from.

    A stage inherits this class beside its own; `Run.feedback` and the command line then show its terms.
    `rankloom.testing` checks that the parts are those of the queries it writes.
    """

    @abstractmethod
    def feedback_terms(
        self, queries: Sequence[Query], ranking: Ranking, session: Session
    ) -> list[tuple[FeedbackTerm, ...]]:
        """The terms of each rewritten query, the heaviest first.

        Args:
            queries: The queries as the stage read them.
            ranking: The ranking as the stage read it.
            session: How models are run.
        """


def feedback_parts(run: Run, query_id: str, *, stage: str | None = None) -> FeedbackParts:
    """Where the terms of a rewritten query come from; see `Run.feedback`.

    Args:
        run: A run that has come through a pipeline with feedback over terms.
        query_id: The query.
        stage: Whose feedback: the last stage of this name. By default the last that can tell.

    Raises:
        UsageError: The pipeline has no such stage (names those that can tell), or the run no such query.
    """
    ids = list(run)
    if query_id not in ids:
        raise UsageError(
            "there is no such query in the run", stage="feedback", value=query_id, accepted=", ".join(ids[:5]) or None
        )
    able = [step for step in flat_steps(run.steps) if isinstance(step.by, FeedbackExplainer)]
    step = next((step for step in reversed(able) if stage in (None, step.stage)), None)
    if step is None:
        raise UsageError(
            "no stage of the pipeline tells of feedback terms",
            stage="feedback",
            value=stage,
            accepted=", ".join(dict.fromkeys(step.stage for step in able)) or "pipelines with a stage such as rm3",
        )
    return FeedbackParts(step.stage, query_id, step_feedback(step, ids.index(query_id), run.session) or ())


def step_feedback(step: Step, number: int, session: Session) -> tuple[FeedbackTerm, ...] | None:
    """Where the terms that a step wrote into a query come from; None if it can not tell."""
    if not isinstance(step.by, FeedbackExplainer) or step.given is None:
        return None
    return step.by.feedback_terms([step.asked[number]], step.given.select([number]), session)[0]
