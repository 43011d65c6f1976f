"""Texts to term counts: each stretch of text is analysed once, and the rest is counting in compiled code."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankloom.ids import lengths_and_bytes
from rankloom.retrieval.analysis import Analyzer
from rankloom.retrieval.index.inversion import Inverted

if TYPE_CHECKING:
    import pyarrow as pa

    from rankloom.retrieval.index.unit_kernel import UnitTable

_ROOM = 1 << 16  # units there is room for at first
_MOST_UNITS = 1 << 21  # then all are forgotten, so that memory stays bounded
_BYTES_A_UNIT = 16  # of room


class Terms:
    """Numbers for terms, in the order they are met.

    Example:
        >>> terms = Terms()
        >>> terms.numbers(["sky", "blue", "sky"]), terms.words
        ([0, 1, 0], ['sky', 'blue'])
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self._known: dict[str, int] = {}

    def numbers(self, terms: Sequence[str]) -> list[int]:
        """The number of each term."""
        found = []
        for term in terms:
            number = self._known.get(term)
            if number is None:
                number = self._known[term] = len(self.words)
                self.words.append(term)
            found.append(number)
        return found


class TermCounter:
    """Counts the terms of texts.

    An analyzer with an attribute `by_word` that is true gives the same terms whether a text is analysed whole or
    between the places where no word can go across, and whether ASCII letters are upper or lower case. It is asked
    once for each different stretch. Any other analyzer is asked for each text.

    Args:
        analyzer: What makes terms of texts.
        terms: Numbers of terms, shared with other counters; by default its own.
    """

    def __init__(self, analyzer: Analyzer, terms: Terms | None = None) -> None:
        self.terms = terms or Terms()
        self._analyzer = analyzer
        self._by_word = bool(getattr(analyzer, "by_word", False))
        self._stamps = np.zeros(0, dtype=np.int64)
        self._places = np.zeros(0, dtype=np.int64)
        self._documents = 1  # counted so far, plus 1: the next stamp
        self._known = 0
        self._terms_of_units, self._term_ends = array("i"), array("q")
        self._table = _empty_table(_ROOM, _ROOM * _BYTES_A_UNIT)

    def count(self, texts: pa.LargeStringArray) -> Inverted:
        """The terms of some texts, document by document."""
        if self._by_word:
            units, unit_ends = self._cut(texts)
            return self._counted(units, unit_ends, *self._unit_terms)
        rows = [self.terms.numbers(self._analyzer(text)) for text in texts.to_pylist()]
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        every = np.arange(len(self.terms.words), dtype=np.int32)
        units = np.array([number for row in rows for number in row], dtype=np.int32)
        return self._counted(units, ends, every, every.astype(np.int64) + 1)

    def _counted(
        self,
        units: NDArray[np.int32],
        unit_ends: NDArray[np.int64],
        unit_terms: NDArray[np.int32],
        term_ends: NDArray[np.int64],
    ) -> Inverted:
        """Terms of documents, from their units and the terms of each unit."""
        from rankloom.retrieval.index.inversion_kernel import count_terms

        more = len(self.terms.words) - len(self._stamps)
        if more > 0:
            grown = np.zeros(more + len(self._stamps) // 2, dtype=np.int64)
            self._stamps, self._places = np.append(self._stamps, grown), np.append(self._places, grown)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), term_ends])
        most = int((starts[units + 1] - starts[units]).sum()) if len(units) else 0
        documents = len(unit_ends)
        terms, values = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int32)
        distinct, lengths = np.empty(documents, dtype=np.int64), np.empty(documents, dtype=np.int64)
        size = count_terms(
            unit_ends, units, unit_terms, term_ends, self._stamps, self._places, self._documents, terms, values,
            distinct, lengths,
        )  # fmt: skip
        self._documents += documents
        return Inverted(distinct, lengths, terms[:size], values[:size])

    # --- units -----------------------------------------------------------------------------------------------

    def _cut(self, texts: pa.LargeStringArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The units of texts, and one past the last of each text; the terms of all units are known afterwards."""
        from rankloom.retrieval.index import unit_kernel as kernel

        if self._known > _MOST_UNITS:
            self._forget()
        lengths, text = lengths_and_bytes(texts)
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        units = np.empty(len(text) // 2 + len(texts) + 1, dtype=np.int32)
        unit_ends = np.empty(len(texts), dtype=np.int64)
        same, document = np.arange(256, dtype=np.uint8), 0
        while document < len(texts):
            document, self._known = kernel.cut(
                text, ends, document, self._table, self._known, kernel.KINDS, kernel.LOWER, same, units, unit_ends
            )
            if document < len(texts):
                self._make_room(int(lengths[document]))
        self._learn()
        return units[: unit_ends[-1] if len(texts) else 0], unit_ends

    def _learn(self) -> None:
        """Ask the analyzer for the terms of new units."""
        ends, text = self._table.ends, self._table.text
        for unit in range(len(self._term_ends), self._known):
            stretch = text[ends[unit] : ends[unit + 1]].tobytes().decode()
            self._terms_of_units.extend(self.terms.numbers(self._analyzer(stretch)))
            self._term_ends.append(len(self._terms_of_units))

    @property
    def _unit_terms(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The terms of all units, one unit after another, and one past the last term of each."""
        return np.array(self._terms_of_units, dtype=np.int32), np.array(self._term_ends, dtype=np.int64)

    def _forget(self) -> None:
        """Start again without any unit; terms keep their numbers."""
        self._known = 0
        self._terms_of_units, self._term_ends = array("i"), array("q")
        self._table = _empty_table(_ROOM, _ROOM * _BYTES_A_UNIT)

    def _make_room(self, document: int) -> None:
        """Grow the table so that a document of so many bytes fits in."""
        old = self._table
        room = max(2 * len(old.hashes), 2 * (self._known + document))
        table = _empty_table(room, max(2 * len(old.text), 2 * (int(old.ends[self._known]) + document)))
        table.ends[: self._known + 1] = old.ends[: self._known + 1]
        table.text[: old.ends[self._known]] = old.text[: old.ends[self._known]]
        table.hashes[: self._known] = old.hashes[: self._known]
        from rankloom.retrieval.index.unit_kernel import fill_slots

        fill_slots(table, self._known)
        self._table = table


def _empty_table(units: int, size: int) -> UnitTable:
    """A table with room for so many units of so many bytes together."""
    from rankloom.retrieval.index.unit_kernel import UnitTable

    slots = 1 << (2 * units - 1).bit_length()
    return UnitTable(
        np.zeros(slots, dtype=np.int32),
        np.zeros(units, dtype=np.uint64),
        np.zeros(units + 1, dtype=np.int64),
        np.zeros(size, dtype=np.uint8),
    )
