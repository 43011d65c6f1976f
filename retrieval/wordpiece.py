"""Subwords as terms: what a transformer's tokenizer makes of a text, for languages and domains without a stemmer."""

from __future__ import annotations

import json
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from rankloom.encoders import readable
from rankloom.errors import DataError, NotFoundError
from rankloom.extras import require
from rankloom.fingerprint import digest, digest_bytes
from rankloom.retrieval.analysis import Chunks

_STAGE = "wordpiece"
_BERT = ["BertNormalizer", "BertPreTokenizer", "WordPiece"]


class WordPieceAnalyzer:
    """The tokens of a `tokenizer.json`, special ones left out; any model of the tokenizers library, not only WordPiece.

    Nothing is cut, however long the text.

    Args:
        path: A `tokenizer.json`, or the folder of a model that holds one.

    Raises:
        NotFoundError: There is no such file.
        DataError: The file can not be read (found on first use).
        MissingExtraError: The tokenizers library is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        found = Path(path)
        self.path = found / "tokenizer.json" if found.is_dir() else found
        if not self.path.is_file():
            raise NotFoundError("there is no tokenizer.json", stage=_STAGE, value=str(path))
        self._chunks = Chunks(self._terms)

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in order."""
        chunks = readable(text).split(" ") if self._by_chunk else [readable(text)]
        return list(chain.from_iterable(map(self._chunks.__getitem__, chunks)))

    def _terms(self, chunk: str) -> tuple[str, ...]:
        """The terms of one stretch of text."""
        tokens = self.tokenizer.encode(chunk, add_special_tokens=False).tokens
        return tuple(token for token in tokens if token not in self.special)

    def fingerprint(self) -> str:
        """A digest of the file, as it was when it was first read."""
        return digest("wordpiece", 1, digest_bytes(self._content))

    def __repr__(self) -> str:
        """The call that makes an equal analyzer."""
        return f"WordPieceAnalyzer({str(self.path)!r})"

    @cached_property
    def _content(self) -> bytes:
        """The file, read once, so that the terms and their digest are of one content whatever becomes of it."""
        return self.path.read_bytes()

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, without the padding and cutting that its file may ask for."""
        library = require("tokenizers", extra="dense", stage=_STAGE)
        try:
            tokenizer = library.Tokenizer.from_buffer(self._content)
        except Exception as error:  # the library raises plain Exception
            raise DataError(f"the tokenizer can not be read ({error})", stage=_STAGE, value=str(self.path)) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _by_chunk(self) -> bool:
        """Whether no token goes across a blank, so that stretches between blanks can be remembered: BERT's rules."""
        kinds = json.loads(self.tokenizer.to_str())
        added = self.tokenizer.get_added_tokens_decoder().values()
        return [(kinds[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")] == _BERT and all(
            " " not in token.content and not (token.lstrip or token.rstrip or token.single_word) for token in added
        )

    @cached_property
    def special(self) -> frozenset[str]:
        """Tokens that stand for no text, such as [UNK]."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special)
