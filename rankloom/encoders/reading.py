"""How models read texts: what no tokenizer takes, how many tokens are read, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders.encoder import Role
from rankloom.errors import DataError
from rankloom.ledger import Note
from rankloom.records import Query
from rankloom.session import Session

#: Names of a model's prompts that serve a role; the first that is there and not empty is put before each text.
#: (sentence-transformers 6.2 stops at its own empty `document` prompt and so ignores the `passage:` of the E5 models.)
_PROMPTS: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def readable(text: str) -> str:
    r"""A text without halves of surrogate pairs, which no tokenizer takes; each becomes a question mark.

    >>> readable("half a pair \ud83d"), readable("whole")
    ('half a pair ?', 'whole')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def own_prompt(model: Any, role: Role) -> str | None:
    """What a model of sentence-transformers wants before each text; None for nothing.

    Args:
        model: The model.
        role: What the texts are.
    """
    own = model.prompts
    return next((str(own[name]) for name in _PROMPTS[role] if own.get(name)), None)


def truncation_note(session: Session, *, stage: str, tokens: int, query_id: str = "", doc_id: str = "") -> Note:
    """The note that a text was longer than a model reads.

    Args:
        session: Tells whether this is to be recorded or an error.
        stage: The stage that reads the text.
        tokens: How many tokens were not read, above 0.
        query_id: The query whose text it is, or that it was read with.
        doc_id: The document whose text it is.

    Raises:
        DataError: The session's policy is `error`.
    """
    if session.on_truncate == "error":
        raise DataError(
            f"a text is longer than the model reads; its last {tokens} tokens would be ignored",
            stage=stage,
            value=doc_id or query_id,
            fix='split long documents into passages, or allow it with Session(on_truncate="record")',
        )
    return Note(stage, "truncated", query_id, doc_id, tokens)


def truncation_notes(
    session: Session, queries: Sequence[Query], truncated: NDArray[np.int64], *, stage: str
) -> list[Note]:
    """A note for each query that was longer than a model reads.

    Args:
        session: Tells whether this is to be recorded or an error.
        queries: The queries whose texts were read.
        truncated: Tokens of each that were not, int64 of shape (queries,).
        stage: The stage that reads them.

    Raises:
        DataError: A query was cut, and the session's policy is `error`.
    """
    return [
        truncation_note(session, stage=stage, tokens=int(truncated[place]), query_id=queries[place].id)
        for place in np.flatnonzero(truncated).tolist()
    ]


def token_counts(model: Any, inputs: list[Any], features: Any, **options: Any) -> tuple[Any, Any]:
    """How many tokens of each input a model of sentence-transformers reads, and how many it does not.

    Args:
        model: A `SentenceTransformer` or `CrossEncoder`.
        inputs: Texts, or pairs of texts.
        features: What `model.preprocess` made of them.
        options: What it was given besides.

    Returns:
        Two int64 arrays of shape (inputs,).
    """
    if "attention_mask" not in features:  # models of static embeddings read everything; they give offsets instead
        ends = [*features["offsets"].tolist()[1:], len(features["input_ids"])]
        return np.diff([0, *ends]).astype(np.int64), np.zeros(len(inputs), dtype=np.int64)
    read = features["attention_mask"].sum(dim=1).numpy().astype(np.int64)
    truncated = np.zeros_like(read)
    # Only an input as long as the longest of the batch can have been cut; only those are tokenised again.
    longest = np.flatnonzero(read == read.max())
    whole_text = {"text": {"truncation": False, "verbose": False}}
    again = model.preprocess([inputs[place] for place in longest], processing_kwargs=whole_text, **options)
    truncated[longest] = again["attention_mask"].sum(dim=1).numpy() - read[longest]
    return read, truncated
