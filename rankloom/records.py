"""The records that everything passes: documents, queries and spans of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.fingerprint import digest


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Args:
        id: Unique, non-empty.
        text: The body. Character offsets of spans point into it.
        title: May be empty.
        metadata: Anything JSON can hold; carried along, and read only by stages that are told a key.

    Raises:
        DataError: The id is not a non-empty string, or the text is not a string.

    Example:
        >>> Document("d1", "It scatters blue light.", title="The sky").contents
        'The sky It scatters blue light.'
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse what no stage could use."""
        if not isinstance(self.id, str) or not self.id:
            raise DataError("a document needs an id", value=self.id, accepted="a non-empty string")
        if not isinstance(self.text, str) or not isinstance(self.title, str):
            raise DataError("a document's text and title must be strings", value=self.id)

    @property
    def contents(self) -> str:
        """Title and text joined by a space, as BEIR's baselines index and encode them."""
        return f"{self.title} {self.text}" if self.title else self.text


#: The key of a query's metadata under which it brings parameters of stages.
STAGE_SETTINGS = "stage_settings"


@dataclass(frozen=True, slots=True)
class Query:
    """One query, in up to three forms: text, weighted terms, vectors.

    Feedback stages write the forms that the next retriever reads.

    Args:
        id: Unique within a run, non-empty.
        text: What the user typed.
        terms: Weighted terms of an index's analyzer, or None when the text speaks for itself.
        vectors: Encoder fingerprint -> float32 vector, shape (dimensions,); or several, shape (vectors, dimensions),
            for retrieval by a vector for each token. The weight of one of these is its length.
        metadata: Anything JSON can hold. Under the key `stage_settings`, parameters of stages for this query alone,
            such as `{"bm25": {"k1": 1.2, "b": 0.75}}`; stages that read them say so (`Stage.by_query`), and
            a note tells of those that no stage has read.

    Raises:
        DataError: The id is not a non-empty string, or the text is not a string.
    """

    id: str
    text: str
    terms: Mapping[str, float] | None = field(default=None, hash=False)
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, hash=False, compare=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse what no stage could use."""
        if not isinstance(self.id, str) or not self.id:
            raise DataError("a query needs an id", value=self.id, accepted="a non-empty string")
        if not isinstance(self.text, str):
            raise DataError("a query's text must be a string", value=self.text)

    @property
    def blank(self) -> bool:
        """Whether there is nothing to search for: no text, no terms, no vectors."""
        return not self.text.strip() and not self.terms and not self.vectors

    def fingerprint(self) -> str:
        """A digest of what stages read: text, terms, vectors and settings, but not the id."""
        settings = self.metadata.get(STAGE_SETTINGS)
        return digest(self.text, self.terms, self.vectors, *([] if settings is None else [settings]))

    def all_settings(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters for this query alone, by stage and name; mostly none.

        Raises:
            DataError: The metadata holds something else under `stage_settings`.
        """
        by_stage: Mapping[str, Mapping[str, Any]] = self.metadata.get(STAGE_SETTINGS, {})
        maps = isinstance(by_stage, Mapping) and all(isinstance(own, Mapping) for own in by_stage.values())
        if not maps:
            raise DataError(
                f"stage_settings of query {self.id!r} can not be read",
                value=by_stage,
                accepted='maps of parameters by stage, such as {"bm25": {"k1": 1.2}}',
            )
        return by_stage

    def settings(self, stage: str) -> Mapping[str, Any]:
        """The parameters of one stage for this query alone, by name; see `all_settings`."""
        return self.all_settings().get(stage, {})

    def as_typed(self) -> Query:
        """The same query without terms and vectors: those were meant for the search that has just been made."""
        return self if self.terms is None and not self.vectors else replace(self, terms=None, vectors={})

    def with_terms(self, terms: Mapping[str, float]) -> Query:
        """The same query with weighted terms in place of the old ones."""
        return replace(self, terms=MappingProxyType({term: float(weight) for term, weight in terms.items()}))

    def with_vector(self, name: str, vector: NDArray[np.float32]) -> Query:
        """The same query with one more vector, float32 of shape (dimensions,), or several of one space."""
        return replace(self, vectors=MappingProxyType({**self.vectors, name: vector}))


#: The reason of a first sentence that is kept because others are.
TITLE = "title"


@dataclass(frozen=True, slots=True)
class Span:
    """A sentence of a document's text, kept or dropped by a pruner.

    Args:
        start: First character, an offset into `Document.text`.
        end: One past the last character.
        probability: How likely the sentence is useful, 0 to 1, as the pruner sees it.
        kept: Whether it stays in the pruned text.
        reason: Why, in a word or two, such as `above threshold`.
    """

    start: int
    end: int
    probability: float
    kept: bool
    reason: str = ""


class Documents(Protocol):
    """Where texts come from: a corpus on disk, or documents in memory."""

    def get(self, doc_ids: list[str]) -> list[Document]:
        """The documents of some ids, in the order asked; an unknown id is a `DataError`."""
        ...

    def fingerprint(self) -> str:
        """A digest of all ids and texts."""
        ...


def as_queries(queries: object) -> tuple[Query, ...]:
    """Queries from what a user may hand over.

    Args:
        queries: One string or `Query`; an iterable of them (strings get the ids `q1`, `q2`, ...); or a mapping
            of id to text.

    Raises:
        DataError: Something else, or an id used twice.

    Example:
        >>> [q.id for q in as_queries(["why is the sky blue", "tides"])]
        ['q1', 'q2']
    """
    if isinstance(queries, str | Query):
        queries = [queries]
    if isinstance(queries, Mapping):
        found = [Query(str(key), text) for key, text in queries.items()]
    elif hasattr(queries, "__iter__"):
        found = [
            item if isinstance(item, Query) else Query(f"q{number}", item)
            for number, item in enumerate(queries, start=1)
        ]
    else:
        raise DataError("these are not queries", value=queries, accepted="strings, Query records or {id: text}")
    seen: set[str] = set()
    for query in found:
        if query.id in seen:
            raise DataError("two queries have the same id", value=query.id)
        seen.add(query.id)
    return tuple(found)
