"""Encoders: texts to vectors. What all do is `Encoder`.

`SentenceEncoder` runs a model on this machine, `EmbeddingEndpoint` asks one elsewhere, `GivenVectors` has been given
them. Not for: indexes of vectors, learned sparse encoders (`rankloom.retrieval`).
"""

from rankloom.encoders.encoder import Encoded, Encoder, Role
from rankloom.encoders.endpoint import EmbeddingEndpoint
from rankloom.encoders.given import GivenVectors
from rankloom.encoders.precision import Precision
from rankloom.encoders.reading import readable, token_counts, truncation_note, truncation_notes
from rankloom.encoders.sentence import DEFAULT_MODEL, SentenceEncoder
from rankloom.encoders.sentence_model import Pooling

__all__ = [
    "DEFAULT_MODEL",
    "EmbeddingEndpoint",
    "Encoded",
    "Encoder",
    "GivenVectors",
    "Pooling",
    "Precision",
    "Role",
    "SentenceEncoder",
    "readable",
    "token_counts",
    "truncation_note",
    "truncation_notes",
]
