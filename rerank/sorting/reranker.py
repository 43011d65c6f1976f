"""Rerankers that sort by comparisons: depth, notes and costs, whoever compares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.ledger import Note
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Query
from rankloom.rerank.sorting.question import Sorting
from rankloom.rerank.sorting.runner import Comparator, SortOutcome, sort_hits
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker


@dataclass(frozen=True, slots=True)
class QueryHits:
    """A query and the hits of it that are to be sorted.

    Args:
        query: The query.
        documents: The documents, best first; their places are the numbers of the hits. None of a query without text.
    """

    query: Query
    documents: Sequence[Document]


class SortingReranker(Reranker):
    """Rerank by sorting the best `depth` hits.

    A subclass sets `name`, has a parameter `depth`, and says which algorithm sorts and who compares. Scores are places,
    from 0 downwards. The comparator remembers its answers in the session's cache, so the result itself is not kept: a
    run that was stopped goes on where it was.

    Attributes:
        depth: How many hits of each query are sorted, from the top; a parameter.
    """

    grain = "none"
    depth: int

    @classmethod
    @abstractmethod
    def sorting(cls, given: Mapping[str, Any], hits: int) -> Sorting:
        """The algorithm for so many hits.

        Args:
            given: The stage's parameters; in a configuration that is only planned, as they are written.
            hits: How many there are.
        """

    @classmethod
    @abstractmethod
    def calls_each(cls, given: Mapping[str, Any]) -> int:
        """Model calls that one question takes at most, given the stage's parameters."""

    @abstractmethod
    def comparator(self, lists: Sequence[QueryHits], session: Session) -> Comparator:
        """Who answers questions about the hits of some queries."""

    @classmethod
    def calls(cls, given: Mapping[str, Any], hits: int) -> tuple[int, int]:
        """The least and the most model calls that one query with so many hits takes, were nothing in the cache."""
        least, most = cls.sorting(given, min(hits, int(given["depth"]))).bounds()
        each = cls.calls_each(given)
        return least * each, most * each

    def __call__(self, run: Run) -> Run:
        """The hits in order; the ledger says what was not sorted, and what is not finished."""
        ranking, lists = run.hits(stage=self.name), self._lists(run)
        sortings = [self.sorting(self.params(), len(one.documents)) for one in lists]
        most = sum(sorting.bounds()[1] for sorting in sortings)
        with run.session.progress.task(self.name, most) as advance:
            outcome = sort_hits(
                sortings,
                self.comparator(lists, run.session.silent()),
                stage=self.name,
                model=self.model_name,
                budget=run.session.budget,
                advance=advance,
            )
        settled = np.array([sorting.settled() for sorting in sortings], dtype=np.int64)
        after = run.ranked(in_new_order(ranking, [sorting.order() for sorting in sortings], settled))
        return after.noted(*outcome.notes, *self._notes(run, settled, outcome)).counted(
            inputs=outcome.cached + outcome.calls,
            cached=outcome.cached,
            calls=outcome.calls,
            tokens=outcome.tokens,
            written=outcome.written,
        )

    def _lists(self, run: Run) -> list[QueryHits]:
        """The hits that are sorted, with their documents; none of a query without text."""
        ranking, documents = run.hits(stage=self.name), run.texts(stage=self.name)
        wanted = [[] if query.blank else ranking.doc_ids(n)[: self.depth] for n, query in enumerate(run.queries)]
        unique = list(dict.fromkeys(doc_id for ids in wanted for doc_id in ids))
        texts = dict(zip(unique, documents.get(unique), strict=True))
        return [
            QueryHits(query, [texts[doc_id] for doc_id in ids]) for query, ids in zip(run.queries, wanted, strict=True)
        ]

    def _notes(self, run: Run, settled: NDArray[np.int64], outcome: SortOutcome) -> list[Note]:
        """What the ledger should know, query by query."""
        notes = []
        for number, (query, count) in enumerate(zip(run.queries, run.hits(stage=self.name).counts(), strict=True)):
            if query.blank and count:
                notes.append(Note(self.name, "empty_query", query.id))
            if number in outcome.unfinished:
                notes.append(Note(self.name, "unfinished", query.id, detail=f"{outcome.stopped}; the best so far"))
            if below := int(count - settled[number]):
                notes.append(Note(self.name, "not_reranked", query.id, amount=below))
        return notes


def in_new_order(ranking: Ranking, orders: Sequence[Sequence[int]], settled: NDArray[np.int64]) -> Ranking:
    """A ranking whose best hits are put in another order; scores are places, from 0 downwards.

    Args:
        ranking: The ranking to change.
        orders: For each query, the places of its best hits in their new order; the hits below keep theirs.
        settled: How many hits of each query, from the top, stand where they do because they were compared; int64 of
            shape (queries,).
    """
    places = [np.arange(0, dtype=np.int64)]
    for start, count, order in zip(ranking.offsets.tolist(), ranking.counts().tolist(), orders, strict=False):
        places.append(start + np.concatenate([order, np.arange(len(order), count)]).astype(np.int64))
    hits = np.concatenate(places)
    whole = bool((settled == ranking.counts()).all())
    return replace(
        ranking,
        codes=ranking.codes[hits],
        scores=(1 - ranking.ranks()).astype(np.float32),
        kind=ScoreKind.RANK,
        scored=None if whole else settled,
        spans=None if ranking.spans is None else tuple(ranking.spans[hit] for hit in hits.tolist()),
    )
