"""Encoders: texts to vectors. What all do is `Encoder`; `SentenceEncoder` runs a model on this machine.

Not for: indexes of vectors, learned sparse encoders (`rankloom.retrieval`).
"""

from rankloom.encoders.encoder import Encoded, Encoder, Role
from rankloom.encoders.reading import readable, token_counts, truncation_note
from rankloom.encoders.sentence import DEFAULT_MODEL, SentenceEncoder

__all__ = [
    "DEFAULT_MODEL",
    "Encoded",
    "Encoder",
    "Role",
    "SentenceEncoder",
    "readable",
    "token_counts",
    "truncation_note",
]
