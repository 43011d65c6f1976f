"""What feedback stages ask of the retriever they write queries for. A retriever that can answer inherits the class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders import Encoded
from rankloom.records import Query
from rankloom.session import Session
from rankloom.token_encoder import TokensEncoded
from rankloom.token_vectors import TokenVectors
from rankloom.weighted_terms import SparseEncoded, Terms


class TermSource(ABC):
    """A retriever over weighted terms. Those of learned sparse have any weights; see also `CountedTermSource`."""

    @property
    @abstractmethod
    def document_count(self) -> int:
        """How many documents the index holds."""

    @abstractmethod
    def query_terms(self, queries: Sequence[Query], session: Session) -> SparseEncoded:
        """Weighted terms of each query, read from the query if it holds any; and what a model did for the others.

        A stage that asks counts the calls and tokens as its own, and notes the texts that were cut
        (`rankloom.encoders.truncation_notes`): nobody else does.
        """

    @abstractmethod
    def term_vectors(self, doc_ids: Sequence[str]) -> list[Terms | None]:
        """Terms and their weights, for each document; None for one that the index does not hold."""

    @abstractmethod
    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs, int64 of shape (terms,)."""


class CountedTermSource(TermSource):
    """A retriever over words whose weights are how often they occur: BM25. Models of randomness need counts."""

    @abstractmethod
    def analyze(self, text: str) -> list[str]:
        """The index's terms of a text, repeated as they occur."""

    @abstractmethod
    def collection_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """How often each term occurs in all documents together, int64 of shape (terms,)."""

    @property
    @abstractmethod
    def collection_length(self) -> int:
        """How many terms all documents have together, repeated as they occur."""

    def query_terms(self, queries: Sequence[Query], session: Session) -> SparseEncoded:  # noqa: ARG002  # no model runs
        """Weighted terms of each query: its own if it holds any, else how often each term occurs in its text."""
        terms = [Counter(self.analyze(query.text)) if query.terms is None else query.terms for query in queries]
        none = np.zeros(len(terms), dtype=np.int64)
        return SparseEncoded(terms, none, none, 0)


class VectorSource(ABC):
    """A retriever over one vector a document."""

    @property
    @abstractmethod
    def space(self) -> str:
        """The encoder's fingerprint: the key of `Query.vectors` that this retriever reads."""

    @abstractmethod
    def encode_queries(self, queries: Sequence[Query], session: Session) -> Encoded:
        """A vector for each query, read from the query if it holds one; and what a model did for the others.

        A stage that asks counts the calls and tokens as its own, and notes the texts that were cut
        (`rankloom.encoders.truncation_notes`): nobody else does.
        """

    def encode_passages(self, texts: Sequence[str], session: Session) -> Encoded:
        """A vector for each of some texts that are like documents; by default they are encoded as queries are."""
        return self.encode_queries([Query(f"passage {place}", text) for place, text in enumerate(texts)], session)

    def query_vectors(self, queries: Sequence[Query], session: Session) -> NDArray[np.float32]:
        """The vectors of `encode_queries` alone, float32 of shape (queries, dimensions), to look at; not for stages."""
        return self.encode_queries(queries, session).vectors

    @abstractmethod
    def document_vectors(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored vectors, float32 (documents, dimensions), and whether the index holds each document, bool."""


class TokenVectorSource(ABC):
    """A retriever over the vectors of each document's tokens: ColBERT, CRISP."""

    @property
    @abstractmethod
    def space(self) -> str:
        """The encoder's fingerprint: vectors of one space can be compared."""

    @abstractmethod
    def encode_queries(self, queries: Sequence[Query], session: Session) -> TokensEncoded:
        """The vectors of each query, and what a model did for them.

        A stage that asks counts the calls and tokens as its own, and notes the texts that were cut
        (`rankloom.encoders.truncation_notes`): nobody else does.
        """

    @abstractmethod
    def document_token_vectors(self, doc_ids: Sequence[str]) -> tuple[TokenVectors, NDArray[np.bool_]]:
        """Stored vectors, and whether the index holds each document, bool of shape (documents,).

        A document that it does not hold has no vectors; one that it holds may have none, too.
        """


class TokenSource(TokenVectorSource):
    """A retriever that can tell whose vectors its vectors are: one for each token, none of them a mean of several."""

    @property
    @abstractmethod
    def document_count(self) -> int:
        """How many documents the index holds."""

    @abstractmethod
    def document_tokens(self, doc_ids: Sequence[str], session: Session) -> list[list[str]]:
        """The token of each stored vector of each document, in the order of the vectors; none of an unknown document.

        Raises:
            UsageError: Vectors are means of several tokens, or the texts are not there.
        """

    @abstractmethod
    def token_document_frequencies(self, tokens: Sequence[str], session: Session) -> NDArray[np.int64]:
        """In how many documents each token has a vector, int64 of shape (tokens,)."""
