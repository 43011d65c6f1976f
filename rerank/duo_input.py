"""What a pairwise reranker reads: a query and two documents as one list of tokens, with a fair share for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rankloom.encoders import readable


class Reading(NamedTuple):
    """The tokens that are read of a query and of two documents.

    Args:
        query: Of the query.
        first: Of the document that is asked about.
        second: Of the one that it is compared with.
    """

    query: list[int]
    first: list[int]
    second: list[int]


@dataclass(frozen=True, slots=True)
class Frame:
    """The tokens around the three texts, and how many are read in all.

    A query is read up to a third of what is left beside the frame, and either document up to half of what the query
    leaves (duoBERT: 62 and 223 of 512). So what is read of a document does not depend on the other one, and is the same
    in all comparisons of a query.

    Args:
        before_query: Tokens at the beginning.
        before_first: Between the query and the first document.
        before_second: Between the documents.
        end: At the end.
        limit: Most tokens of all together.
    """

    before_query: tuple[int, ...]
    before_first: tuple[int, ...]
    before_second: tuple[int, ...]
    end: tuple[int, ...]
    limit: int

    def query_share(self) -> int:
        """Most tokens of a query."""
        return self._room() // 3

    def document_share(self, query_tokens: int) -> int:
        """Most tokens of either document, beside a query of so many tokens."""
        return (self._room() - min(query_tokens, self.query_share())) // 2

    def reading(self, query: list[int], first: list[int], second: list[int]) -> Reading:
        """What is read of three texts, given all of their tokens."""
        share = self.document_share(len(query))
        return Reading(query[: self.query_share()], first[:share], second[:share])

    def ids(self, one: Reading) -> list[int]:
        """A reading with the frame around it."""
        query, first, second = one
        return [*self.before_query, *query, *self.before_first, *first, *self.before_second, *second, *self.end]

    def length(self, one: Reading) -> int:
        """How many tokens `ids` gives."""
        return self._own() + sum(map(len, one))

    def _own(self) -> int:
        """The frame's own tokens."""
        return len(self.before_query) + len(self.before_first) + len(self.before_second) + len(self.end)

    def _room(self) -> int:
        """Tokens that are left to the texts."""
        return self.limit - self._own()


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, without special ones, however many there are."""
    if not texts:
        return []
    found: list[list[int]] = tokenizer([readable(one) for one in texts], add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    return found
