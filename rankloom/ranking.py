"""A batch's hits as columns: the storage behind every ranked list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import StageError
from rankloom.fingerprint import digest, digest_bytes
from rankloom.ids import DocIds
from rankloom.order import Codes, Offsets, Scores, blocks, check_finite, in_order, sort_within
from rankloom.records import Span


class ScoreKind(StrEnum):
    """What a score means; fusion asks before it adds two of them."""

    SIMILARITY = "similarity"  # BM25, inner products, cosines, sums of these
    LOGIT = "logit"  # a raw output of a trained head
    PROBABILITY = "probability"  # between 0 and 1
    RANK = "rank"  # derived from positions alone; differences mean nothing


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits of many queries, ordered by score descending and document id ascending.

    Build one with `Ranking.build` or `Ranking.from_lists`: they order and check. The constructor trusts its caller.

    Args:
        ids: Table of document ids that the codes point into.
        offsets: Where each query's hits start; int64 of shape (queries + 1,).
        codes: Document codes; int32 of shape (hits,).
        scores: Finite scores; float32 of shape (hits,).
        kind: What the scores mean.
        scored: How many hits of each query the last reranker scored, int64 of shape (queries,); the hits below
            keep the order of the stage before it. None: all of them.
        spans: For each hit, the sentences a pruner kept and dropped; None for a hit not pruned, or for all.
    """

    ids: DocIds
    offsets: Offsets
    codes: Codes
    scores: Scores
    kind: ScoreKind = ScoreKind.SIMILARITY
    scored: NDArray[np.int64] | None = None
    spans: tuple[tuple[Span, ...] | None, ...] | None = None

    @classmethod
    def build(
        cls,
        ids: DocIds,
        offsets: Offsets,
        codes: Codes,
        scores: Scores,
        *,
        stage: str,
        kind: ScoreKind = ScoreKind.SIMILARITY,
    ) -> Ranking:
        """Columns in any order within a query, checked and put in order.

        Raises:
            StageError: A score is NaN or infinite, or a query holds a document twice. Names `stage`.
        """
        offsets = np.asarray(offsets, dtype=np.int64)
        codes = np.asarray(codes, dtype=np.int32)
        scores = np.asarray(scores, dtype=np.float32) + np.float32(0.0)  # -0.0 becomes 0.0: equal scores, equal bytes
        check_finite(scores, stage=stage)
        ranking = cls(ids, offsets, *in_order(offsets, codes, scores), kind)
        ranking._check_unique(stage)
        return ranking

    @classmethod
    def from_lists(
        cls, hits: Iterable[Iterable[tuple[str, float]]], *, stage: str, kind: ScoreKind = ScoreKind.SIMILARITY
    ) -> Ranking:
        """One list of (document id, score) for each query.

        Raises:
            StageError: A score is no finite number, or a query holds a document twice. Names `stage`.

        Example:
            >>> ranking = Ranking.from_lists([[("d2", 1.0), ("d1", 1.0)], []], stage="example")
            >>> ranking.doc_ids(0), ranking.counts().tolist()
            (['d1', 'd2'], [2, 0])
        """
        lists = [list(one) for one in hits]
        ids, codes = DocIds.encode([doc_id for one in lists for doc_id, _ in one])
        try:
            scores = np.array([score for one in lists for _, score in one], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise StageError(f"a score is not a number ({error})", stage=stage) from error
        offsets = np.cumsum([0, *(len(one) for one in lists)], dtype=np.int64)
        return cls.build(ids, offsets, codes, scores, stage=stage, kind=kind)

    @classmethod
    def empty(cls, queries: int) -> Ranking:
        """No hits for any of so many queries."""
        nothing = np.zeros(0, dtype=np.int32)
        return cls(DocIds.empty(), np.zeros(queries + 1, dtype=np.int64), nothing, nothing.astype(np.float32))

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self.offsets) - 1

    def counts(self) -> NDArray[np.int64]:
        """Hits of each query, int64 of shape (queries,)."""
        return np.diff(self.offsets)

    def bounds(self, query: int) -> tuple[int, int]:
        """Where one query's hits start and end in the columns."""
        return int(self.offsets[query]), int(self.offsets[query + 1])

    def query_numbers(self) -> NDArray[np.int64]:
        """The query of each hit, int64 of shape (hits,)."""
        return np.repeat(np.arange(len(self)), self.counts())

    def ranks(self) -> NDArray[np.int64]:
        """The rank of each hit within its query, from 1; int64 of shape (hits,)."""
        return np.arange(len(self.codes)) - np.repeat(self.offsets[:-1], self.counts()) + 1

    def doc_ids(self, query: int) -> list[str]:
        """Ids of one query's hits, best first."""
        start, end = self.bounds(query)
        return self.ids.take(self.codes[start:end])

    def top(self, k: int) -> Ranking:
        """The best k hits of each query."""
        keep = self.ranks() <= k
        if keep.all():
            return self
        return replace(
            self,
            offsets=_offsets(np.minimum(self.counts(), k)),
            codes=self.codes[keep],
            scores=self.scores[keep],
            scored=None if self.scored is None else np.minimum(self.scored, k),
            spans=None if self.spans is None else tuple(s for s, kept in zip(self.spans, keep, strict=True) if kept),
        )

    def select(self, queries: Sequence[int] | NDArray[np.int64]) -> Ranking:
        """The rankings of some queries, in the order given."""
        numbers = np.asarray(queries, dtype=np.int64)
        counts = self.counts()[numbers]
        offsets = _offsets(counts)
        hits = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts) + np.repeat(self.offsets[numbers], counts)
        return replace(
            self,
            offsets=offsets,
            codes=self.codes[hits],
            scores=self.scores[hits],
            scored=None if self.scored is None else self.scored[numbers],
            spans=None if self.spans is None else tuple(self.spans[hit] for hit in hits.tolist()),
        )

    def slice(self, first: int, last: int) -> Ranking:
        """The rankings of consecutive queries, `first` to `last` - 1; columns are shared, not copied."""
        start, end = int(self.offsets[first]), int(self.offsets[last])
        return replace(
            self,
            offsets=self.offsets[first : last + 1] - start,
            codes=self.codes[start:end],
            scores=self.scores[start:end],
            scored=None if self.scored is None else self.scored[first:last],
            spans=None if self.spans is None else self.spans[start:end],
        )

    def recoded(self, ids: DocIds, codes: Codes) -> Ranking:
        """The same hits under another table of ids, given the new code of each old one."""
        return replace(self, ids=ids, codes=codes[self.codes])

    def _check_unique(self, stage: str) -> None:
        """Refuse a document that stands twice in one query's hits."""
        for first, last in blocks(self.offsets):
            part = self.slice(first, last)
            codes = part.codes.copy()
            sort_within(part.offsets, codes)
            twice = np.flatnonzero((codes[1:] == codes[:-1]) & (np.diff(part.query_numbers()) == 0))
            if len(twice):
                raise _duplicate(self.ids[int(codes[twice[0]])], stage)

    def fingerprint(self) -> str:
        """A digest of the hits and all that is known about them."""
        spans = None if self.spans is None else digest_bytes(repr(self.spans).encode())
        return digest(self.ids, self.offsets, self.codes, self.scores, self.kind, self.scored, spans)

    def compact(self) -> Ranking:
        """The same hits under a table of only the ids that occur in them."""
        used, codes = np.unique(self.codes, return_inverse=True)
        return replace(self, ids=DocIds(self.ids.strings(used)), codes=codes.astype(np.int32))

    @staticmethod
    def sharing_ids(rankings: Sequence[Ranking]) -> list[Ranking]:
        """The same rankings, all under one table of ids."""
        ids = rankings[0].ids
        if all(ranking.ids.same(ids) for ranking in rankings):
            return [replace(ranking, ids=ids) for ranking in rankings]
        tables = {id(ranking.ids): len(ranking.ids) for ranking in rankings}
        if sum(len(ranking.codes) for ranking in rankings) < sum(tables.values()):
            # a few hits do not pay for the table of a whole corpus
            rankings = [ranking.compact() for ranking in rankings]
            ids = rankings[0].ids
        union, codes = ids.merge(*(ranking.ids for ranking in rankings[1:]))
        return [ranking.recoded(union, new) for ranking, new in zip(rankings, codes, strict=True)]


