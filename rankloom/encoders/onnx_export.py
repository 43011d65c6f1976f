"""One transformer of sentence-transformers as an ONNX file: traced, checked against torch, quantised.

Operators are fused by ONNX Runtime as it loads the file. Its offline optimizer for transformers finds no attention here
either, and joins additions to normalisations in an operator that takes four times as long as both.

`optimum` would export too, but fits no current version of transformers.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankloom.encoders.onnx_backbone import runtime_session
from rankloom.errors import StageError

# Two texts of other lengths than those of tracing: what tracing took for a constant shows up.
_TRACED = ["one two three", "four five six seven eight nine ten"]
_CHECKED = ["a b c d e f g h i j k l m n o p q r s t u v w x y z", "x", "seven words that are not in tracing"]
_TOLERANCE = 1e-3  # of numbers about 1; float32 noise of twelve layers is some 1e-5
_ONE_AT_A_TIME = threading.Lock()


class _Traced(nn.Module):
    """A transformer with positional inputs and one output, which is what tracing takes."""

    def __init__(self, transformer: Any, inputs: list[str], output: str) -> None:
        super().__init__()
        self.model, self.inputs, self.output = transformer.model, inputs, output

    def forward(self, *values: Tensor) -> Tensor:
        """The one output that sentence-transformers reads."""
        given = dict(zip(self.inputs, values, strict=True))
        output: Tensor = self.model(**given, return_dict=True)[self.output]
        return output


def export(transformer: Any, path: Path, *, int8: bool) -> None:
    """Write a transformer as an ONNX file.

    Args:
        transformer: A `Transformer` of sentence-transformers in float32, with `eager` attention.
        path: Where it shall be.
        int8: Quantise: weights to int8 once, activations as they come.

    Raises:
        StageError: The transformer does something else than map tokens to numbers, or its traced form gives others.
    """
    output = transformer.modality_config.get("text", {}).get("method_output_name")
    if transformer.modality_config.get("text", {}).get("method") != "forward" or not isinstance(output, str):
        raise StageError("it is no plain text encoder")
    sample = _features(transformer, _TRACED)
    traced = _Traced(transformer, list(sample), output).eval()
    rough = path.with_suffix(".rough.onnx")
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            traced,
            tuple(sample.values()),
            str(rough),
            dynamo=False,  # the other exporter fixes the number of texts or of tokens in many models
            input_names=list(sample),
            output_names=[output],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in sample}
            | {output: {0: "texts", 1: "tokens"} if output == "last_hidden_state" else {0: "texts"}},
        )
        _check(rough, traced, _features(transformer, _CHECKED))
        if int8:
            _quantize(rough, path)
            rough.unlink()
        else:
            rough.replace(path)


def _features(transformer: Any, texts: list[str]) -> dict[str, Tensor]:
    """The inputs of the transformer itself for some texts."""
    features = transformer.preprocess(texts)
    known = transformer.model_forward_params
    return {
        name: value
        for name, value in features.items()
        if isinstance(value, Tensor) and (known is None or name in known)
    }


def _check(path: Path, traced: _Traced, features: dict[str, Tensor]) -> None:
    """Raise if the file gives other numbers than torch, where texts are read."""
    expected = traced(*features.values()).numpy()
    session = runtime_session(path)
    read_names = [one.name for one in session.get_inputs()]  # tracing leaves out what the model does not read
    (found,) = session.run(None, {name: features[name].numpy() for name in read_names})
    read = features["attention_mask"].numpy().astype(bool) if expected.ndim == 3 else slice(None)
    difference = float(np.abs(found[read] - expected[read]).max() / max(1.0, float(np.abs(expected[read]).max())))
    if not difference <= _TOLERANCE:
        raise StageError(f"its traced form gives other numbers than torch, by {difference:.2g}")


def _quantize(source: Path, target: Path) -> None:
    """Weights to int8, each column by its own range; activations are quantised as they come.

    One range for a whole matrix brings vectors of MiniLM down to a cosine of .936 with those in float32, ranges for
    columns to .995. Weights take 7 bits, which costs .001 of that: processors without VNNI overflow with 8.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(source),
        str(target),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # fused operators do not tell what they give
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of tracing and quantisation: what they warn of is checked.

    Both switches are the process' own. Of two exports at once, the one that ends last would put back what the other
    has set, so that they wait for each other.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
