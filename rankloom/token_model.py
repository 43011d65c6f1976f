"""Models that give token vectors: loaded, told how texts are laid out, or made of a model that was trained for less.

Loaded by sentence-transformers, which reads its own multi-vector encoders, those of PyLate and those of ColBERT's
authors.
"""

from __future__ import annotations

import json
import logging
import string
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rankloom.checkpoint_layout import saved_layout
from rankloom.encoders.precision import native_bfloat16
from rankloom.encoders.reading import own_prompt
from rankloom.encoders.sentence_model import load
from rankloom.errors import DataError, UsageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.model_files import ADAPTER, read_json_object
from rankloom.models import LoadedModel, ResolvedModel, shared_model
from rankloom.session import DType, Session
from rankloom.token_adapter import load_adapter, read_settings
from rankloom.token_layout import TokenLayout, multi_vector_encoder

#: The file of a model's folder that says which reduction it was trained with.
REDUCTION = "reduction.json"
_QUERY_TOKENS = 32  # of queries that are filled up, where neither the model nor the caller says; as in ColBERT
_log = logging.getLogger("rankloom")


def token_model(
    found: ResolvedModel,
    session: Session,
    *,
    precision: DType,
    layout: Mapping[str, Any],
    untrained: bool = False,
    backbone: LoadedModel | None = None,
    stage: str,
) -> LoadedModel:
    """A loaded `MultiVectorEncoder`, shared with whoever asks for the same.

    Args:
        found: Where it is.
        session: Tells the device.
        precision: What it computes with.
        layout: What of its layout shall be otherwise; fields of `TokenLayout`.
        untrained: Take a transformer or sentence encoder, whose token states are the vectors.
        backbone: The sentence encoder that it changes, if it is an adapter; its weights are shared.
        stage: Who asks, for errors.

    Raises:
        DataError: It gives no token vectors and is not taken as untrained, or the other way round.
        UsageError: It can not read so many tokens.
        StageError: It can not be loaded.
    """

    def loaded(folder: str, device: str, dtype: Any) -> Any:
        if precision == "bfloat16" and not native_bfloat16(device, stage=stage):
            _log.warning("%s: bfloat16 was asked for; %s has no instructions for it and is slow", stage, device)
        if untrained:
            model = _untrained(folder, device, dtype, layout=layout, stage=stage)
        else:
            model = (
                _whole(folder, device, dtype, stage=stage) if backbone is None else load_adapter(folder, backbone.model)
            )
            _lay_out(model, layout, stage=stage)
        return model.to(dtype).eval()

    kind = f"token encoder {digest(untrained, dict(layout))}"
    return shared_model(kind, found, session, loaded, stage=stage, dtype=precision)


def own_reduction(found: ResolvedModel) -> str:
    """The word of the reduction that a model was trained with; `none` if it says nothing.

    Raises:
        DataError: The file that says it can not be read.
    """
    if found.backbone is not None:
        return read_settings(found.path).reduction
    file = found.path / REDUCTION
    if not file.is_file():
        return "none"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["reduction"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the model's reduction can not be read ({type(error).__name__}: {error})",
            stage="token_encoder",
            value=str(file),
            accepted='{"reduction": "C8x32"}',
        ) from error


def own_layout(found: ResolvedModel, *, untrained: bool, expand_queries: bool = False) -> dict[str, Any]:
    """Fields of `TokenLayout` that a model has where nobody names others, as far as its files tell without loading it.

    Those of adapters and of most multi-vector encoders are known; of other models only what `rankloom` itself decides.

    Args:
        found: Where it is.
        untrained: Whether it is taken as untrained.
        expand_queries: Whether that is asked for.

    Raises:
        DataError: The file that says it can not be read.
    """
    if untrained:
        plain = {"expand_queries": False, "skip_punctuation": True}
        return {**plain, "query_tokens": _QUERY_TOKENS} if expand_queries else plain
    return saved_layout(found.path) if found.backbone is None else asdict(read_settings(found.path).layout)


