"""A transformer on ONNX Runtime, in the place of torch's inside a model of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

_ERRORS = 3  # the least severity that ONNX Runtime writes to standard error
# Additions joined to normalisations: the operator adds number after number, and takes four times as long as the two.
_SLOW = ["SkipLayerNormFusion"]


class OnnxBackbone(nn.Module):
    """What `Transformer.model` of sentence-transformers is called for, without torch.

    A call uses one thread, and calls may come from several at once: for texts of ordinary length that is faster than
    many threads on one batch, and the numbers do not depend on how many there are.

    Args:
        path: The exported file.
        transformer: The `Transformer` whose model it is.
        one_by_one: Whether a text's numbers depend on what is in its batch, so that each should have its own:
            activations are quantised by the range of the whole batch.
    """

    def __init__(self, path: Path, transformer: Any, *, one_by_one: bool) -> None:
        super().__init__()
        self.config = transformer.model.config
        self.one_by_one = one_by_one
        self._session = runtime_session(path)
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name

    def forward(self, **features: Any) -> dict[str, Any]:
        """The output that the transformer's pooling reads."""
        (values,) = self._session.run(None, {name: features[name].numpy() for name in self._inputs})
        return {self._output: torch.from_numpy(values)}


def runtime_session(path: Path) -> Any:
    """An ONNX file, ready to run on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW
    )
