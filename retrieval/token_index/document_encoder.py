"""What an index is tied to: the part of a token encoder that makes the vectors of documents."""

from __future__ import annotations

from typing import Any

from rankloom.models import ResolvedModel
from rankloom.session import DType, Session
from rankloom.token_encoder import TokenEncoder


class DocumentEncoder:
    """A token encoder without what it does to queries, for `rankloom.retrieval.made_by`.

    Queries may be longer, filled up, or reduced in another way than when the index was built.

    Args:
        encoder: The whole of it.
    """

    def __init__(self, encoder: TokenEncoder) -> None:
        self._encoder = encoder

    @property
    def model(self) -> str:
        """Its model's name."""
        return self._encoder.model

    def fingerprint(self) -> str:
        """A digest of the model's files and of what is done to the vectors of documents; not of the precision."""
        return self._encoder.fingerprint(role="document")

    def settings(self) -> dict[str, Any]:
        """What is done to documents, named or not."""
        return {"untrained": self._encoder.untrained, **self._encoder.in_effect("document")}

    def precision_in(self, session: Session) -> DType:
        """What vectors are computed with in a session."""
        return self._encoder.precision_in(session)

    def resolve(self, session: Session) -> ResolvedModel:
        """Find the model's files."""
        return self._encoder.resolve(session)
