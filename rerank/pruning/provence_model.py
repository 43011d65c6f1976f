"""Provence models in memory: built here from their configuration, with the weights of their files.

No code that comes with a model is run. The layouts:

    provence       deberta.*, pooler.*, classifier.*, and the second head token_classifier.*
    xprovence      roberta.* with a pooler, classifier.*, token_classifier.*
    open_provence  ranking_model.* (any model for sequence classification), pruning_head.classifier.*
    adapter        changes of a sentence encoder; see `rankloom.provence_adapter`
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from rankloom.adapter import merge_low_rank
from rankloom.encoders.sentence_model import sentence_model
from rankloom.errors import DataError, UsageError
from rankloom.model_files import read_json_object
from rankloom.models import LoadedModel, ResolvedModel, shared_model
from rankloom.provence_adapter import load_adapter, read_settings
from rankloom.rerank.cross_encoder_model import spare
from rankloom.rerank.pruning.provence_layout import ProvenceLayout, positions
from rankloom.session import Session
from rankloom.two_heads import TwoHeads

# What a saved configuration says of the machine that it was saved on, or of code that we do not run.
_LEFT_OUT = frozenset({
    "architectures", "auto_map", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path",
    "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "num_labels",
})  # fmt: skip
_LABELS = frozenset({"id2label", "label2id"})  # how many scores there are, the weights say
_SCORE_HEADS = ("classifier.out_proj.weight", "classifier.weight", "score.weight")
_BUFFERS = ("position_ids", "token_type_ids", "inv_freq")  # which older versions of transformers saved


class ProvenceModel(NamedTuple):
    """A model and its tokenizer.

    Args:
        heads: The model.
        tokenizer: A fast tokenizer of transformers.
    """

    heads: TwoHeads
    tokenizer: Any


def provence_model(found: ResolvedModel, layout: ProvenceLayout, session: Session, *, stage: str) -> LoadedModel:
    """A loaded model, shared with whoever asks for the same.

    Args:
        found: Where it is.
        layout: How it is built; see `read_layout`.
        session: Tells device and dtype.
        stage: Who asks, for errors.

    Raises:
        DataError: Its weights are not those of its layout, or it has no fast tokenizer.
        UsageError: It is to read more tokens at once than it has positions for.
        StageError: It can not be loaded.
        MissingExtraError: A library is not installed.
    """

    def loaded(folder: str, device: str, dtype: Any) -> ProvenceModel:
        if found.backbone is not None:
            backbone = sentence_model(found.backbone, session, precision=session.dtype, stage=stage)
            # a tokenizer of its own: the encoder's may be at work in another thread, under another lock
            heads, tokenizer = load_adapter(folder, backbone.model), copy.deepcopy(backbone.model[0].tokenizer)
            merge_low_rank(heads.classifier, extra="mini", stage=stage)
            below_last = read_settings(folder).below_last
        else:
            tokenizer, below_last = _tokenizer(Path(folder)), False
            heads = _BUILDERS[layout.name](Path(folder)).to(device=device, dtype=dtype).eval()
        spare(heads.classifier, packed=device == "cpu", tokens_read=not below_last)
        if below_last:
            heads.read_before(heads.classifier.base_model.encoder.layer[-1])
        return ProvenceModel(heads, tokenizer)

    model = shared_model("provence", found, session, loaded, stage=stage)
    places = positions(model.model.heads.classifier.config.to_dict())
    if layout.max_tokens > places:
        raise UsageError(
            "the model has not so many positions",
            stage=stage,
            value=f"max_tokens={layout.max_tokens}",
            accepted=f"at most {places}",
        )
    return model


def _tokenizer(folder: Path) -> Any:
    """The tokenizer that comes with a whole model."""
    if not (folder / "tokenizer.json").is_file():
        raise DataError(
            "the model comes without a fast tokenizer",
            stage="provence",
            value=str(folder),
            accepted="a folder with tokenizer.json",
            fix="load its tokenizer by transformers, and save it into the folder",
        )
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def _deberta(folder: Path) -> TwoHeads:
    """Provence: DeBERTa-v2 for sequence classification as transformers has it, and a head for tokens."""
    weights = _weights(folder)
    config = transformers.DebertaV2Config(**_config(folder, _of(weights, "classifier.weight", folder)))
    head = _linear(weights, "token_classifier", folder)
    return TwoHeads(_filled(transformers.DebertaV2ForSequenceClassification(config), weights, folder), head)


def _xlm_roberta(folder: Path) -> TwoHeads:
    """XProvence: XLM-RoBERTa whose pooler and classifier are, under other names, those of sequence classification."""
    weights = _weights(folder)
    renamed = {
        "roberta.pooler.dense.": "classifier.dense.",
        "classifier.weight": "classifier.out_proj.weight",
        "classifier.bias": "classifier.out_proj.bias",
    }
    head = _linear(weights, "token_classifier", folder)
    if "roberta.pooler.dense.weight" in weights:
        weights = {_renamed(name, renamed): one for name, one in weights.items()}
    config = transformers.XLMRobertaConfig(**_config(folder, _of(weights, "classifier.out_proj.weight", folder)))
    return TwoHeads(_filled(transformers.XLMRobertaForSequenceClassification(config), weights, folder), head)


def _open_provence(folder: Path) -> TwoHeads:
    """OpenProvence: any model for sequence classification, and a head for tokens.

    Its authors' head reads the last of the states that transformers 4 lists, which for ModernBERT are those before the
    last normalisation.
    """
    said = read_json_object(folder / "config.json", stage="provence")
    base = said.get("base_model_config")
    if not isinstance(base, Mapping) or "model_type" not in base:
        raise DataError(
            "the configuration does not say what the model is built on",
            stage="provence",
            value=str(folder / "config.json"),
            accepted="a `base_model_config` with a `model_type`",
        )
    weights = {name.removeprefix("ranking_model."): one for name, one in _weights(folder).items()}
    head = _linear(weights, "pruning_head.classifier", folder)
    weights = {name: one for name, one in weights.items() if not name.startswith("pruning_head.")}
    fields = {name: value for name, value in base.items() if name not in _LEFT_OUT | _LABELS}
    rows = next((len(weights[name]) for name in _SCORE_HEADS if name in weights), 1)
    config = transformers.AutoConfig.for_model(base["model_type"], **fields, num_labels=rows)
    classifier = transformers.AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]  # theirs
    return TwoHeads(_filled(classifier, weights, folder), head, getattr(classifier.base_model, "final_norm", None))


_BUILDERS: Mapping[str, Callable[[Path], TwoHeads]] = {
    "provence": _deberta,
    "xprovence": _xlm_roberta,
    "open_provence": _open_provence,
}


def _config(folder: Path, head: Tensor) -> dict[str, Any]:
    """What a configuration says of the architecture; how many scores there are, the weights of their head do."""
    said = read_json_object(folder / "config.json", stage="provence")
    kept = {name: value for name, value in said.items() if name not in _LEFT_OUT | _LABELS}
    return {**kept, "num_labels": len(head)}


def _weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder, by name."""
    return {name: one for file in sorted(folder.glob("*.safetensors")) for name, one in load_file(file).items()}


