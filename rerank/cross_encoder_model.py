"""A cross-encoder of sentence-transformers: loaded, refused if it does not rank, and without work that nobody reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankloom.adapter import merge_low_rank
from rankloom.cross_encoder_adapter import LIKE_BERT, load_adapter
from rankloom.encoders.onnx_files import with_onnx
from rankloom.encoders.sentence_model import load, sentence_model
from rankloom.errors import DataError
from rankloom.extras import require
from rankloom.models import LoadedModel, ResolvedModel, shared_model
from rankloom.session import DType, Session

# Classes of transformers whose output is a score; any other checkpoint would get a random head.
_SCORING = ("ForSequenceClassification", "ForCausalLM")


def cross_encoder_model(
    found: ResolvedModel, session: Session, *, precision: str, stage: str, documents: int = 1
) -> LoadedModel:
    """A loaded model, shared with whoever asks for the same.

    Args:
        found: Where it is: a whole model, or an adapter of a sentence encoder; on torch it shares the weights that it
            does not change.
        session: Tells the device; its cache keeps models exported to ONNX.
        precision: What it computes with; see `rankloom.encoders.precision`.
        stage: Who asks, for errors.
        documents: How many documents it is to read with a query. Only adapters say that they read two.

    Raises:
        DataError: It is not a cross-encoder with one output, or reads another number of documents.
        StageError: It can not be loaded or exported.
        MissingExtraError: A library is not installed.
    """
    if precision.startswith("onnx"):
        return _exported(found, session, precision=precision, stage=stage, documents=documents)
    dtype: DType = "bfloat16" if precision == "bfloat16" else "float32"

    def loaded(folder: str, device: str, numbers: Any) -> Any:
        if found.backbone is None:
            model = _whole(folder, device, numbers, stage=stage)
        else:
            backbone = sentence_model(found.backbone, session, precision=dtype, stage=stage)
            model = load_adapter(folder, backbone.model, documents=documents)
            merge_low_rank(model, extra="mini", stage=stage)
        return _spared(model, packed=device == "cpu")

    return shared_model(_kind(documents), found, session, loaded, stage=stage, dtype=dtype)


def _kind(documents: int) -> str:
    """What it is loaded as."""
    return "cross encoder" if documents == 1 else f"cross encoder of {documents}"


def _exported(found: ResolvedModel, session: Session, *, precision: str, stage: str, documents: int) -> LoadedModel:
    """A model on ONNX Runtime."""
    for module in ("onnx", "onnxruntime"):
        require(module, extra="onnx", stage=stage)

    def exported(folder: str, device: str, dtype: Any) -> Any:
        if found.backbone is None:
            model = _whole(folder, device, dtype, stage=stage, attention="eager")
        else:
            backbone = load(str(found.backbone.path), device, dtype, attention="eager", pooled=False)
            model = load_adapter(folder, backbone, documents=documents)
            merge_low_rank(model, extra="mini", stage=stage)
        return with_onnx(_spared(model, packed=False), found, session, int8=precision == "onnx-int8", stage=stage)

    kind = f"{_kind(documents)} {precision}"
    return shared_model(kind, found, session, exported, stage=stage, device="cpu", dtype="float32")


def _whole(folder: str, device: str, dtype: Any, *, stage: str, attention: str | None = None) -> Any:
    """A cross-encoder from a folder, by sentence-transformers."""
    library = require("sentence_transformers", extra="dense", stage=stage)
    check_head(Path(folder), stage)
    model = library.CrossEncoder(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True}
        | ({"attn_implementation": attention} if attention else {}),
    ).eval()
    if model.num_labels != 1:
        raise DataError(
            f"the model has {model.num_labels} outputs",
            stage=stage,
            value=folder,
            accepted="a model that gives one score (num_labels=1)",
            fix="take a model trained for reranking; one for classification or inference does not rank",
        )
    return model


def check_head(folder: Path, stage: str) -> None:
    """Refuse a model without a scoring head, which loading would make up at random, or without a form for pairs."""
    saved_as = folder / "config_sentence_transformers.json"
    if saved_as.is_file() and json.loads(saved_as.read_text(encoding="utf-8")).get("model_type") == "CrossEncoder":
        return
    config = folder / "config.json"
    classes = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    if not classes or not classes[0].endswith(_SCORING):
        raise DataError(
            "the model has no scoring head",
            stage=stage,
            value=folder.name if not classes else f"{folder.name} ({classes[0]})",
            accepted="a cross-encoder",
            fix="for a sentence encoder, take BiEncoder",
        )
    if classes[0].endswith("ForCausalLM") and not _has_template(folder):
        raise DataError(
            "nothing says how the model reads a query and a document",
            stage=stage,
            value=f"{folder.name} ({classes[0]})",
            accepted="a causal language model with a template for pairs, as sentence-transformers saves one",
            fix="for Qwen3-Reranker and bge-reranker-v2-gemma, take CausalReranker (causal_reranker)",
        )


def _has_template(folder: Path) -> bool:
    """Whether the tokenizer of a model has a chat template."""
    config = folder / "tokenizer_config.json"
    held = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    return bool(held.get("chat_template")) or (folder / "chat_template.jinja").is_file()


def _spared(model: Any, *, packed: bool) -> Any:
    """A model of sentence-transformers that does no work which its head does not read; see `spare`."""
    if getattr(model[0], "transformer_task", "") == "sequence-classification":
        spare(model[0].model, packed=packed)
    return model


def spare(classifier: Any, *, packed: bool, tokens_read: bool = False) -> None:
    """Let a classifier like BERT do no work that its head does not read.

    The scores stay what they are but for float noise; of a model of six layers it saves a seventh of the time.

    Args:
        classifier: A model of transformers for sequence classification, in evaluation mode; others stay as they are.
        packed: Whether it does no work on padding either, and multiplies as processors like it.
        tokens_read: Whether a second head reads all tokens of the last layer.
    """
    from torch.nn import ModuleList

    from rankloom.rerank.first_token_layer import FirstTokenLayer
    from rankloom.rerank.laid_out_linear import lay_out
    from rankloom.rerank.packed_layers import PackedLayers

    if classifier.config.model_type in LIKE_BERT and not classifier.config.is_decoder:
        encoder = classifier.base_model.encoder
        whole = list(encoder.layer) if tokens_read else list(encoder.layer)[:-1]
        spared = [] if tokens_read else [FirstTokenLayer(encoder.layer[-1])]
        encoder.layer = ModuleList([*([PackedLayers(whole)] if packed else whole), *spared])
        if packed:
            lay_out(encoder)
