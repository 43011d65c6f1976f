"""Inference-free queries: the set of a query's tokens, each weighing its idf. No model runs when a user waits.

Geng et al.: Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, 2024 (arXiv:2411.04403).
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankloom.encoders import Role, readable
from rankloom.errors import DataError, NotFoundError
from rankloom.extras import require
from rankloom.files import checksum
from rankloom.fingerprint import digest
from rankloom.retrieval.sparse_encoder import SparseEncoded, Terms

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
            models do. The table belongs to the document model: its idf is that of the training collection, not yours.

    Raises:
        NotFoundError: A file is missing.
        DataError: A file can not be read (found on first use).
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._paths = {name: Path(folder) / name for name in ("tokenizer.json", "idf.json")}
        for name, path in self._paths.items():
            if not path.is_file():
                raise NotFoundError(f"the folder holds no {name}", stage=_STAGE, value=self.folder)

    def fingerprint(self) -> str:
        """A digest of both files."""
        return digest("inference free", *map(checksum, self._paths.values()))

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
        tokens = set(self._tokenizer.encode(readable(text), add_special_tokens=False).tokens) - self._special
        weighted = {token: self._weights.get(token, _UNKNOWN) for token in tokens}
        ordered = sorted(weighted.items(), key=lambda pair: (-pair[1], pair[0]))
        return {token: weight for token, weight in ordered if weight > 0}

    @cached_property
    def _tokenizer(self) -> Any:
        """The tokenizer, without the padding and cutting that its file may ask for."""
        library = require("tokenizers", extra="dense", stage=_STAGE)
        try:
            tokenizer = library.Tokenizer.from_file(str(self._paths["tokenizer.json"]))
        except Exception as error:  # the library raises plain Exception
            raise DataError(f"the tokenizer can not be read ({error})", stage=_STAGE, value=self.folder) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _special(self) -> frozenset[str]:
        """Tokens that stand for no text, such as [UNK]."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special)

    @cached_property
    def _weights(self) -> dict[str, float]:
        """Token -> weight."""
        try:
            table = json.loads(self._paths["idf.json"].read_text(encoding="utf-8"))
            weights = {str(token): float(weight) for token, weight in table.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(f"idf.json is no table of weights ({error})", stage=_STAGE, value=self.folder) from error
        if not np.isfinite(list(weights.values())).all():
            raise DataError("idf.json holds a weight that is not finite", stage=_STAGE, value=self.folder)
        return weights