def concatenate(parts: Sequence[Ranking]) -> Ranking:
    """Rankings of consecutive batches of queries as one.

    Args:
        parts: At least one ranking; all of one score kind, or with no hits.
    """
    if len(parts) == 1:
        return parts[0]
    parts = Ranking.sharing_ids(parts)
    spans: list[tuple[Span, ...] | None] = []
    if any(part.spans is not None for part in parts):
        for part in parts:
            spans.extend(part.spans if part.spans is not None else [None] * len(part.codes))
    with_hits = next((part for part in parts if len(part.codes)), parts[0])
    return Ranking(
        parts[0].ids,
        _offsets(np.concatenate([part.counts() for part in parts])),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        with_hits.kind,
        None
        if all(part.scored is None for part in parts)
        else np.concatenate([part.counts() if part.scored is None else part.scored for part in parts]),
        tuple(spans) if spans else None,
    )


def _duplicate(doc_id: str, stage: str) -> StageError:
    """The error for a document that stands twice in one query's hits."""
    return StageError(
        "a query's ranking holds a document twice",
        stage=stage,
        value=doc_id,
        fix="aggregate passages to documents first, or drop the duplicate",
    )


def _offsets(counts: NDArray[np.int64]) -> Offsets:
    """Start of each query's hits, from the number of hits of each."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
