"""Pointwise reranking: every candidate gets a score of its own.

The best `depth` hits are scored and put in the order of their scores; the hits below keep their order, under them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.ledger import Note
from rankloom.order import check_finite, in_order, strictly_decreasing
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Span
from rankloom.rerank.pair_stage import Computed, Outcome, Pair, PairStage
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker


class Scored(NamedTuple):
    """Scores of some pairs, in their order.

    Args:
        scores: Finite; float32 of shape (pairs,). Where a budget has stopped it, those of the first pairs alone.
        truncated: Tokens of each pair that the model did not read; int64 of shape (pairs,).
        calls: Batches that went through a model, or requests.
        tokens: Tokens that models read and wrote.
        bare: Pairs of which query or document has no vectors, so that the score says nothing; bool of shape (pairs,),
            or None where there are none.
        unlisted: How many labels of each pair a server has told no likelihood of; int64 of shape (pairs,), or None.
        stopped: Which limit of the budget was reached before the other pairs; empty if none was.
    """

    scores: NDArray[np.float32]
    truncated: NDArray[np.int64]
    calls: int
    tokens: int
    bare: NDArray[np.bool_] | None = None
    unlisted: NDArray[np.int64] | None = None
    stopped: str = ""


class Pointwise(PairStage, Reranker):
    """Rerank by a score for each query and document.

    A subclass sets `name` and `kind`, implements `score` and `identity`, and has a parameter `depth`. A query without
    text is not reranked: its hits keep their order under new scores from 0 downwards, and it is noted.

    Attributes:
        kind: What the scores mean.
    """

    kind: ClassVar[ScoreKind] = ScoreKind.SIMILARITY

    @abstractmethod
    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs. Nothing but float noise may depend on the company of a pair."""

    def compute(self, pairs: Sequence[Pair], session: Session) -> Computed:
        """The scores of some pairs as outcomes.

        Raises:
            StageError: A score is NaN or infinite; none is cached then.
        """
        scored = self.score(pairs, session)
        scores = np.asarray(scored.scores, dtype=np.float32)
        check_finite(scores, stage=self.name)
        outcomes = [
            Outcome({"score": score.reshape(1)}, int(truncated))
            for score, truncated in zip(scores, scored.truncated, strict=True)
        ]
        for place in [] if scored.bare is None else np.flatnonzero(scored.bare).tolist():
            outcomes[place] = outcomes[place].and_with("bare", 1)
        for place, labels in enumerate([] if scored.unlisted is None else scored.unlisted.tolist()):
            if labels:
                outcomes[place] = outcomes[place].and_with("unlisted", labels)
        return Computed(outcomes, scored.calls, scored.tokens, scored.stopped)

    def __call__(self, run: Run) -> Run:
        """Score the best `depth` hits of each query; the ledger says how many others keep their place."""
        after, outcomes, scored = self.outcomes(run)
        scores = np.array([outcome.arrays["score"][0] for outcome in outcomes], dtype=np.float32)
        before = run.hits(stage=self.name)
        below = before.counts() - scored
        notes = [
            Note(self.name, "not_reranked", run.queries[number].id, amount=int(below[number]))
            for number in np.flatnonzero(below)
        ]
        notes += self._told(run, outcomes, scored)
        return after.ranked(reranked(before, scores, scored, kind=self.kind)).noted(*notes)

    def _told(self, run: Run, outcomes: Sequence[Outcome], scored: NDArray[np.int64]) -> list[Note]:
        """Notes on pairs of which query or document has no vectors, or labels have no likelihoods."""
        ranking = run.hits(stage=self.name)
        ends = np.cumsum(scored)
        notes = []
        for place in [place for place, outcome in enumerate(outcomes) if {"bare", "unlisted"} & outcome.arrays.keys()]:
            number, arrays = int(np.searchsorted(ends, place, side="right")), outcomes[place].arrays
            doc_id = ranking.doc_ids(number)[place - int(ends[number] - scored[number])]
            query_id = run.queries[number].id
            if "bare" in arrays:
                notes.append(no_vectors(self.name, query_id, doc_id))
            if "unlisted" in arrays:
                notes.append(Note(self.name, "unlisted_label", query_id, doc_id, amount=int(arrays["unlisted"][0])))
        return notes


def no_vectors(stage: str, query_id: str, doc_id: str) -> Note:
    """The note that a hit's score is 0 because it, or the query, has no vectors."""
    return Note(stage, "no_vectors", query_id, doc_id, detail="nothing in it counts; its score is 0")


def reranked(ranking: Ranking, scores: NDArray[np.float32], scored: NDArray[np.int64], *, kind: ScoreKind) -> Ranking:
    """A ranking whose first hits have new scores.

    Args:
        ranking: The ranking to change.
        scores: Finite new scores of the first hits of each query, in the order of the ranking; float32 of shape
            (sum of scored,).
        scored: How many hits of each query they are for; int64 of shape (queries,).
        kind: What the scores mean.

    Returns:
        The scored hits of each query in the order of their scores, then the others in the order they had, each the
        smallest possible step of float32 below the one before it (the first, if none is scored, has 0). Spans move
        with their hits.
    """
    head = ranking.ranks() <= np.repeat(scored, ranking.counts())
    head_offsets = np.concatenate([[0], np.cumsum(scored)]).astype(np.int64)
    codes, new_scores = ranking.codes.copy(), np.zeros(len(ranking.codes), dtype=np.float32)
    codes[head], new_scores[head] = in_order(head_offsets, codes[head], scores + np.float32(0.0))
    if not head.all():
        _continue_below(ranking, new_scores, scored)
    return replace(
        ranking,
        codes=codes,
        scores=new_scores,
        kind=kind,
        scored=None if head.all() else scored,
        spans=_moved_spans(ranking, codes),
    )


def _continue_below(ranking: Ranking, scores: NDArray[np.float32], scored: NDArray[np.int64]) -> None:
    """Fill in the scores of the hits that have none: down from the lowest new score of their query."""
    counts, ranks = ranking.counts(), ranking.ranks()
    some = (scored > 0) & (scored < counts)
    lowest = np.zeros(len(ranking), dtype=np.float32)
    lowest[some] = scores[ranking.offsets[:-1][some] + scored[some] - 1]
    below = ranks > np.repeat(scored, counts)
    scores[below] = np.repeat(lowest, counts)[below]
    # A chain is the lowest scored hit of a query and those below: the first keeps its score, the others step down.
    chain = below | ((ranks == np.repeat(scored, counts)) & np.repeat(some, counts))
    lengths = np.where(scored < counts, counts - scored + some, 0)
    scores[chain] = strictly_decreasing(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), scores[chain])


def _moved_spans(ranking: Ranking, codes: NDArray[np.int32]) -> tuple[tuple[Span, ...] | None, ...] | None:
    """The spans of each hit, given the codes after the hits of each query have changed places."""
    if ranking.spans is None:
        return None
    numbers = ranking.query_numbers().tolist()
    spans = dict(zip(zip(numbers, ranking.codes.tolist(), strict=True), ranking.spans, strict=True))
    return tuple(spans[hit] for hit in zip(numbers, codes.tolist(), strict=True))
