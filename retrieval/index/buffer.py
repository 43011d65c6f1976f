"""Documents in memory, until they become a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rankloom.errors import DataError, UsageError
from rankloom.retrieval.analysis import Analyzer
from rankloom.retrieval.index.fields import FieldCounter
from rankloom.retrieval.index.impact_batch import ImpactBatch, check_values, counted
from rankloom.retrieval.index.impact_inversion import invert_impacts
from rankloom.retrieval.index.impact_segment import ImpactSegment
from rankloom.retrieval.index.inversion import Inverted, invert
from rankloom.retrieval.index.segment import Segment
from rankloom.retrieval.index.units import TermCounter, Terms

if TYPE_CHECKING:
    import pyarrow as pa

#: Texts of documents, or of each of their fields.
Texts: TypeAlias = "pa.LargeStringArray | Mapping[str, pa.LargeStringArray]"


class Buffer:
    """Documents on their way into a segment. What is refused leaves no trace.

    Args:
        analyzer: What makes terms of texts; None where only terms are added.
        linear: Whether values are impacts.
        fields: Names of the documents' fields, if they have any.
        term_vectors: Whether segments also keep the terms of each document together.
    """

    def __init__(
        self, analyzer: Analyzer | None, *, linear: bool, fields: Sequence[str] = (), term_vectors: bool = False
    ) -> None:
        self._counter: Any = None
        if analyzer is not None:
            self._counter = FieldCounter(analyzer, fields) if fields else TermCounter(analyzer)
        self._terms = Terms() if self._counter is None else self._counter.terms
        self._linear, self._term_vectors = linear, term_vectors
        self.clear()

    def add_texts(self, doc_ids: Sequence[str], texts: Texts) -> None:
        """Take in documents by their texts.

        Raises:
            UsageError: There is no analyzer, or texts come by field where there are none, or the other way round.
            DataError: Not as many texts as ids, or an id is there already.
        """
        if self._counter is None:
            raise UsageError("the index was opened without an analyzer", stage="index", fix="pass analyzer=")
        if isinstance(texts, Mapping) != isinstance(self._counter, FieldCounter):
            raise UsageError(
                "an index of fields takes the texts of each field, another one texts",
                stage="index",
                value=type(texts).__name__,
            )
        for column in texts.values() if isinstance(texts, Mapping) else [texts]:
            check_count(len(column), len(doc_ids))
        self._take(doc_ids, self._counter.count(texts))

    def add_terms(self, doc_ids: Sequence[str], documents: Sequence[Mapping[str, int]]) -> None:
        """Take in documents by their terms and the value of each, a whole number from 1.

        Raises:
            DataError: A value is out of range, not as many documents as ids, or an id is there already.
        """
        check_count(len(documents), len(doc_ids))
        terms = [number for document in documents for number in self._terms.numbers(list(document))]
        values = check_values([value for document in documents for value in document.values()])
        lengths = np.array([sum(document.values()) for document in documents], dtype=np.int64)
        distinct = np.array([len(document) for document in documents], dtype=np.int64)
        self._take(doc_ids, Inverted(distinct, lengths, np.array(terms, dtype=np.int32), values.astype(np.int32)))

    def add_impacts(self, batch: ImpactBatch) -> None:
        """Take in documents by the columns of their terms and impacts; raises as `counted` does."""
        self._take(batch.doc_ids, counted(batch, np.array(self._terms.numbers(batch.words), dtype=np.int32)))

    def segment(self) -> Segment | ImpactSegment:
        """All documents taken in as a segment; they stay until `clear`, so that a failure on the way loses none."""
        nothing = np.zeros(0, dtype=np.int64)
        parts = self._parts or [Inverted(nothing, nothing, nothing.astype(np.int32), nothing.astype(np.int32))]
        whole = parts[0] if len(parts) == 1 else Inverted(*map(np.concatenate, zip(*parts, strict=True)))
        if self._linear:
            return invert_impacts(list(self.ids), whole, self._terms.words)
        return invert(list(self.ids), whole, self._terms.words, term_vectors=self._term_vectors)

    def clear(self) -> None:
        """Forget all documents; a segment holds them now."""
        self.ids: dict[str, None] = {}  # in order
        self._parts: list[Inverted] = []
        self.postings = 0

    def _take(self, doc_ids: Sequence[str], held: Inverted) -> None:
        """Take in counted documents: all of them, or none."""
        new: dict[str, None] = {}
        for doc_id in doc_ids:
            if doc_id in self.ids or doc_id in new:
                raise known_already(doc_id)
            new[doc_id] = None
        self.ids.update(new)
        self._parts.append(held)
        self.postings += len(held.terms)


def check_count(documents: int, ids: int) -> None:
    """Raise DataError if there are not as many documents as ids."""
    if documents != ids:
        raise DataError(f"{documents} documents for {ids} ids", stage="index", accepted="one for each id")


def known_already(doc_id: str) -> DataError:
    """The error for an id that is there already."""
    return DataError(
        "the index holds a document of this id already",
        stage="index",
        value=doc_id,
        fix="use update, or delete it first",
    )
