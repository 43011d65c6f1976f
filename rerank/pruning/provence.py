"""Provence: one pass through one model reranks documents and prunes their sentences.

Chirkova, Formal, Nikoulina and Clinchant: Provence: efficient and robust context pruning for retrieval-augmented
generation, ICLR 2025 (arXiv:2501.16214).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.ledger import Note
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model
from rankloom.order import check_finite
from rankloom.parameter_kinds import NamesModel
from rankloom.provence_adapter import Rounding
from rankloom.ranking import ScoreKind
from rankloom.rerank.pair_stage import Outcome
from rankloom.rerank.pointwise import reranked
from rankloom.rerank.pruning.provence_layout import ProvenceLayout, read_layout
from rankloom.rerank.pruning.rounding import kept, sentence_means
from rankloom.rerank.pruning.sentence_stage import Judged, Rule, SentencePair, SentenceStage
from rankloom.rerank.pruning.splitting import AnySplitter
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker

Title = Literal["document", "first_sentence", "ignore"]
Aggregate = Literal["max", "first"]
_COMPARED = {"decision": "share of tokens ", "probability": "", "majority": "most tokens "}
_ORGANISATION = "naver"  # what a model name without a slash belongs to


class Provence(SentenceStage, Reranker):
    """Rerank the hits and mark each of their sentences as kept or dropped, from one pass of one model.

    Checkpoints in the layouts of Provence (`naver/provence-reranker-debertav3-v1`), XProvence and OpenProvence are
    read, and adapters of this project's own (`rankloom.provence_adapter`); which layout a model has stands in its
    files. The layouts are tested with small random checkpoints, against plain torch. Code that comes with a model is
    not run. (The weights of Naver's models may not be used commercially.)

    A sentence's `Span.probability` is the mean of its tokens' probabilities. `rounding` decides: a sentence is kept if
    the share of its tokens above the threshold is above the same threshold (`decision`), if the mean is above it
    (`probability`, as OpenProvence does), or if at least half of its tokens are (`majority`). `Span.reason` tells
    which.

    A text that is longer than the model reads is read in blocks of whole sentences, each with the question; its score
    is the largest of theirs. A sentence that is longer than a block is cut there, and noted, by Naver's models; by
    OpenProvence's and our own it is read in pieces, and its probability is the mean of theirs. Another threshold,
    rounding or number of sentences takes no second pass where the session has a cache.

    Args:
        model: A name on the hub, or a folder; see `rankloom.models.resolve_model`.
        threshold: Default: what the model's authors advise to keep all that may be useful: 0.1 for Provence, 0.3 for
            XProvence, what OpenProvence's and our own say of themselves. To keep what probably is, they advise 0.5 for
            Provence and 0.7 for XProvence.
        rounding: `decision`, `probability` or `majority`. Default: as the model's authors do (of Naver's, third parties
            say `decision`; the code that comes with them was not to be had).
        best: At most so many sentences of each document are kept, the likeliest; None for no limit.
        keep_at_least: So many sentences of each document are kept, the likeliest, whatever their probability.
        title: What is a title. `document`: that of the document, which the model reads before the text; it is no
            sentence of the text, and `RankedList.context` shows it with whatever is kept. `first_sentence`: the first
            sentence of the text, which is kept if another one is, and else judged like any other (Naver's
            `title="first_sentence"` with `always_select_title=True`, which they use in experiments, while their models'
            files leave it off).
            `ignore`: no title is read, and the first sentence is one like others.
        rerank: Put the hits in the order of the model's scores; False keeps order and scores.
        prune: Mark sentences; False only reranks.
        aggregate: What the score of a text in blocks is: the largest of theirs (`max`), or that of the `first`. With
            `prune=False` the first is all that is read then.
        splitter: What splits texts into sentences: `syntok`, `lines`, `module:function`, or a `Splitter`.
        max_tokens: Tokens of a block, with question and special ones. Default: the model's own limit, at most 512 for
            Naver's.
        depth: How many hits of each query are read; the others stay whole, below them.
        batch_size: Most blocks in one batch. Results depend on it only by float noise.

    Raises:
        UsageError: A parameter is out of range, a word is unknown, or there is nothing left to do; when the model is
            loaded, `max_tokens` is more than it has positions for.
    """

    name = "provence"
    requires = ("transformers",)
    version = 2
    decides_later = frozenset({*SentenceStage.decides_later, "rounding", "rerank", "prune", "aggregate"})

    def __init__(
        self,
        model: Annotated[str, NamesModel(_ORGANISATION)],
        *,
        threshold: float | None = None,
        rounding: Rounding | None = None,
        best: int | None = None,
        keep_at_least: int = 0,
        title: Title = "document",
        rerank: bool = True,
        prune: bool = True,
        aggregate: Aggregate = "max",
        splitter: AnySplitter = "syntok",
        max_tokens: int | None = None,
        depth: int = 100,
        batch_size: int = 32,
    ) -> None:
        super().__init__(threshold=threshold, best=best, keep_at_least=keep_at_least, splitter=splitter, depth=depth)
        choice(title, get_args(Title), stage=self.name, parameter="title")
        choice(aggregate, get_args(Aggregate), stage=self.name, parameter="aggregate")
        if rounding is not None:
            choice(rounding, get_args(Rounding), stage=self.name, parameter="rounding")
        if not (rerank or prune):
            raise UsageError("is told to do nothing", stage=self.name, fix="rerank=True, prune=True, or both")
        if max_tokens is not None:
            whole(max_tokens, least=8, stage=self.name, parameter="max_tokens")
        self.model, self.rounding, self.title, self.aggregate = model, rounding, title, aggregate
        self.rerank, self.prune, self.max_tokens = rerank, prune, max_tokens
        self.batch_size = whole(batch_size, least=1, stage=self.name, parameter="batch_size")
        self.title_first = title == "first_sentence"
        self.provides = SentenceStage.provides if prune else frozenset()
        self._loaded: LoadedModel | None = None
        self._layouts: dict[str, ProvenceLayout] = {}  # by the model's fingerprint

    def __call__(self, run: Run) -> Run:
        """Read the best `depth` hits of each query, prune them, and put them in the order of their scores."""
        after, outcomes, counts = self.outcomes(run)
        ranking = run.hits(stage=self.name)
        notes: list[Note] = []
        if self.prune:
            ranking, notes = self.pruned(run, outcomes, counts)
        if self.rerank:
            below = ranking.counts() - counts
            notes += [
                Note(self.name, "not_reranked", run.queries[number].id, amount=int(below[number]))
                for number in np.flatnonzero(below)
            ]
            scores = np.array([self._score(outcome) for outcome in outcomes], dtype=np.float32)
            ranking = reranked(ranking, scores, counts, kind=self.kind(run.session))
        return after.ranked(ranking).noted(*notes)

    def kind(self, session: Session) -> ScoreKind:
        """What the scores mean: a logit, or for OpenProvence's models a probability."""
        return self._layout(self._found(session)).kind

    def judge(self, pairs: Sequence[SentencePair], session: Session) -> Judged:
        """Probabilities of sentences, and beside them the scores and the probabilities of tokens.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is no Provence model.
            StageError: It can not be loaded, or gives a score that is no number.
        """
        from rankloom.rerank.pruning.provence_reading import read_pairs

        loaded = self._load(session)
        layout = self._layout(self._found(session))
        with loaded.lock:
            found = read_pairs(
                loaded,
                layout,
                pairs,
                titled=self.title == "document",
                batch_size=self.batch_size,
                blocks=1 if self._first_alone() else None,
            )
        for one in found.pairs:
            check_finite(one.scores, stage=self.name)
        return Judged(
            [sentence_means(one.probabilities, one.counts, one.pieces).astype(np.float32) for one in found.pairs],
            np.array([one.truncated for one in found.pairs], dtype=np.int64),
            found.calls,
            found.tokens,
            more=[
                {"scores": one.scores, "tokens": one.probabilities, "counts": one.counts, "pieces": one.pieces}
                for one in found.pairs
            ],
        )

    def rule(self, session: Session) -> Rule:
        """What tells which sentences of a pair pass: the rounding of their tokens' probabilities."""
        rounding, threshold = self._rounding(session), self.least(session)

        def passes(outcome: Outcome) -> NDArray[np.bool_]:
            tokens = np.asarray(outcome.arrays["tokens"], dtype=np.float32)
            counts, pieces = (outcome.arrays[name].astype(np.int64) for name in ("counts", "pieces"))
            return kept(tokens, counts, pieces, threshold=threshold, rounding=rounding)

        return passes

    def default_threshold(self, session: Session) -> float:
        """What the model's authors advise."""
        return self._layout(self._found(session)).threshold

    def compared(self, session: Session) -> str:
        """What of a sentence is above or below the threshold, in the words of `Span.reason`."""
        return _COMPARED[self._rounding(session)]

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint; see `PairStage.identity`."""
        if session is None:
            return model_identity(self.model, stage=self.name, organisation=_ORGANISATION)
        return self._found(session).fingerprint

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    # --- inside ------------------------------------------------------------------------------------------------

    def _found(self, session: Session) -> ResolvedModel:
        """The model's files."""
        return resolve_model(self.model, offline=session.offline, stage=self.name, organisation=_ORGANISATION)

    def _layout(self, found: ResolvedModel) -> ProvenceLayout:
        """How the model is built and read; its files are read once."""
        if found.fingerprint not in self._layouts:
            self._layouts[found.fingerprint] = read_layout(found, max_tokens=self.max_tokens, stage=self.name)
        return self._layouts[found.fingerprint]

    def _rounding(self, session: Session) -> Rounding:
        """The rounding that was asked for, or the model's own."""
        return self.rounding or self._layout(self._found(session)).rounding

    def _first_alone(self) -> bool:
        """Whether nothing is wanted but the score of the first block."""
        return not self.prune and self.aggregate == "first"

    def _digest(self, left_out: frozenset[str], *others: str) -> str:
        """As for any pruner; outcomes of texts of which the first block alone was read are others."""
        return super()._digest(left_out, *others, *(["first block"] if self._first_alone() else []))

    def _load(self, session: Session) -> LoadedModel:
        """The model in memory."""
        from rankloom.rerank.pruning.provence_model import provence_model

        found = self._found(session)
        self._loaded = provence_model(found, self._layout(found), session, stage=self.name)
        return self._loaded

    def _score(self, outcome: Outcome) -> float:
        """The score of a document, from its blocks'."""
        scores = outcome.arrays["scores"]
        return float(scores.max() if self.aggregate == "max" else scores[0])
