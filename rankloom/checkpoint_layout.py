"""What the files of a multi-vector encoder say of its layout, read without loading it.

sentence-transformers reads the same files when it loads the model; the tests hold one against the other. What they do
not say is left out.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.model_files import read_json_object

_STAGE = "token_encoder"
_QUERY_TOKENS = 32  # that queries are filled up to, where a checkpoint of PyLate or of ColBERT's authors does not say


def saved_layout(folder: Path) -> dict[str, Any]:
    """Fields of `TokenLayout` that a whole multi-vector encoder is known to have; none of another model.

    Raises:
        DataError: A file that says it can not be read.
    """
    saved, metadata = folder / "config_sentence_transformers.json", folder / "artifact.metadata"
    said = read_json_object(saved, stage=_STAGE) if saved.is_file() else {}
    if said.get("model_type") == "MultiVectorEncoder":
        return _known(_of_sentence_transformers(folder, said))
    if said.get("model_type") == "ColBERT":
        return _known(_of_pylate(said))
    if not said and metadata.is_file():
        return _known(_of_authors(read_json_object(metadata, stage=_STAGE)))
    return {}


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _of_sentence_transformers(folder: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """As sentence-transformers saves it: the transformer's file has lengths, the mask's has what is skipped."""
    parts = _modules(folder)
    if not {"Transformer", "MultiVectorMask"} <= parts.keys():
        return {}
    lengths = read_json_object(parts["Transformer"] / "sentence_bert_config.json", stage=_STAGE)
    mask = read_json_object(parts["MultiVectorMask"] / "config.json", stage=_STAGE)
    expansion, prompts = lengths.get("query_expansion"), said.get("prompts") or {}
    if expansion is not None and expansion.get("strategy") != "fixed":
        queries = {}  # filled up in a way that a `TokenLayout` has no words for
    else:
        length = lengths.get("query_length") if expansion is None else expansion.get("length")
        queries = {"query_tokens": length, "expand_queries": expansion is not None}
    return {
        **queries,
        "document_tokens": lengths.get("document_length"),
        "skip_punctuation": _skips(mask.get("skiplist_words") or []),
        "query_prefix": prompts.get("query") or "",
        "document_prefix": prompts.get("document") or "",
    }


def _modules(folder: Path) -> dict[str, Path]:
    """The folders of a model's parts, by the name of their class."""
    listing = folder / "modules.json"
    try:
        parts = json.loads(listing.read_text(encoding="utf-8"))
        return {part["type"].rpartition(".")[2]: folder / part["path"] for part in parts}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"the model's list of modules can not be read ({type(error).__name__}: {error})"
        raise DataError(reason, stage=_STAGE, value=str(listing), fix="fetch the model again") from error


def _of_pylate(said: Mapping[str, Any]) -> dict[str, Any]:
    """As PyLate saves it: all in one file. Its markers stand before what `prompts` says."""
    words, prompts = said.get("skiplist_words"), said.get("prompts") or {}
    prefixes = {role: said.get(f"{role}_prefix") or "" for role in ("query", "document")}
    return {
        "query_tokens": said.get("query_length") or _QUERY_TOKENS,
        "document_tokens": said.get("document_length"),
        "expand_queries": said.get("do_query_expansion") is not False,
        "skip_punctuation": _skips(list(string.punctuation) if words is None else words),
        **{
            f"{role}_prefix": prefix + (prompts.get(role) or "").removeprefix(prefix)
            for role, prefix in prefixes.items()
        },
    }


def _of_authors(said: Mapping[str, Any]) -> dict[str, Any]:
    """As ColBERT's authors save it; their queries are always filled up."""
    return {
        "query_tokens": said.get("query_maxlen") or _QUERY_TOKENS,
        "document_tokens": said.get("doc_maxlen"),
        "expand_queries": True,
        "skip_punctuation": bool(said.get("mask_punctuation", True)),
        "query_prefix": (said.get("query_token_id") or "[unused0]") + " ",
        "document_prefix": (said.get("doc_token_id") or "[unused1]") + " ",
    }


def _skips(words: list[str]) -> bool | None:
    """Whether punctuation is skipped, and nothing else; None where it is some of it, or more."""
    if not words:
        return False
    return True if words == list(string.punctuation) else None