def _of(weights: Mapping[str, Tensor], name: str, folder: Path) -> Tensor:
    """One of the weights."""
    if name not in weights:
        raise _not_of_the_layout(folder, [name], [])
    return weights[name]


def _linear(weights: dict[str, Tensor], name: str, folder: Path) -> torch.nn.Linear:
    """A head for tokens, whose weights are taken out of the others."""
    parts = {part: weights.pop(f"{name}.{part}", None) for part in ("weight", "bias")}
    if parts["weight"] is None or parts["bias"] is None or len(parts["weight"]) != 2:
        raise _not_of_the_layout(folder, [f"{name}.weight (of two rows)", f"{name}.bias"], [])
    head = torch.nn.Linear(parts["weight"].shape[1], 2)
    head.load_state_dict(parts)
    return head


def _filled(model: Any, weights: Mapping[str, Tensor], folder: Path) -> Any:
    """A model with the weights of a file, all of them, and no other."""
    taken = {name: one for name, one in weights.items() if not name.endswith(_BUFFERS)}
    missing, unexpected = model.load_state_dict(taken, strict=False)
    missing = [name for name in missing if not name.endswith(_BUFFERS)]
    if missing or unexpected:
        raise _not_of_the_layout(folder, missing, unexpected)
    return model


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    """A name whose beginning is replaced by another."""
    found = next((old for old in prefixes if name.startswith(old)), None)
    return name if found is None else prefixes[found] + name.removeprefix(found)


def _not_of_the_layout(folder: Path, missing: list[str], unexpected: list[str]) -> DataError:
    """The error of a file whose weights are others than the configuration says."""
    what = [f"lacks {', '.join(missing[:3])}"] if missing else []
    what += [f"holds {', '.join(unexpected[:3])} besides"] if unexpected else []
    return DataError(
        f"the weights are not those that the configuration speaks of: the file {' and '.join(what)}",
        stage="provence",
        value=str(folder),
        fix="fetch the model again, or report the layout",
    )
