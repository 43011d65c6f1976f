"""Which terms of documents may be fed back: words that are neither malformed nor in too many documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rankloom.prf.term_feedback import FeedbackDocument
from rankloom.sources import CountedTermSource, TermSource

_PLAIN = re.compile(r"[a-z0-9]+")
_SHORTEST, _LONGEST = 2, 20  # characters of a feedback term, as in Anserini


@dataclass(frozen=True, slots=True)
class TermFilter:
    """Anserini's conditions on feedback terms.

    Words have 2 to 20 characters. Terms of a learned index are pieces of words out of a vocabulary; they may look as
    they like.

    Args:
        max_df: A term that occurs in more than this share of all documents is no feedback term.
        ascii_terms: Whether words must be of the characters a-z and 0-9.
    """

    max_df: float
    ascii_terms: bool

    def passing(self, documents: Sequence[FeedbackDocument], source: TermSource) -> set[str]:
        """The terms of some documents that may be fed back."""
        seen = self._well_formed(documents, source)
        most = self.max_df * source.document_count
        counts = source.document_frequencies(seen).tolist()
        return {term for term, count in zip(seen, counts, strict=True) if count <= most}

    def reason(self, documents: Sequence[FeedbackDocument], source: TermSource) -> str:
        """Why no term of some documents may be fed back."""
        if not self._well_formed(documents, source):
            return "no term of the documents looks like a word"
        return f"each term is in more than {self.max_df:g} (max_df) of the index's {source.document_count} documents"

    def _well_formed(self, documents: Sequence[FeedbackDocument], source: TermSource) -> list[str]:
        """The terms that look like words, or all those of a learned index."""
        terms = set[str]().union(*(document.terms for document in documents))
        if not isinstance(source, CountedTermSource):
            return sorted(terms)
        return sorted(term for term in terms if self._is_word(term))

    def _is_word(self, term: str) -> bool:
        """Whether a term looks like a word."""
        return _SHORTEST <= len(term) <= _LONGEST and (not self.ascii_terms or _PLAIN.fullmatch(term) is not None)
