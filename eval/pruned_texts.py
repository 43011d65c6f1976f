"""The documents of a run as the last pruner left them, before anything reordered them or cut them off.

So documents that were dropped do not count as compression, and nothing that follows a pruner changes what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rankloom.errors import DataError
from rankloom.eval.sentence_labels import Offsets
from rankloom.kept_text import kept_text
from rankloom.ranking import Ranking
from rankloom.records import Document, Span
from rankloom.run import Run
from rankloom.score_parts import flat_steps

STAGE = "pruning"


@dataclass(frozen=True, slots=True)
class PrunedText:
    """A document and what a pruner kept of it.

    Args:
        document: The document.
        kept: Start and end of each kept sentence, as the pruner's splitter cuts them; None if it was left whole.
    """

    document: Document
    kept: Offsets | None

    @property
    def pruned(self) -> str:
        """The kept sentences, as an application gets them."""
        return self.document.text if self.kept is None else kept_text(self.document.text, self.kept)

    def keeps(self, start: int, end: int) -> bool:
        """Whether all of a sentence but its spaces was kept."""
        text = self.document.text
        if end > len(text):
            raise DataError(
                f"a relevant sentence of {self.document.id!r} lies outside its text of {len(text)} characters",
                stage=STAGE,
                value=(start, end),
            )
        for first, last in self.kept if self.kept is not None else ((0, len(text)),):
            if last <= start:
                continue
            if text[start : min(first, end)].strip():
                return False
            start = max(start, last)
        return not text[start:end].strip()


def pruned_texts(run: Run, *, also_unpruned: bool = False) -> Iterator[tuple[str, list[PrunedText]]]:
    """Each query of a run and its documents as the last pruner left them.

    Args:
        run: A run with a ranking; with texts where documents are given.
        also_unpruned: What is given of a run that no pruner has seen: the documents of its ranking, all whole, or none.

    Raises:
        CompositionError: There are documents and nobody knows the texts.
    """
    ranking = _last_pruned(run)
    if ranking is None and also_unpruned:
        ranking = run.hits(stage=STAGE)
    for number, query in enumerate(run.queries):
        if ranking is None:
            yield query.id, []
            continue
        start, end = ranking.bounds(number)
        documents = run.texts(stage=STAGE).get(ranking.doc_ids(number))
        spans = ranking.spans[start:end] if ranking.spans is not None else (None,) * (end - start)
        yield query.id, [PrunedText(one, _kept(of_one)) for one, of_one in zip(documents, spans, strict=True)]


def _kept(spans: tuple[Span, ...] | None) -> Offsets | None:
    """Offsets of the kept sentences."""
    return None if spans is None else tuple((span.start, span.end) for span in spans if span.kept)


def _last_pruned(run: Run) -> Ranking | None:
    """The ranking as the last pruner left it; None if there was no pruner."""
    found = run.hits(stage=STAGE)
    if found.spans is None:
        return None
    for step in reversed(run.steps):
        if step.ranking is None or step.ranking.spans is None:
            break
        found = step.ranking
        if any(one.by is not None and "spans" in one.by.provides for one in flat_steps((step,))):
            break  # a pruner, or a fusion of what pruners left
    return found
