"""Views of one query's hits: `RankedList` and `Hit`. They copy nothing and hold no data of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from rankloom.context import Context, pack_context
from rankloom.kept_text import kept_text
from rankloom.ledger import Note
from rankloom.records import Document, Query, Span

if TYPE_CHECKING:
    from rankloom.run import Run, Step
    from rankloom.score_parts import ScoreParts


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """Where a document stood after one stage.

    Args:
        stage: The stage's label.
        rank: Its rank from 1, or None if the stage did not return it.
        score: Its score, or None.
        depth: How many fusions deep the stage stands; 0 for the pipeline itself.
    """

    stage: str
    rank: int | None
    score: float | None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One document in one query's ranking.

    Args:
        doc_id: The document.
        score: Its score after the last stage.
        rank: Its place, from 1.
        spans: The sentences a pruner kept and dropped, in text order; None if the text was not pruned.
    """

    doc_id: str
    score: float
    rank: int
    spans: tuple[Span, ...] | None
    _list: RankedList = field(repr=False, compare=False)

    @property
    def document(self) -> Document:
        """The document, read from the corpus on each use."""
        return self._list.run.texts(stage="Hit").get([self.doc_id])[0]

    @property
    def text(self) -> str:
        """The whole text, pruned or not."""
        return self.document.text

    @property
    def title(self) -> str:
        """The title, or an empty string."""
        return self.document.title

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the application stored with the document."""
        return self.document.metadata

    @property
    def pruned_text(self) -> str:
        """The kept sentences as `kept_text` joins them; the whole text if no pruner has seen it."""
        text = self.text
        if self.spans is None:
            return text
        return kept_text(text, [(span.start, span.end) for span in self.spans if span.kept])

    @property
    def reranked(self) -> bool:
        """False for a hit below the depth of the last reranker, which has kept its place."""
        scored = self._list.scored
        return scored is None or self.rank <= scored

    @property
    def trace(self) -> list[TraceEntry]:
        """Its rank and score after every stage, oldest first; inputs of a fusion come before it."""
        return _trace(self._list.run.steps, self._list.number, self.doc_id, depth=0)

    def explain(self, *, stage: str | None = None) -> ScoreParts:
        """What each term of the query adds to its score.

        Args:
            stage: Whose score: the last stage of this name, such as a `bm25` before a reranker or inside a fusion. By
                default the stage that gave the final score.

        Raises:
            UsageError: The stage's scores are not sums over terms. Names the stages that can be explained.
            DataError: The stage has not the document (it came from another branch of a fusion).
        """
        from rankloom.score_parts import explained

        return explained(self._list.run, self._list.number, self.doc_id, stage=stage)


class RankedList(Sequence[Hit]):
    """One query's hits, best first.

    Args:
        run: The run it is a view of.
        number: The query's place in the run.
    """

    __slots__ = ("number", "run")

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number

    @property
    def query(self) -> Query:
        """The query."""
        return self.run.queries[self.number]

    @property
    def expanded(self) -> Query:
        """The query as the last feedback stage wrote it, with terms or vectors; without feedback the query itself."""
        written = [step.queries[self.number] for step in self.run.steps]
        return next((query for query in reversed(written) if query.terms or query.vectors), self.query)

    @property
    def doc_ids(self) -> list[str]:
        """Ids of the hits, best first."""
        return self.run.hits(stage="RankedList").doc_ids(self.number)

    @property
    def scores(self) -> list[float]:
        """Scores of the hits, best first."""
        start, end = self.run.hits(stage="RankedList").bounds(self.number)
        return [float(score) for score in self.run.hits(stage="RankedList").scores[start:end]]

    @property
    def scored(self) -> int | None:
        """How many hits the last reranker scored; None if all, or if there was none."""
        scored = self.run.hits(stage="RankedList").scored
        return None if scored is None else int(scored[self.number])

    @property
    def notes(self) -> tuple[Note, ...]:
        """The ledger's notes about this query."""
        return self.run.ledger.only([self.query.id]).notes

    def documents(self) -> list[Document]:
        """The documents of all hits, read in one pass."""
        return self.run.texts(stage="RankedList").get(self.doc_ids)

    def context(
        self, *, max_tokens: int = 1500, cite: bool = True, count_tokens: Callable[[str], int] | None = None
    ) -> Context:
        """Text for a language model: the best passages under a token budget, with numbered citations.

        Args:
            max_tokens: Budget for the whole context, titles and citation marks included.
            cite: Put `[n]` before each passage; the numbers resolve to documents and offsets.
            count_tokens: Counts the tokens of a text as your model does. Default: words and punctuation marks,
                an estimate that needs no tokenizer.

        Raises:
            CompositionError: Nobody knows the texts.
        """
        return pack_context(self, max_tokens=max_tokens, cite=cite, count_tokens=count_tokens)

    def __len__(self) -> int:
        """How many hits there are."""
        start, end = self.run.hits(stage="RankedList").bounds(self.number)
        return end - start

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        """One hit by place (from 0, as in any sequence; its `rank` counts from 1), or a list of hits."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        ranking = self.run.hits(stage="RankedList")
        row = ranking.bounds(self.number)[0] + place
        spans = None if ranking.spans is None else ranking.spans[row]
        return Hit(ranking.ids[int(ranking.codes[row])], float(ranking.scores[row]), place + 1, spans, self)

    def __repr__(self) -> str:
        """The query and the best hits."""
        best = ", ".join(f"{hit.doc_id} {hit.score:.3f}" for hit in self[:3])
        return f"<RankedList of {len(self)} for {self.query.text!r}: {best}{', …' if len(self) > 3 else ''}>"


def _trace(steps: tuple[Step, ...], number: int, doc_id: str, *, depth: int) -> list[TraceEntry]:
    """Where a document stood after each step, inputs of fusions first."""
    entries: list[TraceEntry] = []
    for step in steps:
        for branch in step.branches:
            entries.extend(_trace(branch, number, doc_id, depth=depth + 1))
        rank: int | None = None
        score: float | None = None
        if step.ranking is not None and (code := step.ranking.ids.find(doc_id)) is not None:
            start, end = step.ranking.bounds(number)
            places = (step.ranking.codes[start:end] == code).nonzero()[0]
            if len(places):
                rank, score = int(places[0]) + 1, float(step.ranking.scores[start + int(places[0])])
        entries.append(TraceEntry(step.stage, rank, score, depth))
    return entries
