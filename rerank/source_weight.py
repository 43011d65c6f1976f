"""Acting on what sources are worth: leave the hits of poor sources out, or let them sink.

The weights are those that `rankloom.eval.importance` learns (Lyu et al., "Improving Retrieval-Augmented Large Language
Models via Data Importance Learning", 2023), or any others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between
from rankloom.errors import DataError, UsageError
from rankloom.ledger import Note
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Documents
from rankloom.rerank.pointwise import reranked
from rankloom.run import Run
from rankloom.stage import Reranker, Stage


@dataclass(frozen=True, slots=True)
class SourceOf:
    """A function that tells a document's source, under a name.

    Args:
        name: Stands for the function in fingerprints; a changed function needs a new name, or caches mix up results.
        function: Document -> source, or None if it has none.

    Example:
        >>> host = SourceOf("host of the url", lambda document: document.metadata["url"].split("/")[2])
        >>> host.function(Document("d1", "", metadata={"url": "https://example.org/sky"}))
        'example.org'
    """

    name: str
    function: Callable[[Document], str | None]

    def fingerprint(self) -> str:
        """The name."""
        return self.name


def read_sources(
    documents: Documents, doc_ids: Sequence[str], source: str | SourceOf, *, stage: str
) -> list[str | None]:
    """The sources of some documents, in the order asked; None for those without.

    Args:
        documents: Where the documents are.
        doc_ids: Whose sources are wanted.
        source: A metadata key, or a `SourceOf`.
        stage: Who asks, for the error.

    Raises:
        DataError: A source is not a string.
    """
    found = []
    for document in documents.get(list(doc_ids)):
        told = document.metadata.get(source) if isinstance(source, str) else source.function(document)
        if told is not None and not isinstance(told, str):
            raise DataError(
                f"the source of {document.id} is not a string", stage=stage, value=told, accepted="a string"
            )
        found.append(told)
    return found


class SourceFilter(Stage):
    """Leave out the hits of sources whose weight is below a threshold.

    Hits of other sources, also of those that have no weight, keep their order and scores. The ledger tells for each
    query how many hits were left out and of which sources, and how many are of unknown source.

    Args:
        weights: Source -> weight, 0 to 1.
        threshold: Least weight of a source that stays; see `rankloom.eval.importance.tune_threshold`.
        source: The metadata key of a document's source, or a `SourceOf`.

    Raises:
        UsageError: A weight or the threshold is not between 0 and 1.

    Example:
        >>> documents = [Document("d1", "Buy!", metadata={"source": "ads"}), Document("d2", "The blue sky.")]
        >>> run = SourceFilter({"ads": 0.1}).run(Run.from_documents("sky", documents))
        >>> run["q1"].doc_ids
        ['d2']
    """

    name = "source_filter"
    needs = frozenset({"ranking", "text"})
    grain = "none"

    def __init__(
        self, weights: Mapping[str, float], *, threshold: float = 0.5, source: str | SourceOf = "source"
    ) -> None:
        self.weights = _checked(weights, self.name)
        self.threshold = between(threshold, 0, 1, stage=self.name, parameter="threshold")
        self.source = _checked_source(source, self.name)

    def __call__(self, run: Run) -> Run:
        """The run without the hits of poor sources."""
        before = run.hits(stage=self.name)
        sources, weights = _weighed(run, before, self.weights, self.source, unknown=1.0, stage=self.name)
        poor = np.array([source in self.weights for source in sources], dtype=np.bool_) & (weights < self.threshold)
        notes = [*_unknown_notes(run, before, sources, self.weights, self.name)]
        for number, some in _by_query(before, sources, poor):
            told = ", ".join(f"{source}: {hits}" for source, hits in sorted(Counter(some).items()))
            notes.append(
                Note(self.name, "dropped_hits", run.queries[number].id, amount=len(some), detail=f"left out, {told}")
            )
            if len(some) == before.counts()[number]:
                notes.append(Note(self.name, "no_hits", run.queries[number].id, detail="all hits were left out"))
        return run.ranked(_only(before, ~poor)).noted(*notes)


class SourceWeight(Reranker):
    """Multiply the score of each hit by the weight of its source.

    Only for scores that are 0 or more and whose ratios mean something: similarities such as BM25's, and
    probabilities. Hits that an earlier reranker has not scored keep their order below those that it has.

    Args:
        weights: Source -> weight, 0 to 1.
        unknown: Weight of a source that has none; learning starts from 0.5, so 0.5 says that nothing was learnt.
        source: The metadata key of a document's source, or a `SourceOf`.

    Raises:
        UsageError: A weight is not between 0 and 1.

    Example:
        >>> from rankloom.corpus import MemoryDocuments
        >>> ads = MemoryDocuments([Document("d1", "Buy!", metadata={"source": "ads"}), Document("d2", "The blue sky.")])
        >>> run = Run.from_dict({"q": {"d1": 9.0, "d2": 5.0}}, documents=ads)
        >>> SourceWeight({"ads": 0.5}).run(run).to_dict()
        {'q': {'d2': 5.0, 'd1': 4.5}}
    """

    name = "source_weight"
    grain = "none"

    def __init__(
        self, weights: Mapping[str, float], *, unknown: float = 1.0, source: str | SourceOf = "source"
    ) -> None:
        self.weights = _checked(weights, self.name)
        self.unknown = between(unknown, 0, 1, stage=self.name, parameter="unknown")
        self.source = _checked_source(source, self.name)

    def __call__(self, run: Run) -> Run:
        """The run with weighted scores.

        Raises:
            UsageError: The scores are logits or ranks, or one is negative.
        """
        before = run.hits(stage=self.name)
        self._check_scores(before)
        sources, weights = _weighed(run, before, self.weights, self.source, unknown=self.unknown, stage=self.name)
        scored = before.counts() if before.scored is None else before.scored
        head = before.ranks() <= np.repeat(scored, before.counts())
        scores = (before.scores[head] * weights[head]).astype(np.float32)
        notes = [*_unknown_notes(run, before, sources, self.weights, self.name)]
        for number in np.flatnonzero(before.counts() - scored):
            below = int(before.counts()[number] - scored[number])
            notes.append(Note(self.name, "not_reranked", run.queries[number].id, amount=below))
        return run.ranked(reranked(before, scores, scored, kind=before.kind)).noted(*notes)

    def _check_scores(self, ranking: Ranking) -> None:
        """Refuse scores that a weight below 1 would not make worse."""
        wrong = ranking.kind if ranking.kind in (ScoreKind.LOGIT, ScoreKind.RANK) else None
        if len(ranking.codes) and (wrong or ranking.scores.min() < 0):
            raise UsageError(
                "these scores can not be multiplied by a weight",
                stage=self.name,
                value=wrong or float(ranking.scores.min()),
                accepted="similarities and probabilities of 0 or more",
                fix="use source_filter, or weigh the hits before they are reranked",
            )


def _checked(weights: Mapping[str, float], stage: str) -> Mapping[str, float]:
    """A copy of weights that can not be changed."""
    checked = {
        source: between(weight, 0, 1, stage=stage, parameter=f"the weight of {source}")
        for source, weight in weights.items()
    }
    return MappingProxyType(checked)


def _checked_source(source: str | SourceOf, stage: str) -> str | SourceOf:
    """The source, if it is a key or a named function."""
    if not isinstance(source, str | SourceOf):
        raise UsageError(
            "source is neither a metadata key nor a SourceOf",
            stage=stage,
            value=source,
            fix='give a function a name: SourceOf("my function", function)',
        )
    return source


def _weighed(
    run: Run, ranking: Ranking, weights: Mapping[str, float], source: str | SourceOf, *, unknown: float, stage: str
) -> tuple[list[str | None], NDArray[np.float64]]:
    """The source of each hit and its weight, float64 of shape (hits,); each document is read once."""
    codes, places = np.unique(ranking.codes, return_inverse=True)
    found = read_sources(run.texts(stage=stage), ranking.ids.take(codes), source, stage=stage)
    of_codes = [unknown if one is None else weights.get(one, unknown) for one in found]
    return [found[place] for place in places.tolist()], np.array(of_codes, dtype=np.float64)[places]


def _by_query(
    ranking: Ranking, sources: Sequence[str | None], wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, list[str]]]:
    """The number of each query with wanted hits, and their sources."""
    hits: dict[int, list[str]] = {}
    numbers = ranking.query_numbers()
    for place in np.flatnonzero(wanted).tolist():
        hits.setdefault(int(numbers[place]), []).append(sources[place] or "no source")
    return iter(hits.items())


def _unknown_notes(
    run: Run, ranking: Ranking, sources: Sequence[str | None], weights: Mapping[str, float], stage: str
) -> Iterator[Note]:
    """A note for each query with hits of unknown source: a misspelt metadata key must not pass unseen."""
    unknown = np.array([source not in weights for source in sources], dtype=np.bool_)
    for number, some in _by_query(ranking, sources, unknown):
        detail = f"kept, source without a weight, such as {min(some)}"
        yield Note(stage, "unknown_source", run.queries[number].id, amount=len(some), detail=detail)


def _only(ranking: Ranking, kept: NDArray[np.bool_]) -> Ranking:
    """The ranking of some of its hits."""
    ends = np.concatenate([[0], np.cumsum(kept)])
    scored = None
    if ranking.scored is not None:
        head = ends[ranking.offsets[:-1] + np.minimum(ranking.scored, ranking.counts())]
        scored = head - ends[ranking.offsets[:-1]]
    spans = ranking.spans
    return replace(
        ranking,
        offsets=ends[ranking.offsets],
        codes=ranking.codes[kept],
        scores=ranking.scores[kept],
        scored=scored,
        spans=None if spans is None else tuple(one for one, stays in zip(spans, kept, strict=True) if stays),
    )
