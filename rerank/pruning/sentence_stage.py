"""The base of pruners: each sentence of a document gets a probability, and from these follows what is kept.

A pruner says how probable the sentences are (`judge`). Splitting, caching, and the choice by threshold, number and
title stand here; the choice can be made anew without asking the model again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, whole
from rankloom.errors import UsageError
from rankloom.ledger import Note
from rankloom.order import check_finite
from rankloom.ranking import Ranking
from rankloom.records import TITLE, Document, Span
from rankloom.rerank.pair_stage import Computed, Outcome, Pair, PairStage
from rankloom.rerank.pruning.splitting import AnySplitter, splitter_of
from rankloom.run import Run
from rankloom.session import Session


@dataclass(frozen=True, slots=True)
class SplitDocument(Document):
    """A document that brings its sentences, so that no splitter is asked.

    Args:
        sentences: Start and end of each sentence of the text.
    """

    sentences: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SentencePair:
    """A query's text and a document that is split into sentences.

    Args:
        query: The text of the query, not blank.
        document: The document.
        offsets: Start and end of each sentence of the document's text; the text may have none.
    """

    query: str
    document: Document
    offsets: tuple[tuple[int, int], ...]

    @property
    def sentences(self) -> list[str]:
        """The sentences themselves."""
        return [self.document.text[start:end] for start, end in self.offsets]


class Judged(NamedTuple):
    """How probable the sentences of some pairs are, in their order.

    Args:
        probabilities: For each pair, those of its sentences, 0 to 1; float32 of shape (sentences,).
        truncated: Tokens of each pair that the model did not read; int64 of shape (pairs,).
        calls: Batches that went through a model, or requests.
        tokens: Tokens that models read and wrote.
        stopped: Which limit of the session's budget was reached; the last pairs are missing then. Empty if none was.
        more: For each pair, what else is to be remembered, by name; empty if nothing is.
        written: Those of the tokens that models wrote.
        passing: Pairs of which the next call may tell more, so that they are not to be remembered; bool of shape
            (pairs,), or None where there are none.
    """

    probabilities: list[NDArray[np.float32]]
    truncated: NDArray[np.int64]
    calls: int
    tokens: int
    stopped: str = ""
    more: Sequence[Mapping[str, NDArray[np.generic]]] = ()
    written: int = 0
    passing: NDArray[np.bool_] | None = None


#: Outcome -> which sentences of the pair pass the threshold; bool of shape (sentences,).
Rule = Callable[[Outcome], NDArray[np.bool_]]


class SentenceStage(PairStage):
    """A stage that marks each sentence of a document as kept or dropped.

    A pruner inherits this class and `rankloom.Pruner`, sets `name`, implements `judge` and `identity`, and calls this
    constructor with what it is given of the parameters below. Order and scores of the hits stay as they are. A document
    of which nothing is kept stays in the ranking with an empty pruned text and the note `nothing_kept`.

    Args:
        threshold: Least probability of a sentence that is kept, 0 to 1; None for `default_threshold`.
        best: At most so many sentences of each document are kept, the likeliest; None for no limit.
        keep_at_least: So many sentences of each document are kept, the likeliest, whatever their probability.
        splitter: What splits texts into sentences; see `splitter_of`.
        depth: How many hits of each query are pruned; the others stay whole.

    Raises:
        UsageError: A parameter is out of range, or the splitter is unknown.
    """

    needs = frozenset({"ranking", "text"})
    provides = frozenset({"spans"})
    decides_later: ClassVar[frozenset[str]] = frozenset({"depth", "threshold", "best", "keep_at_least"})
    #: Whether the first sentence of a text is its title: kept if another sentence is, else judged like any other.
    title_first = False

    def __init__(
        self, *, threshold: float | None, best: int | None, keep_at_least: int, splitter: AnySplitter, depth: int
    ) -> None:
        self.threshold = None if threshold is None else between(threshold, 0, 1, stage=self.name, parameter="threshold")
        self.best = None if best is None else whole(best, least=1, stage=self.name, parameter="best")
        self.keep_at_least = whole(keep_at_least, least=0, stage=self.name, parameter="keep_at_least")
        if best is not None and keep_at_least > best:
            accepted = f"at most best={best}"
            raise UsageError("keep_at_least is out of range", stage=self.name, value=keep_at_least, accepted=accepted)
        self.splitter = splitter
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self._splitter = splitter_of(splitter, stage=self.name)

    @abstractmethod
    def judge(self, pairs: Sequence[SentencePair], session: Session) -> Judged:
        """How probable the sentences of some pairs are. Nothing but float noise may depend on a pair's company."""

    def default_threshold(self, session: Session) -> float:  # noqa: ARG002  # some ask their model
        """The threshold of a stage that was told none."""
        return 0.5

    def least(self, session: Session) -> float:
        """The threshold in a session."""
        return self.default_threshold(session) if self.threshold is None else self.threshold

    def compared(self, session: Session) -> str:  # noqa: ARG002  # some ask their model
        """What of a sentence is above or below the threshold, in reasons; empty for its probability."""
        return ""

    def rule(self, session: Session) -> Rule:
        """What tells which sentences of a pair pass: those whose probability is at least the threshold."""
        least = np.float32(self.least(session))
        return lambda outcome: np.asarray(outcome.arrays["probabilities"] >= least, dtype=np.bool_)

    def __call__(self, run: Run) -> Run:
        """Prune the best `depth` hits of each query."""
        after, outcomes, counts = self.outcomes(run)
        ranking, notes = self.pruned(run, outcomes, counts)
        return after.ranked(ranking).noted(*notes)

    def pruned(self, run: Run, outcomes: Sequence[Outcome], counts: NDArray[np.int64]) -> tuple[Ranking, list[Note]]:
        """The ranking of a run with spans, and a note for each document of which nothing is kept.

        Args:
            run: What came in.
            outcomes: Of the first hits of each query, in the order of the ranking.
            counts: How many of each query there are; int64 of shape (queries,).
        """
        ranking, rule, compared = run.hits(stage=self.name), self.rule(run.session), self.compared(run.session)
        spans: list[tuple[Span, ...] | None] = [None] * len(ranking.codes)
        notes = []
        places = np.flatnonzero(ranking.ranks() <= np.repeat(counts, ranking.counts()))
        for place, number, outcome in zip(places, ranking.query_numbers()[places], outcomes, strict=True):
            sentences = spans[place] = self.spans(outcome, rule(outcome), compared)
            if not any(span.kept for span in sentences):
                doc_id = ranking.ids[int(ranking.codes[place])]
                notes.append(Note(self.name, "nothing_kept", run.queries[number].id, doc_id))
        return replace(ranking, spans=tuple(spans)), notes

    def compute(self, pairs: Sequence[Pair], session: Session) -> Computed:
        """Offsets and probabilities of the sentences of some pairs.

        Raises:
            StageError: A probability is NaN or infinite; none is cached then.
        """
        judged = self.judge(split := self.split(pairs), session)
        outcomes = []
        for place, (probabilities, truncated) in enumerate(zip(judged.probabilities, judged.truncated, strict=True)):
            check_finite(probabilities, stage=self.name)
            offsets = np.array(split[place].offsets, dtype=np.int64).reshape(-1, 2)
            arrays: dict[str, NDArray[np.generic]] = {"offsets": offsets}
            arrays["probabilities"] = np.asarray(probabilities, dtype=np.float32)
            more = judged.more[place] if judged.more else {}
            passing = judged.passing is not None and bool(judged.passing[place])
            outcomes.append(Outcome({**arrays, **more}, int(truncated), passing))
        return Computed(outcomes, judged.calls, judged.tokens, judged.stopped, judged.written)

    def split(self, pairs: Sequence[Pair]) -> list[SentencePair]:
        """Pairs with the sentences of their documents; equal texts are split once."""
        texts = dict.fromkeys(pair.document.text for pair in pairs if not isinstance(pair.document, SplitDocument))
        offsets = {text: tuple(self._splitter(text)) for text in texts}
        return [
            SentencePair(
                pair.query,
                pair.document,
                pair.document.sentences if isinstance(pair.document, SplitDocument) else offsets[pair.document.text],
            )
            for pair in pairs
        ]

    def spans(self, outcome: Outcome, above: NDArray[np.bool_], compared: str = "") -> tuple[Span, ...]:
        """The sentences of a document, each with its fate.

        Args:
            outcome: Their offsets and probabilities.
            above: Which of them pass; bool of shape (sentences,).
            compared: See `compared`.
        """
        probabilities = [float(probability) for probability in outcome.arrays["probabilities"]]
        fates = decide(
            probabilities,
            above.tolist(),
            best=self.best,
            keep_at_least=self.keep_at_least,
            title_first=self.title_first,
            compared=compared,
        )
        offsets = outcome.arrays["offsets"].tolist()
        return tuple(
            Span(start, end, probability, kept, reason)
            for (start, end), probability, (kept, reason) in zip(offsets, probabilities, fates, strict=True)
        )

    def _read(self, pair: Pair) -> tuple[object, ...]:
        """What an outcome depends on besides the stage; sentences that a document brings are a part of it."""
        own = [pair.document.sentences] if isinstance(pair.document, SplitDocument) else []
        return (*super()._read(pair), *own)

    def _digest(self, left_out: frozenset[str], *others: str) -> str:
        """As for any pair stage; the splitter counts with what it is, not only by its word."""
        return super()._digest(left_out, *others, self._splitter.fingerprint())


