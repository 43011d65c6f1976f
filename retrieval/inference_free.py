"""Inference-free queries: the set of a query's tokens, each weighing its idf. No model runs when a user waits.

Geng et al.: Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, 2024 (arXiv:2411.04403).
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankloom.encoders import Role
from rankloom.errors import DataError, NotFoundError
from rankloom.fingerprint import digest, digest_bytes
from rankloom.model_files import ADAPTER
from rankloom.models import resolve_model, shipped
from rankloom.retrieval.wordpiece import WordPieceAnalyzer
from rankloom.weighted_terms import SparseEncoded, Terms

if TYPE_CHECKING:
    from rankloom.session import Session

_STAGE = "inference_free"
_UNKNOWN = 1.0  # weight of a token that the table lacks, as in the OpenSearch models


class InferenceFreeEncoder:
    """Weighted terms of a text by a tokenizer and a table.

    A token counts once however often it occurs. Negative weights and special tokens count 0. Nothing is cut: queries
    of any length are read whole.

    Args:
        folder: Holds `tokenizer.json` (of the tokenizers library) and `idf.json` (token -> weight), as the OpenSearch
            models do; or an adapter such as `mini/inference-free`, whose backbone has the tokenizer. The table belongs
            to the document model: its idf is that of the training collection, not yours.

    Raises:
        NotFoundError: A file is missing, or the backbone of an adapter is not on this machine.
        DataError: A file can not be read (found on first use).
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        place, tokenizer = Path(folder), Path(folder)
        if self.folder in shipped() or (place / ADAPTER).is_file():
            found = resolve_model(self.folder, offline=True, stage=_STAGE)
            place, tokenizer = found.path, found.backbone.path if found.backbone else found.path
        self._table = place / "idf.json"
        if not self._table.is_file():
            raise NotFoundError("the folder holds no idf.json", stage=_STAGE, value=self.folder)
        self._tokens = WordPieceAnalyzer(tokenizer)

    def fingerprint(self) -> str:
        """A digest of both files, as they were when they were first read."""
        return digest("inference free", self._tokens, digest_bytes(self._content))

    def encode(self, texts: list[str], *, role: Role = "query", session: Session | None = None) -> SparseEncoded:  # noqa: ARG002  # the protocol's
        """Weighted terms of some texts.

        Args:
            texts: Any strings.
            role: Not read: a table knows no roles.
            session: Not read: nothing is computed.

        Raises:
            DataError: A file can not be read.
        """
        terms = [self._terms(text) for text in texts]
        none = np.zeros(len(texts), dtype=np.int64)
        return SparseEncoded(terms, none, none, 0)

    def _terms(self, text: str) -> Terms:
        """The tokens of one text and their weights, heaviest first."""
        weighted = [(-self._weights.get(token, _UNKNOWN), token) for token in set(self._tokens(text))]
        return {token: -negative for negative, token in sorted(weighted) if negative < 0}

    @cached_property
    def _content(self) -> bytes:
        """The table, read once, so that weights and digest are of one content whatever becomes of the file."""
        return self._table.read_bytes()

    @cached_property
    def _weights(self) -> dict[str, float]:
        """Token -> weight."""
        try:
            table = json.loads(self._content)
            weights = {str(token): float(weight) for token, weight in table.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(f"idf.json is no table of weights ({error})", stage=_STAGE, value=self.folder) from error
        if not np.isfinite(list(weights.values())).all():
            raise DataError("idf.json holds a weight that is not finite", stage=_STAGE, value=self.folder)
        return weights
