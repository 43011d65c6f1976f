"""A cascade inside documents: a cheap reranker reads all passages of a long document, an expensive one the best.

Hofstätter et al.: Intra-Document Cascading, SIGIR 2021 (arXiv:2105.09816), here with any two rerankers; `IDCM` is the
one with learned parts. Rerankers one after the other over *documents* need no stage: `cheap >> top(10) >> expensive`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.errors import CompositionError, StageError, UsageError
from rankloom.ledger import Ledger, Note
from rankloom.parameter_kinds import Inner
from rankloom.pipeline import Pipeline
from rankloom.ranking import ScoreKind
from rankloom.rerank.passages import Passages, PassageScores, Windows
from rankloom.rerank.pointwise import reranked
from rankloom.rerank.window_choice import Aggregate, aggregated, best_windows
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker, Stage

_ALL = 1 << 31  # a depth that no ranking reaches
_LIMITS = ("depth", "k")  # parameters of rerankers that leave hits without a score, or unsorted


class Cascade(Reranker):
    """Rerank long documents by their best passages, chosen by a cheap reranker and scored by an expensive one.

    A document is cut into windows of words. `cheap` scores the windows of every document, `expensive` those that are
    best by it, and these scores make the document's. Both may be any reranker of texts, or several one after the other;
    they score all windows that they are given, whatever their own `depth`, and those that sort settle the places of all
    of them, whatever their own `k`: that takes more comparisons than their best `k` alone. They keep what they computed
    in the cache, under the texts of query and window. Where the session's budget does not suffice for a query, only its
    first hits are scored, as with a smaller `depth`; it is noted as `unfinished`.

    Args:
        expensive: Scores the chosen windows.
        cheap: Chooses them; not asked about documents that have no more windows than are kept. None keeps the first
            windows of each document.
        window: Words of a window without its overlap.
        overlap: Words that windows reach beyond that, on either side. Both defaults are IDCM's, which counts tokens.
        keep: Windows of each document that `expensive` reads; 4 as in the published IDCM. None: all.
        aggregate: What a document's score is of those windows' scores: the largest (`max`), that of the one that is
            `first` in the document, their `mean`, or a list of weights of the best, the second best and so on.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.

    Raises:
        UsageError: A number is not positive and whole, a word is unknown, or there are no weights.
        CompositionError: There is no `expensive`, or one of the two is no reranker of texts.

    Example:
        >>> from rankloom.rerank import BiEncoder, CrossEncoder
        >>> Cascade(CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2"), BiEncoder(), keep=3).keep
        3
    """

    name = "cascade"
    grain = "none"  # both rerankers remember what they computed

    def __init__(
        self,
        expensive: Inner = None,
        cheap: Inner = None,
        *,
        window: int = 50,
        overlap: int = 7,
        keep: int | None = 4,
        aggregate: Aggregate | list[float] = "max",
        depth: int = 100,
    ) -> None:
        self.expensive, self.cheap = expensive, cheap
        self.window = whole(window, least=1, stage=self.name, parameter="window")
        self.overlap = whole(overlap, least=0, stage=self.name, parameter="overlap")
        self.keep = None if keep is None else whole(keep, least=1, stage=self.name, parameter="keep")
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        if isinstance(aggregate, str):
            choice(aggregate, get_args(Aggregate), stage=self.name, parameter="aggregate")
        elif not len(aggregate):
            raise UsageError("aggregate has no weights", stage=self.name, value=aggregate, accepted="at least one")
        self.aggregate = aggregate
        if expensive is None:
            raise CompositionError("nothing scores the windows", stage=self.name, fix="name a reranker as `expensive`")
        self._expensive = self._scoring_all(expensive)
        self._cheap = None if cheap is None else self._scoring_all(cheap)

    def __call__(self, run: Run) -> Run:
        """Score the best `depth` hits of each query; the ledger says how many others keep their place.

        Raises:
            StageError: A reranker leaves windows without a score, or `expensive` gives ranks where scores are added up.
        """
        before = run.hits(stage=self.name)
        with_text = np.array([bool(query.text.strip()) for query in run.queries], dtype=np.int64)
        wanted = np.minimum(before.counts(), self.depth) * with_text
        hits = [before.doc_ids(number)[: int(count)] for number, count in enumerate(wanted)]
        unique = list(dict.fromkeys(doc_id for ids in hits for doc_id in ids))
        passages = Passages(run.texts(stage=self.name).get(unique), core=self.window, overlap=self.overlap)
        chosen, cheap = self._chosen(run, passages, hits)
        read = passages.scored(self._expensive, run, chosen, asks=self.name)
        done = [_complete(windows, found) for windows, found in zip(chosen, read.scores, strict=True)]
        scored = np.array([len(windows) for windows in done], dtype=np.int64)
        ranking = reranked(before, self._scores(read, done), scored, kind=read.kind)
        notes = _notes(run, before.counts() - scored, with_text)
        notes += _unfinished(run, {**read.stopped, **cheap.stopped}, scored, wanted)
        return replace(run.ranked(ranking), ledger=run.ledger.noted(*notes) + cheap.ledger + read.ledger)

    @property
    def inner(self) -> tuple[Stage, ...]:
        """The rerankers, the cheap one first."""
        return tuple(stage for stage in (self.cheap, self.expensive) if stage is not None)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the models of both."""
        for stage in self._both():
            stage.warm_up(session)

    def close(self) -> None:
        """Free the models of both."""
        for stage in self._both():
            stage.close()

    # --- inside ------------------------------------------------------------------------------------------------

    def _both(self) -> tuple[Stage, ...]:
        """The rerankers as they are carried out."""
        return tuple(stage for stage in (self._cheap, self._expensive) if stage is not None)

    def _chosen(
        self, run: Run, passages: Passages, hits: Sequence[Sequence[str]]
    ) -> tuple[list[Windows], PassageScores]:
        """For each query, the windows of its hits that the expensive reranker reads, and the scores that chose them.

        Hits from the first on that a budget did not suffice for are left out.
        """
        windows, keep = passages.windows, self.keep
        if keep is None or self._cheap is None:
            unread = PassageScores((), ScoreKind.RANK, Ledger(), {})
            return [{doc_id: windows[doc_id][:keep] for doc_id in ids} for ids in hits], unread
        longer = [{doc_id: windows[doc_id] for doc_id in ids if len(windows[doc_id]) > keep} for ids in hits]
        cheap = passages.scored(self._cheap, run, longer, asks=self.name)
        chosen: list[Windows] = []
        for ids, longer_ones, found in zip(hits, longer, cheap.scores, strict=True):
            known = _complete(longer_ones, found)
            own: dict[str, list[str]] = {}
            for doc_id in ids:
                names = windows[doc_id]
                if len(names) > keep:
                    if doc_id not in known:
                        break
                    scores = np.array([found[one] for one in names])
                    names = [names[place] for place in sorted(best_windows(scores, keep))]
                own[doc_id] = names
            chosen.append(own)
        return chosen, cheap

    def _scores(self, read: PassageScores, done: Sequence[Windows]) -> NDArray[np.float32]:
        """The scores of hits all of whose windows were read, one query after the other."""
        if read.kind is ScoreKind.RANK and self.aggregate not in ("max", "first"):
            raise StageError(
                "ranks of windows can not be added up",
                stage=self.name,
                value=self.aggregate,
                fix="let aggregate be max or first, or take a reranker whose scores are its own",
            )
        scores = [
            aggregated(np.array([found[one] for one in names]), self.aggregate)
            for windows, found in zip(done, read.scores, strict=True)
            for names in windows.values()
        ]
        return np.array(scores, dtype=np.float32)

    def _scoring_all(self, stage: Stage) -> Stage:
        """A reranker without a depth of its own, which puts all hits in order.

        Raises:
            CompositionError: It is no reranker of texts.
        """
        if not isinstance(stage, Stage):
            raise CompositionError("this is no stage", stage=self.name, value=stage, accepted="a reranker")
        stages = stage.stages if isinstance(stage, Pipeline) else (stage,)
        strange = next((one for one in stages if not isinstance(one, Reranker) or type(one).reads is not None), None)
        if strange is not None:
            raise CompositionError(
                f"{strange.name} can not score windows: they are in no index",
                stage=self.name,
                accepted="a reranker that reads texts, or several",
                fix="take bi_encoder, late_interaction or cross_encoder",
            )
        deep = [one.replace(**{limit: _ALL for limit in _LIMITS if limit in one.params()}) for one in stages]
        return Pipeline(deep) if isinstance(stage, Pipeline) else deep[0]


def _complete(windows: Windows, found: Mapping[str, float]) -> Windows:
    """The first documents, up to one of which a window has no score."""
    return dict(takewhile(lambda item: all(one in found for one in item[1]), windows.items()))


def _notes(run: Run, below: NDArray[np.int64], with_text: NDArray[np.int64]) -> list[Note]:
    """Of queries without text, and of hits below the depth."""
    notes = []
    for query, count, text in zip(run.queries, below.tolist(), with_text.tolist(), strict=True):
        if count and not text:
            notes.append(Note(Cascade.name, "empty_query", query.id))
        if count:
            notes.append(Note(Cascade.name, "not_reranked", query.id, amount=count))
    return notes


def _unfinished(
    run: Run, stopped: Mapping[str, str], scored: NDArray[np.int64], wanted: NDArray[np.int64]
) -> list[Note]:
    """Of queries that the budget did not suffice for, counted in documents; the rerankers count windows."""
    notes = []
    for query, count, most in zip(run.queries, scored.tolist(), wanted.tolist(), strict=True):
        if query.id in stopped:
            done = f"its first {count} hits are done" if count < most else "the best so far"
            notes.append(Note(Cascade.name, "unfinished", query.id, detail=f"{stopped[query.id]}; {done}"))
    return notes
