"""What text feedback asks instead of a query: texts put together from it and its best documents (Li et al., TOIS 2023).

Three methods: all documents behind the query, cut to a budget (`truncate`, the paper's CT); a query for each document
(`aggregate`, CA); a query for each window that slides over the documents (`window`, SW).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rankloom.prf.words import first_words, windows

Method = Literal["truncate", "aggregate", "window"]


class Passage(NamedTuple):
    """A feedback document with words in it.

    Args:
        doc_id: Its id.
        text: Its contents.
    """

    doc_id: str
    text: str


class NewQuery(NamedTuple):
    """One text to ask for.

    Args:
        text: The query, a space, and feedback.
        cut: Words of feedback that were beyond the budget.
        doc_id: The document that the feedback is of; empty if it may be of several.
    """

    text: str
    cut: int
    doc_id: str = ""


class Recipe(NamedTuple):
    """How new queries are made.

    Args:
        method: One of `Method`.
        max_words: Words that a new query may have, the original ones included.
        window: For `window`: words of feedback in each new query.
        stride: For `window`: words between the beginnings of two windows.
    """

    method: Method
    max_words: int
    window: int
    stride: int

    def new_queries(self, query: str, passages: Sequence[Passage]) -> list[NewQuery]:
        """The texts to ask for instead of a query.

        Args:
            query: Its text.
            passages: Feedback documents, best first; at least one.

        Example:
            >>> found = [Passage("d1", "blue light"), Passage("d2", "red dust")]
            >>> [one.text for one in Recipe("truncate", 4, 2, 1).new_queries("sky", found)]
            ['sky blue light red']
            >>> [one.text for one in Recipe("aggregate", 4, 2, 1).new_queries("sky", found)]
            ['sky blue light', 'sky red dust']
            >>> [one.text for one in Recipe("window", 4, 2, 1).new_queries("sky", found)]
            ['sky blue light', 'sky light red', 'sky red dust']
        """
        if self.method == "aggregate":
            return [self._new(query, passage.text, passage.doc_id) for passage in passages]
        together = " ".join(passage.text for passage in passages)
        if self.method == "truncate":
            return [self._new(query, together)]
        return [self._new(query, one) for one in windows(together, self.window, self.stride)]

    def _new(self, query: str, feedback: str, doc_id: str = "") -> NewQuery:
        """A query with feedback behind it, cut to the budget."""
        return NewQuery(*first_words(f"{query} {feedback}", self.max_words), doc_id)
