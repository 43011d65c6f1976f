"""The oracle: exactly the sentences that people have marked as relevant, as far as no pruner can come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from rankloom.checks import whole
from rankloom.errors import DataError, UsageError
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.records import Document, Span
from rankloom.rerank.pruning.splitting import AnySplitter, splitter_of
from rankloom.run import Run
from rankloom.stage import Pruner

#: Query id -> document id -> character offsets of its relevant sentences.
Marked = Mapping[str, Mapping[str, Sequence[tuple[int, int]]]]


class OraclePruner(Pruner):
    """Keep what is marked as relevant, and nothing else: the upper bound of what pruning can do.

    A sentence is kept if it shares more than spaces with a marked one, so that nothing marked is lost, wherever the
    splitter cuts. A document of which nothing is marked stays in the ranking with an empty pruned text and the note
    `nothing_kept`. An experiment gives it the sentences of its collection; in YAML it is told nothing of them.

    It is no `SentenceStage`: what it keeps depends on the ids of query and document, by which labels go, and these
    pruners know pairs by their texts.

    Args:
        sentences: Query id -> document id -> character offsets of its relevant sentences, such as
            `Collection.sentences`.
        splitter: What splits texts into sentences: `syntok`, `lines`, `module:function`, or a `Splitter`.
        depth: How many hits of each query are pruned; the others stay whole.

    Raises:
        UsageError: A parameter is out of range, the splitter is unknown, or (on use) there are no labels.

    Example:
        >>> from rankloom import Document, Run
        >>> sky = Document("d1", "Bread needs yeast. Air scatters blue light.")
        >>> run = Run.from_documents("why is the sky blue", [sky])
        >>> OraclePruner({"q1": {"d1": [(19, 43)]}}).run(run)["q1"][0].pruned_text
        'Air scatters blue light.'
    """

    name = "oracle_pruner"
    grain = "none"  # a lookup by ids, while the cache knows queries by their content

    def __init__(self, sentences: Marked | None = None, *, splitter: AnySplitter = "syntok", depth: int = 100) -> None:
        self.sentences, self.splitter = sentences, splitter
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self._splitter = splitter_of(splitter, stage=self.name)

    def fingerprint(self) -> str:
        """As for any stage; the splitter counts with what it is, not only by its word."""
        known: str | None = self.__dict__.get("_known")
        if known is None:
            known = self._known = digest(super().fingerprint(), self._splitter)
        return known

    def __repr__(self) -> str:
        """The stage, without its labels."""
        told = "None" if self.sentences is None else f"<labels of {len(self.sentences)} queries>"
        return f"OraclePruner({told}, splitter={self.splitter!r}, depth={self.depth})"

    def __call__(self, run: Run) -> Run:
        """Prune the best `depth` hits of each query.

        Raises:
            DataError: A marked sentence lies outside its text.
        """
        if self.sentences is None:
            fix = "OraclePruner(collection.sentences), or an experiment on a collection with labels of sentences"
            raise UsageError("has not been told which sentences are relevant", stage=self.name, fix=fix)
        ranking, documents = run.hits(stage=self.name), run.texts(stage=self.name)
        spans: list[tuple[Span, ...] | None] = [None] * len(ranking.codes)
        notes = []
        split = cache(lambda text: tuple(self._splitter(text)))  # many queries share a text
        for number, query in enumerate(run.queries):
            ids = ranking.doc_ids(number)[: self.depth]
            marked = self.sentences.get(query.id, {})
            for place, document in enumerate(documents.get(ids), start=int(ranking.offsets[number])):
                own = spans[place] = tuple(self._spans(document, marked.get(document.id, ()), split(document.text)))
                if not any(span.kept for span in own):
                    notes.append(Note(self.name, "nothing_kept", query.id, document.id))
        return run.ranked(replace(ranking, spans=tuple(spans))).noted(*notes)

    def _spans(
        self, document: Document, marked: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]
    ) -> Iterator[Span]:
        """The sentences of a document, each with its fate."""
        text = document.text
        for first, last in marked:
            if not 0 <= first <= last <= len(text):
                raise DataError(
                    f"a marked sentence of {document.id!r} lies outside its text of {len(text)} characters",
                    stage=self.name,
                    value=(first, last),
                )
        for start, end in offsets:
            kept = any(text[max(start, first) : min(end, last)].strip() for first, last in marked)
            yield Span(start, end, float(kept), kept, "relevant" if kept else "not relevant")
