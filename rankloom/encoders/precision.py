"""What a model on this machine computes its vectors with, and what is best where.

On a processor with instructions for bfloat16, torch in bfloat16 is 2 to 3 times as fast as in float32, and nDCG@10
stays within .002; ONNX Runtime is faster than torch in float32, with the same vectors. Its int8 is faster still and
costs up to .006: it is never chosen without being asked for. Figures: `benchmarks/encoding.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from rankloom.encoders.encoder import Encoder
from rankloom.extras import EXTRAS, installed, require
from rankloom.models import resolve_device
from rankloom.session import DType, Session

Precision = Literal["float32", "bfloat16", "onnx-float32", "onnx-int8", "auto"]
#: Architectures whose export to ONNX is tested here; `auto` takes ONNX Runtime for no other.
EXPORTED = frozenset({"bert", "roberta", "xlm-roberta", "distilbert"})
#: What a processor with bfloat16 arithmetic calls it; one that only converts (AVX2) is slower than in float32.
_NATIVE = ("avx512_bf16", "amx_bf16", "amx_tile")
ONNX_FILES = 2  # raised when models are exported to ONNX in another way


def chosen_precision(precision: Precision | None, session: Session, *, folder: Path | None, stage: str) -> str:
    """What vectors are computed with: `float32`, `bfloat16`, `onnx-float32` or `onnx-int8`.

    Args:
        precision: What was asked for; None is the session's dtype.
        session: Tells device and dtype.
        folder: The model's folder, if it is on this machine.
        stage: Who asks, for errors.

    Raises:
        UsageError: The session's device is not there.
        MissingExtraError: torch is not installed.
    """
    if precision is None:
        return session.dtype
    if precision != "auto":
        return precision
    device = resolve_device(session.device, stage=stage)
    if native_bfloat16(device, stage=stage):
        return "bfloat16"
    runtime = all(installed(module) for module in EXTRAS["onnx"])
    if device == "cpu" and runtime and folder is not None and _architecture(folder) in EXPORTED:
        return "onnx-float32"
    return "float32"


def computed_with(encoder: Encoder, session: Session, *, stage: str) -> str:
    """What decides a vector's last bits beside the model: the precision, and the kind of device if torch computes it.

    Args:
        encoder: The model.
        session: Tells device and dtype.
        stage: Who asks, for errors.

    Raises:
        UsageError: The session's device is not there.
        MissingExtraError: torch is not installed.
    """
    return on_device(encoder.precision_in(session), session, stage=stage)


def on_device(precision: str, session: Session, *, stage: str) -> str:
    """A precision, with the kind of device if torch computes with it; see `computed_with`."""
    if precision not in get_args(DType):
        return precision
    return f"{precision} on {resolve_device(session.device, stage=stage).partition(':')[0]}"


def precision_identity(precision: str, *, stage: str) -> str:
    """A precision as a part of keys: on ONNX Runtime with what makes its graphs, for they decide the last bits.

    Args:
        precision: As `chosen_precision` gives it.
        stage: Who asks, for errors.

    Raises:
        MissingExtraError: It is one of ONNX Runtime, which is not installed.

    Example:
        >>> precision_identity("bfloat16", stage="mine")
        'bfloat16'
    """
    if not precision.startswith("onnx"):
        return precision
    runtime = require("onnxruntime", extra="onnx", stage=stage)
    return f"{precision} {ONNX_FILES} {runtime.__version__}"


def native_bfloat16(device: str, *, stage: str) -> bool:
    """Whether a device computes in bfloat16 by instructions of its own, rather than by converting.

    Args:
        device: A device of torch.
        stage: Who asks, for errors.
    """
    torch = require("torch", extra="dense", stage=stage)
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in _NATIVE)
    return False


def _architecture(folder: Path) -> str:
    """What a model's transformer is called in its configuration; empty where there is no plain one."""
    listing = folder / "modules.json"
    first = json.loads(listing.read_text(encoding="utf-8"))[0]["path"] if listing.is_file() else ""
    configuration = folder / first / "config.json"
    if not configuration.is_file():
        return ""
    return str(json.loads(configuration.read_text(encoding="utf-8")).get("model_type", ""))
