"""Checkpoints of IDCM as its authors publish them (`sebastian-hofstaetter/idcm-distilbert-msmarco_doc`).

One file of weights under the names of their code, a configuration without the transformer's sizes, which the weights
tell, and no tokenizer: that of the transformer has to lie beside them. Weights that are pickled have to be saved as
safetensors first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rankloom.errors import DataError
from rankloom.model_files import read_json_object
from rankloom.rerank.idcm_model import FirstTokenTeacher, IDCMModel, IDCMSizes
from rankloom.rerank.idcm_student import StudentKind

_STAGE = "idcm"
_QUERY, _DOCUMENT = 30 - 2, 2000 - 2  # tokens that the authors read, without [CLS] and [SEP]
_HEAD_WIDTH = 64  # of DistilBERT's attention
_CONTEXTS: dict[str, StudentKind] = {"ck": "ck", "ck-small": "ck_small", "tk": "tk"}
#: Name in the checkpoint -> name in `IDCMModel`, by their beginnings; a final one stands for itself.
_NAMES = {
    "bert_model.": "teacher.base.",
    "_classification_layer.": "teacher.head.",
    "sample_cnn3.1.": "student.context.",
    "sample_projector.": "student.project.",
    "tk_projector.": "student.project.",
    "tk_contextualizer.": "student.context.",
    "sampling_binweights.": "student.kernel_weights.",
    "kernel_alpha_scaler": "student.kernel_scale",
    "top_k_scoring": "weights",
}
_CONSTANT = frozenset({"mu", "sigma", "tK_mixer"})  # the kernels', which never change; of TK, which uses no mixture


def is_published(folder: Path) -> bool:
    """Whether a folder holds such a checkpoint."""
    file = folder / "config.json"
    return file.is_file() and "sample_context" in read_json_object(file, stage=_STAGE)


def load_published(folder: Path) -> IDCMModel:
    """The model of such a checkpoint, on the processor, in evaluation mode.

    Raises:
        DataError: Something is missing, or of another transformer than DistilBERT.
    """
    from transformers import AutoTokenizer

    told = read_json_object(folder / "config.json", stage=_STAGE)
    weights = {name: one for file in sorted(folder.glob("*.safetensors")) for name, one in load_file(file).items()}
    base = _transformer(weights, told, folder)
    if not (folder / "tokenizer.json").is_file():
        raise DataError(
            "the checkpoint has no tokenizer",
            stage=_STAGE,
            value=str(folder),
            fix=f"save the tokenizer of {told.get('bert_model')} into its folder",
        )
    try:
        sizes = IDCMSizes(
            core=told["chunk_size"],
            overlap=told["overlap"],
            query_tokens=_QUERY,
            max_tokens=_DOCUMENT,
            sample=told["sample_n"],
            best=told["top_k_chunks"],
            student=_CONTEXTS[told["sample_context"]],
            layout="published",
        )
        model = IDCMModel(sizes, AutoTokenizer.from_pretrained(str(folder)), FirstTokenTeacher(base))
        model.load_state_dict(_renamed(weights))
    except (KeyError, RuntimeError) as error:
        raise _unreadable(folder, str(error)) from error
    return model.eval()


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of `IDCMModel`."""
    found = {}
    for name, one in weights.items():
        beginning = next((start for start in _NAMES if name.startswith(start)), None)
        if beginning is None:
            if name not in _CONSTANT:
                raise KeyError(name)
            continue
        own = _NAMES[beginning] + name.removeprefix(beginning)
        found[own] = one.flatten() if own in ("weights", "student.kernel_scale") else one
    return found


def _transformer(weights: dict[str, Tensor], told: dict[str, Any], folder: Path) -> Any:
    """An untrained DistilBERT of the sizes that the weights have."""
    from transformers import DistilBertConfig, DistilBertModel

    within = {name.removeprefix("bert_model."): one for name, one in weights.items() if name.startswith("bert_model.")}
    try:
        vocabulary, width = within["embeddings.word_embeddings.weight"].shape
        config = DistilBertConfig(
            vocab_size=vocabulary,
            dim=width,
            n_layers=1 + max(int(name.split(".")[2]) for name in within if name.startswith("transformer.layer.")),
            n_heads=told.get("n_heads", width // _HEAD_WIDTH),
            hidden_dim=within["transformer.layer.0.ffn.lin1.weight"].shape[0],
            max_position_embeddings=within["embeddings.position_embeddings.weight"].shape[0],
        )
    except (KeyError, ValueError) as error:
        raise _unreadable(folder, f"no weights of DistilBERT: {error}") from error
    with torch.no_grad():
        return DistilBertModel(config)


def _unreadable(folder: Path, why: str) -> DataError:
    """The error of a checkpoint that is not one."""
    return DataError(
        f"the checkpoint can not be read ({why})",
        stage=_STAGE,
        value=str(folder),
        accepted="an IDCM model with DistilBERT, as its authors publish it, or an adapter that `rankloom train` made",
    )
