"""Documents as rows of a Milvus collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from rankloom.encoders import Encoder, truncation_note
from rankloom.errors import DataError, UsageError
from rankloom.records import Document
from rankloom.retrieval.milvus.connection import STAGE
from rankloom.retrieval.milvus.contents import ID, LONGEST, TEXT, TRUNCATED, Field
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.session import Session
from rankloom.weighted_terms import Terms

#: Documents in one request: with 65,535 bytes of text each it stays below the 64 MiB that a server takes.
BATCH = 512
# What ids hold as it is. Milvus selects rows by expressions, in which quotes, backslashes and braces have a meaning.
_PLAIN = " !#$&()*+,-./:;<=>?@[]^_`|~"


def key(doc_id: str) -> str:
    """The key of a document in Milvus: its id, with characters that have a meaning there written as in a URL.

    Raises:
        DataError: It is longer than Milvus takes.

    >>> key("doc-1:2"), key('a "quoted" id'), from_key(key('a "quoted" id'))
    ('doc-1:2', 'a %22quoted%22 id', 'a "quoted" id')
    """
    found = quote(doc_id, safe=_PLAIN)
    _check_length(found, doc_id, "id")
    return found


def from_key(found: str) -> str:
    """The id of a key."""
    return unquote(found, errors="strict")


def batches_of(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents from a stream, a request's worth at a time."""
    stream = iter(documents)
    while batch := list(islice(stream, BATCH)):
        yield batch


def rows_of(
    batch: Sequence[Document],
    fields: Sequence[Field],
    encoder: Encoder | None,
    sparse: SparseEncoder | None,
    session: Session,
) -> list[dict[str, Any]]:
    """Some documents with all that Milvus shall know of them.

    Args:
        batch: The documents.
        fields: What the collection holds.
        encoder: For `dense`.
        sparse: For `sparse`.
        session: How to encode, and what happens to a text that is cut.

    Raises:
        DataError: An id or a text is longer than Milvus takes, or a document is longer than a model reads and the
            session's policy is `error`.
        UsageError: The dense encoder cuts documents into windows.
    """
    texts = [document.contents for document in batch]
    rows: list[dict[str, Any]] = [{ID: key(document.id)} for document in batch]
    truncated = np.zeros(len(batch), dtype=np.int64)
    if encoder is not None:
        if any(len(windows) > 1 for windows in encoder.passages(texts, session)):
            raise UsageError(
                "a collection holds one vector for each document, and this encoder cuts documents into windows",
                stage=STAGE,
                value=encoder.model,
                fix="split long documents into passages, and leave windows out",
            )
        dense = encoder.encode(texts, role="document", session=session)
        truncated = np.maximum(truncated, dense.truncated)
        for row, vector in zip(rows, dense.vectors, strict=True):
            row["dense"] = vector
    if sparse is not None:
        terms = sparse.encode(texts, role="document", session=session)
        truncated = np.maximum(truncated, terms.truncated)
        places = Dimensions(sparse, session)
        for row, weights in zip(rows, terms.terms, strict=True):
            row["sparse"] = places.of(weights, otherwise=places.nothing)
    for row, document, text, cut in zip(rows, batch, texts, truncated.tolist(), strict=True):
        if "bm25" in fields:
            _check_length(text, document.id, "text")
            row[TEXT] = text
        row[TRUNCATED] = cut
        if cut:
            truncation_note(session, stage=STAGE, tokens=cut, doc_id=document.id)
    return rows


class Dimensions:
    """The numbers that stand for a sparse encoder's terms in Milvus: their places in its vocabulary.

    A hash of the term would need no vocabulary, but two terms of 30,000 share one of 32 bits once in ten vocabularies.

    Args:
        encoder: The encoder of documents.
        session: How to load its model.
    """

    def __init__(self, encoder: SparseEncoder, session: Session) -> None:
        vocabulary = encoder.load(session).model.vocabulary
        self._places = {term: place for place, term in enumerate(vocabulary)}
        #: What a text without terms holds, as Milvus takes no empty vector. Those of documents and queries differ.
        self.nothing, self.nothing_asked = len(vocabulary), len(vocabulary) + 1

    def of(self, terms: Terms, *, otherwise: int) -> dict[int, float]:
        """Terms as Milvus takes them. A term outside the vocabulary is in no document and left out.

        Args:
            terms: With their weights.
            otherwise: The dimension to use where there are no terms.
        """
        known = {self._places[term]: float(weight) for term, weight in terms.items() if term in self._places}
        return known or {otherwise: 1.0}


def _check_length(value: str, doc_id: str, what: str) -> None:
    """Refuse a string that Milvus would refuse, or cut."""
    length = len(value.encode(errors="replace"))
    if length > LONGEST:
        raise DataError(
            f"the {what} of a document takes {length} bytes, more than Milvus holds",
            stage=STAGE,
            value=doc_id,
            accepted=f"up to {LONGEST} bytes",
            fix="split long documents into passages" if what == "text" else "use shorter ids",
        )