def _whole(folder: str, device: str, dtype: Any, *, stage: str) -> Any:
    """A multi-vector encoder from a folder that holds all of it."""
    library = require("sentence_transformers", extra="dense", stage=stage)
    if not _has_token_vectors(Path(folder), stage=stage):  # a random projection would be made up for it
        raise DataError(
            "the model gives no vectors of tokens",
            stage=stage,
            value=folder,
            accepted="a multi-vector encoder of sentence-transformers or PyLate, or a ColBERT of its authors",
            fix="for a sentence encoder, take bi_encoder or dense; or its token states as they are: untrained=True",
        )
    return library.MultiVectorEncoder(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True},
    )


def _untrained(folder: str, device: str, dtype: Any, *, layout: Mapping[str, Any], stage: str) -> Any:
    """A multi-vector encoder of the token states of a transformer, with no projection behind them."""
    from sentence_transformers.base.modules import Transformer

    if _has_token_vectors(Path(folder), stage=stage) or (Path(folder) / ADAPTER).is_file():
        raise UsageError(
            "the model was trained to give token vectors", stage=stage, value=folder, fix="leave untrained=True out"
        )
    model = load(folder, device, dtype, pooled=False)
    first = model[0]
    if not isinstance(first, Transformer):
        raise DataError(
            "the model has no states of tokens",
            stage=stage,
            value=folder,
            accepted="one that begins with a transformer",
        )
    limit = min(first.max_seq_length or _positions(first), _positions(first))
    expand = layout.get("expand_queries", False)
    own = {
        "query_tokens": _QUERY_TOKENS if expand else limit,
        "document_tokens": limit,
        "query_prefix": own_prompt(model, "query") or "",
        "document_prefix": own_prompt(model, "document") or "",
    }
    return multi_vector_encoder(first, TokenLayout(**{**own, **layout}))


def _lay_out(model: Any, layout: Mapping[str, Any], *, stage: str) -> None:
    """Change which tokens of queries and documents a multi-vector encoder gives vectors for, where that is asked."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    if not layout:
        return
    first = model[0]
    masks = [module for module in model if isinstance(module, MultiVectorMask)]
    if not isinstance(first, Transformer) or not masks:
        raise UsageError(
            "the model's layout can not be changed",
            stage=stage,
            value=sorted(layout),
            accepted="a model that begins with a transformer and has a MultiVectorMask behind it",
            fix="leave these parameters out",
        )
    most = max(layout.get("query_tokens", 1), layout.get("document_tokens", 1))
    if most > _positions(first):
        raise UsageError(
            "the model can not read that many tokens", stage=stage, value=most, accepted=f"up to {_positions(first)}"
        )
    before = first.query_expansion
    first.query_expansion = None  # it would have a say in the lengths
    first.query_length = layout.get("query_tokens", first.query_length)
    first.document_length = layout.get("document_tokens", first.document_length)
    if layout.get("expand_queries", before is not None):
        length = layout.get("query_tokens") or (before or {}).get("length") or first.query_length or _QUERY_TOKENS
        if first.query_length is not None:
            first.query_length = max(length, first.query_length)
        first.query_expansion = {"strategy": "fixed", **(before or {}), "length": length}
    if "skip_punctuation" in layout:
        for mask in masks:
            mask.skiplist_words = list(string.punctuation) if layout["skip_punctuation"] else []
            mask.resolve_with_tokenizer(model.tokenizer)
    for role in ("query", "document"):
        if f"{role}_prefix" in layout:
            model.prompts[role] = layout[f"{role}_prefix"]


def _positions(transformer: Any) -> int:
    """How many tokens a transformer has places for; a very large number where it does not say."""
    return int(getattr(transformer.model.config, "max_position_embeddings", None) or 1 << 30)


def _has_token_vectors(folder: Path, *, stage: str) -> bool:
    """Whether a model was made to be compared by its tokens.

    Raises:
        DataError: A file that says it can not be read.
    """
    saved, config = folder / "config_sentence_transformers.json", folder / "config.json"
    said = read_json_object(saved, stage=stage) if saved.is_file() else {}
    if said.get("model_type") in ("MultiVectorEncoder", "ColBERT") or "query_prefix" in said:  # the last two: PyLate
        return True
    return config.is_file() and "HF_ColBERT" in (read_json_object(config, stage=stage).get("architectures") or [])
