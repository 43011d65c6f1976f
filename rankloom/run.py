"""A run: queries on their way through stages, with their rankings, texts, ledger and history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.errors import CompositionError, DataError, StageError
from rankloom.fingerprint import digest
from rankloom.ledger import Cost, Ledger, Note
from rankloom.ranked_list import RankedList
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Documents, Query, as_queries
from rankloom.session import Session

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from rankloom.feedback_parts import FeedbackParts
    from rankloom.stage import Stage


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage left behind: one entry of a run's history.

    Args:
        stage: The stage's label.
        queries: The queries after it.
        ranking: The ranking after it, or None if it left only queries.
        branches: Histories of the inputs, for a stage that fuses several.
        by: The stage itself, which may explain its scores; None if the ranking comes from outside.
        asked: The queries before it, as it read them.
        given: The ranking before it, as it read it; None if there was none.
    """

    stage: str
    queries: tuple[Query, ...]
    ranking: Ranking | None
    branches: tuple[tuple[Step, ...], ...] = ()
    by: Stage | None = None
    asked: tuple[Query, ...] = ()
    given: Ranking | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run(Mapping[str, RankedList]):
    """An immutable batch of queries and, after a retriever, a ranked list for each; query id -> RankedList.

    Args:
        queries: Queries with unique ids, in order.
        ranking: Hits as columns, one ranking for each query; None while there are only queries.
        documents: Where the texts of the hits come from; None when nobody knows them.
        session: How stages are carried out.
        ledger: Notes and costs so far.
        steps: One entry for each stage passed, oldest first.
        lineage: Digest of the queries and of all that was done to them; equal lineage means equal content.

    Raises:
        DataError: Two queries have the same id.

    Example:
        >>> run = Run.from_dict({"q1": {"d1": 0.5, "d2": 0.5}})
        >>> [(hit.doc_id, hit.rank) for hit in run["q1"]]
        [('d1', 1), ('d2', 2)]
    """

    queries: tuple[Query, ...]
    ranking: Ranking | None = None
    documents: Documents | None = None
    session: Session = field(default_factory=Session)
    ledger: Ledger = field(default_factory=Ledger)
    steps: tuple[Step, ...] = ()
    lineage: str = ""
    _places: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the queries and give a new run its lineage."""
        places = {query.id: place for place, query in enumerate(self.queries)}
        if len(places) != len(self.queries):
            ids = [query.id for query in self.queries]
            raise DataError("two queries have the same id", value=next(i for i in ids if ids.count(i) > 1))
        object.__setattr__(self, "_places", places)
        if not self.lineage:
            ids_and_contents = [(query.id, query.fingerprint()) for query in self.queries]
            object.__setattr__(self, "lineage", digest("start", ids_and_contents, self.documents))

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def start(cls, queries: object, *, documents: Documents | None = None, session: Session | None = None) -> Run:
        """A run that holds only queries; every pipeline starts from one.

        Args:
            queries: A string, `Query` records, strings, or a mapping of id to text.
            documents: Where the texts come from, for retrievers that bring none.
            session: How stages are carried out; a plain `Session()` by default.
        """
        return cls(queries=as_queries(queries), documents=documents, session=session or Session())

    @classmethod
    def from_dict(
        cls,
        scores: Mapping[str, Mapping[str, float]],
        *,
        queries: object = None,
        documents: Documents | None = None,
        kind: ScoreKind = ScoreKind.SIMILARITY,
        session: Session | None = None,
    ) -> Run:
        """A run from query id -> document id -> score.

        Args:
            scores: The ranked documents.
            queries: The queries, when their texts are known; a query with no entry in `scores` has no hits.
            documents: Where the texts come from.
            kind: What the scores mean.
            session: How later stages are carried out.

        Raises:
            DataError: A query of `scores` is not among `queries`.
            StageError: A score is NaN or infinite.
        """
        known = as_queries(queries) if queries is not None else tuple(Query(key, "") for key in scores)
        _check_known(scores, known)
        ranking = Ranking.from_lists(
            (scores.get(query.id, {}).items() for query in known), stage="Run.from_dict", kind=kind
        )
        return cls._given(known, ranking, documents, session)

    @classmethod
    def from_columns(
        cls,
        query_ids: Sequence[str],
        doc_ids: Sequence[str] | pa.LargeStringArray,
        scores: Sequence[float] | NDArray[np.float32],
        *,
        queries: object = None,
        documents: Documents | None = None,
        kind: ScoreKind = ScoreKind.SIMILARITY,
        session: Session | None = None,
    ) -> Run:
        """A run from three parallel columns, one row for each hit, in any order.

        Args:
            query_ids: Query of each hit.
            doc_ids: Document of each hit.
            scores: Score of each hit.
            queries: The queries in the order wanted; by default, as they first occur.
            documents: Where the texts come from.
            kind: What the scores mean.
            session: How later stages are carried out.

        Raises:
            DataError: The columns differ in length, or a query is not among `queries`.
            StageError: A score is NaN or infinite, or a query holds a document twice.
        """
        from rankloom.columns import ranking_from_columns

        known, ranking = ranking_from_columns(
            query_ids, doc_ids, scores, queries=None if queries is None else as_queries(queries), kind=kind
        )
        return cls._given(known, ranking, documents, session)

    @classmethod
    def from_documents(
        cls, query: str | Query, documents: Iterable[Document], *, session: Session | None = None
    ) -> Run:
        """A run over documents that an application already holds, ranked in the order given.

        Args:
            query: The question.
            documents: The candidates, best first.
            session: How later stages are carried out.
        """
        from rankloom.corpus import MemoryDocuments

        held = MemoryDocuments(documents)
        scores = [(doc_id, -float(place)) for place, doc_id in enumerate(held.doc_ids)]
        ranking = Ranking.from_lists([scores], stage="Run.from_documents", kind=ScoreKind.RANK)
        return cls._given(as_queries(query), ranking, held, session)

    @classmethod
    def from_trec(cls, path: str | Path, **options: Any) -> Run:
        """Read a TREC run file; see `rankloom.trec.read_run` for the options and errors."""
        from rankloom.trec import read_run

        return read_run(path, **options)

    # --- a mapping of query id to ranked list -----------------------------------------------------------------

    def __getitem__(self, query_id: str) -> RankedList:
        """One query's ranked list; KeyError for a query that is not in the run."""
        return RankedList(self, self._places[query_id])

    def __iter__(self) -> Iterator[str]:
        """Query ids, in order."""
        return iter(self._places)

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self.queries)

    def __repr__(self) -> str:
        """Counts and stages, not contents."""
        hits = "no ranking" if self.ranking is None else f"{len(self.ranking.codes)} hits"
        return f"<Run of {len(self)} queries, {hits}: {' >> '.join(step.stage for step in self.steps) or 'start'}>"

    # --- what stages use to make the next run ---------------------------------------------------------------------

    def hits(self, *, stage: str) -> Ranking:
        """The ranking, for a stage that can not work without one.

        Raises:
            CompositionError: There is none. Names the stage.
        """
        if self.ranking is None:
            raise CompositionError("needs a ranking before it", stage=stage, fix="put a retriever in front")
        return self.ranking

    def texts(self, *, stage: str) -> Documents:
        """The documents, for a stage that reads texts.

        Raises:
            CompositionError: Nobody knows the texts. Names the stage.
        """
        if self.documents is None:
            raise CompositionError(
                "needs the texts of the documents, and no stage before it brings them",
                stage=stage,
                fix="pass documents= when the run is made, or retrieve from a corpus with texts",
            )
        return self.documents

    def ranked(self, ranking: Ranking) -> Run:
        """The same queries with another ranking.

        Raises:
            StageError: The ranking is for another number of queries.
        """
        if len(ranking) != len(self.queries):
            raise StageError(f"a ranking of {len(ranking)} queries for a run of {len(self.queries)}")
        return replace(self, ranking=ranking, lineage=digest(self.lineage, "ranked", ranking))

    def rewritten(self, queries: Iterable[Query], *, keep: bool = False) -> Run:
        """Rewritten queries, in the same order and with the same ids.

        Args:
            queries: The queries.
            keep: Whether the ranking they were made from stays, to be reranked with them; otherwise it is dropped.
        """
        rewritten = tuple(queries)
        word = "rewritten, ranking kept" if keep else "rewritten"
        lineage = digest(self.lineage, word, [(query.id, query.fingerprint()) for query in rewritten])
        return replace(self, queries=rewritten, ranking=self.ranking if keep else None, lineage=lineage)

    def noted(self, *notes: Note) -> Run:
        """The same run with notes in its ledger."""
        return replace(self, ledger=self.ledger.noted(*notes)) if notes else self

    def counted(
        self,
        *,
        inputs: int = 0,
        cached: int = 0,
        calls: int = 0,
        tokens: int = 0,
        written: int = 0,
        model: str = "",
    ) -> Run:
        """The same run with what a stage says of its own spending; its label and seconds are added around it.

        Args:
            inputs: Units of work, where they are not the queries.
            cached: How many of them came from a cache of the stage's own.
            calls: Model calls.
            tokens: Tokens read and written by models.
            written: Those of them that models wrote.
            model: On which model it was spent, if on another than the stage's; it then stands apart in the ledger.
        """
        cost = Cost("", "", inputs=inputs, cached=cached, calls=calls, tokens=tokens, written=written, model=model)
        return replace(self, ledger=self.ledger.spent(cost))

    def select(self, numbers: Sequence[int]) -> Run:
        """The run of some queries, by place, in the order given; the ledger starts empty and history is left out."""
        return replace(
            self,
            queries=tuple(self.queries[number] for number in numbers),
            ranking=None if self.ranking is None else self.ranking.select(numbers),
            ledger=Ledger(),
            steps=(),
            lineage=digest(self.lineage, "select", list(numbers)),
        )

    def top(self, k: int) -> Run:
        """The best k hits of each query.

        Raises:
            UsageError: k is not a whole number of at least 0.
        """
        k = whole(k, least=0, stage="top", parameter="k")
        return replace(self, ranking=self.hits(stage="top").top(k), lineage=digest(self.lineage, "top", k))

    def feedback(self, query_id: str, *, stage: str | None = None) -> FeedbackParts:
        """Where the terms that feedback wrote into a query come from: the query, and each document.

        Args:
            query_id: The query.
            stage: Whose feedback: the last stage of this name; by default the last over terms.

        Raises:
            UsageError: No stage of the pipeline is feedback over terms. Names those that are.
        """
        from rankloom.feedback_parts import feedback_parts

        return feedback_parts(self, query_id, stage=stage)

    # --- ways out -------------------------------------------------------------------------------------------------

    def to_trec(self, path: str | Path, *, tag: str = "rankloom") -> None:
        """Write a TREC run file; see `rankloom.trec.write_run`."""
        from rankloom.trec import write_run

        write_run(self, path, tag=tag)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score, best first."""
        return {query_id: dict(zip(hits.doc_ids, hits.scores, strict=True)) for query_id, hits in self.items()}

    def to_arrow(self) -> pa.Table:
        """A table of query_id, doc_id, rank, score; one row for each hit."""
        from rankloom.columns import arrow_table

        return arrow_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """`to_arrow` as a pandas frame (extra `pandas`)."""
        from rankloom.extras import require

        require("pandas", extra="pandas", stage="Run.to_pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    @classmethod
    def _given(
        cls, queries: tuple[Query, ...], ranking: Ranking, documents: Documents | None, session: Session | None
    ) -> Run:
        """A run whose first ranking comes from outside; the hits take part in its lineage."""
        given = cls(queries=queries, documents=documents, session=session or Session())
        return replace(given.ranked(ranking), steps=(Step("given", queries, ranking),))


def _check_known(scores: Mapping[str, object], queries: tuple[Query, ...]) -> None:
    """Refuse rankings of queries that nobody asked."""
    unknown = set(scores) - {query.id for query in queries}
    if unknown:
        raise DataError(
            f"{len(unknown)} ranked queries are not among the queries",
            stage="Run",
            value=min(unknown),
            fix="pass all queries, or filter the scores first",
        )