def decide(
    probabilities: Sequence[float],
    above: Sequence[bool],
    *,
    best: int | None = None,
    keep_at_least: int = 0,
    title_first: bool = False,
    compared: str = "",
) -> list[tuple[bool, str]]:
    """Which sentences of a text are kept, and why.

    Args:
        probabilities: How probable each is; of equal ones, the earlier comes first.
        above: Which of them pass the threshold.
        best: At most so many are kept, the likeliest; None for no limit.
        keep_at_least: So many are kept, the likeliest, whatever their probability.
        title_first: The first sentence is a title. If another sentence is kept, so is it, and it counts neither among
            the best nor among those to be kept. If none is, it stands alone where it is above the threshold itself, as
            with Provence's and OpenProvence's own code, or where `keep_at_least` is told and the text has nothing else.
        compared: What of a sentence is above the threshold, for reasons; empty for its probability.

    Example:
        >>> decide([0.9, 0.2, 0.6], [True, False, True], best=1)
        [(True, 'above threshold'), (False, 'below threshold'), (False, 'not among the best')]
    """
    likeliest = sorted(range(int(title_first), len(above)), key=lambda place: (-probabilities[place], place))
    ranks = {place: rank for rank, place in enumerate(likeliest)}
    fates = []
    for place, passes in enumerate(above):
        rank = ranks.get(place, 0)
        if passes and best is not None and rank >= best:
            fates.append((False, "not among the best"))
        elif passes:
            fates.append((True, f"{compared}above threshold"))
        else:
            fates.append((True, "among the best") if rank < keep_at_least else (False, f"{compared}below threshold"))
    if title_first and any(kept for kept, _ in fates[1:]):
        fates[0] = (True, TITLE)
    return fates
