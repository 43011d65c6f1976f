"""A model of sentence-transformers: loaded, with another pooling or another engine where that was asked for."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rankloom.encoders.precision import native_bfloat16
from rankloom.errors import StageError, UsageError
from rankloom.extras import require
from rankloom.models import LoadedModel, ResolvedModel, shared_model
from rankloom.session import DType, Session

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
_log = logging.getLogger("rankloom")


def sentence_model(
    found: ResolvedModel,
    session: Session,
    *,
    precision: str,
    pooling: Pooling | None = None,
    raw: bool = False,
    stage: str,
) -> LoadedModel:
    """A loaded model, shared with whoever asks for the same.

    Args:
        found: Where it is.
        session: Tells the device; its cache keeps models exported to ONNX.
        precision: What it computes with; see `rankloom.encoders.precision`. ONNX Runtime computes on the processor.
        pooling: How token vectors become one, if not as the model says.
        raw: Leave out the model's own normalisation.
        stage: Who asks, for errors.

    Raises:
        StageError: It can not be loaded or exported, or compares vectors by neither cosine nor inner product.
        UsageError: It pools no token vectors, so that there is no other pooling.
        MissingExtraError: A library is not installed.
    """
    kind = " ".join(["sentence encoder", *([pooling] if pooling else []), *(["raw"] if raw else [])])
    change = partial(_changed, pooling=pooling, raw=raw, stage=stage)
    if precision.startswith("onnx"):
        from rankloom.encoders.onnx_files import with_onnx

        for module in ("onnx", "onnxruntime"):
            require(module, extra="onnx", stage=stage)

        def exported(folder: str, device: str, dtype: Any) -> Any:
            model = change(load(folder, device, dtype, attention="eager"))
            return with_onnx(model, found, session, int8=precision == "onnx-int8", stage=stage)

        return shared_model(f"{kind} {precision}", found, session, exported, stage=stage, device="cpu", dtype="float32")
    dtype: DType = "bfloat16" if precision == "bfloat16" else "float32"

    def plain(folder: str, device: str, numbers: Any) -> Any:
        if dtype == "bfloat16" and not native_bfloat16(device, stage=stage):
            _log.warning("%s: bfloat16 was asked for; %s has no instructions for it and is slow", stage, device)
        return change(load(folder, device, numbers))

    return shared_model(kind, found, session, plain, stage=stage, dtype=dtype)


def load(folder: str, device: str, dtype: Any, *, attention: str | None = None, pooled: bool = True) -> Any:
    """A sentence encoder from a folder, by sentence-transformers.

    A plain checkpoint of transformers says nothing of pooling; what is taken then is said in the log, if vectors of
    whole texts (`pooled`) are what it is loaded for.
    """
    library = require("sentence_transformers", extra="dense", stage="encoder")
    model = library.SentenceTransformer(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True}
        | ({"attn_implementation": attention} if attention else {}),
    ).eval()
    if model.similarity_fn_name not in ("cosine", "dot"):
        raise StageError(
            "the model compares vectors by neither cosine nor inner product",
            stage="encoder",
            value=model.similarity_fn_name,
            fix="take another model",
        )
    _mend_dpr(model, folder, dtype)
    for module in _poolings(model) if pooled and not (Path(folder) / "modules.json").is_file() else []:
        _log.warning(
            "%s does not say how it pools token vectors: '%s' is taken, and vectors are compared by cosine "
            "(pooling= and normalize= choose)",
            folder,
            module.pooling_mode,
        )
    return model


def _mend_dpr(model: Any, folder: str, dtype: Any) -> None:
    """Make a plain checkpoint of DPR what it is: a BERT whose first token is the vector.

    transformers takes DPR's encoder of contexts for one of questions and leaves its weights random, and
    sentence-transformers knows neither as a text encoder.
    """
    import transformers
    from sentence_transformers.sentence_transformer.modules import Pooling as Module

    architecture = (getattr(getattr(model[0], "config", None), "architectures", None) or [""])[0]
    if architecture not in ("DPRContextEncoder", "DPRQuestionEncoder") or (Path(folder) / "modules.json").is_file():
        return
    whole = getattr(transformers, architecture).from_pretrained(folder, dtype=dtype, local_files_only=True)
    if whole.config.projection_dim:
        raise StageError("DPR with a projection is not read", stage="encoder", value=folder)
    bert = (whole.ctx_encoder if architecture == "DPRContextEncoder" else whole.question_encoder).bert_model
    first = model[0]
    first.model = bert.eval().to(model.device)
    first.modality_config = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    first.module_output_name = "token_embeddings"
    while len(model) > 1:
        del model[-1]
    model.append(Module(bert.config.hidden_size, "cls"))


def has_normalization(model: Any) -> bool:
    """Whether the last thing a model does is to bring its vectors to length 1."""
    from sentence_transformers.base.modules import Normalize

    return any(isinstance(module, Normalize) for module in model.modules())


def _changed(model: Any, *, pooling: Pooling | None, raw: bool, stage: str) -> Any:
    """A model with another pooling, or without its normalisation."""
    if pooling is not None:
        found = _poolings(model)
        if not found:
            raise UsageError(
                "the model pools no token vectors, so there is no pooling to choose",
                stage=stage,
                value=pooling,
                fix="leave pooling out",
            )
        for module in found:
            module.pooling_mode, module.pooling_output_dimension = pooling, module.embedding_dimension
    if raw:
        _drop_normalization(model)
    return model


def _poolings(model: Any) -> list[Any]:
    """The modules that make one vector of a text's token vectors, those behind a router among them."""
    from sentence_transformers.sentence_transformer.modules import Pooling as Module

    return [module for module in model.modules() if isinstance(module, Module)]


def _drop_normalization(model: Any) -> None:
    """Make a model's normalisations do nothing."""
    from sentence_transformers.base.modules import Normalize
    from torch import nn

    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, Normalize):
                setattr(parent, name, nn.Identity())
