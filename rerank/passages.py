"""The windows of documents as documents of their own, so that any reranker can score them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rankloom.corpus import MemoryDocuments
from rankloom.errors import StageError
from rankloom.execution import apply
from rankloom.ledger import Ledger, Note
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document
from rankloom.rerank.document_windows import document_windows
from rankloom.run import Run
from rankloom.stage import Stage

_WORD = re.compile(r"\S+")
#: Document id -> ids of some of its windows, in its order.
Windows = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class PassageScores:
    """What a reranker makes of windows.

    Args:
        scores: Of each query, window id -> score. Where the session's budget has stopped the reranker, the last windows
            have none.
        kind: What the scores mean.
        ledger: What it spent, and what it has to say, of the documents.
        stopped: Query id -> which limit of the budget stopped it, of the queries that it has not finished.
    """

    scores: tuple[Mapping[str, float], ...]
    kind: ScoreKind
    ledger: Ledger
    stopped: Mapping[str, str]


class Passages:
    """The windows of some documents.

    Args:
        documents: The documents; a window is a piece of `Document.contents`.
        core: Words of a window without its overlap.
        overlap: Words that it reaches beyond, on either side.

    Attributes:
        windows: Document id -> ids of its windows, in order. A document without words is its only window.
    """

    def __init__(self, documents: Iterable[Document], *, core: int, overlap: int) -> None:
        self.windows: dict[str, list[str]] = {}
        pieces: list[Document] = []
        for document in documents:
            texts = _pieces(document.contents, core=core, overlap=overlap)
            ids = [f"{document.id}#{number:06d}" for number in range(len(texts))]
            self.windows[document.id] = ids
            pieces.extend(map(Document, ids, texts))
        self._texts = MemoryDocuments(pieces)

    def scored(self, stage: Stage, run: Run, wanted: Sequence[Windows], *, asks: str) -> PassageScores:
        """Have a reranker score windows.

        Args:
            stage: The reranker, or several.
            run: The queries.
            wanted: For each, the windows to score.
            asks: The stage that asks, for errors.

        Raises:
            StageError: The reranker leaves windows out, or scores only the best of them.
        """
        places = [[one for ids in windows.values() for one in ids] for windows in wanted]
        hits = [[(one, -float(rank)) for rank, one in enumerate(ids)] for ids in places]
        given = Run(queries=run.queries, documents=self._texts, session=run.session).ranked(
            Ranking.from_lists(hits, stage=asks, kind=ScoreKind.RANK)
        )
        after = apply(stage, given)
        stopped = {note.query_id: note.detail.partition(";")[0] for note in after.ledger.of("unfinished")}
        scores = []
        for found, ids in zip(after.values(), places, strict=True):
            own = len(found) if found.scored is None else found.scored
            if own < len(ids) and found.query.id not in stopped:
                raise StageError(
                    f"{stage.name} scores {own} of {len(ids)} windows",
                    stage=asks,
                    value=found.query.id,
                    accepted="a reranker that scores all that it is given",
                )
            scores.append(dict(zip(found.doc_ids[:own], found.scores[:own], strict=True)))
        ledger = Ledger(tuple(self._of_documents(after.ledger.notes, stopped)), after.ledger.costs)
        return PassageScores(tuple(scores), after.hits(stage=asks).kind, ledger, stopped)

    def _of_documents(self, notes: Iterable[Note], stopped: Mapping[str, str]) -> Iterable[Note]:
        """Notes about windows as notes about their documents; several of one kind are summed.

        How many windows a budget leaves unscored is not said: the stage that asks says it of hits.
        """
        owners = {one: doc_id for doc_id, ids in self.windows.items() for one in ids}
        amounts: Counter[Note] = Counter()
        for note in notes:
            if note.kind == "unfinished" or (note.kind == "not_reranked" and note.query_id in stopped):
                continue
            amounts[replace(note, doc_id=owners.get(note.doc_id, note.doc_id), amount=0)] += note.amount
        return (replace(note, amount=amount) for note, amount in amounts.items())


def _pieces(text: str, *, core: int, overlap: int) -> list[str]:
    """The texts of the windows of a text."""
    words = [match.span() for match in _WORD.finditer(text)]
    windows = document_windows(len(words), core=core, overlap=overlap)
    return [text[words[one.begin][0] : words[one.end - 1][1]] for one in windows] or [text]
