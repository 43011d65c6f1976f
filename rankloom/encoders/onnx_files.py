"""Transformers on ONNX Runtime: exported on first use, and kept in the session's cache.

Exporting takes some seconds, so the files are kept under the model's fingerprint; without a cache they live only until
they are loaded. Only the transformer is exported: tokenizing, pooling and what follows stay those of
sentence-transformers, and with them every model that it loads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankloom.cached_index import opened_or_built
from rankloom.encoders.onnx_backbone import OnnxBackbone
from rankloom.encoders.onnx_export import export
from rankloom.encoders.precision import ONNX_FILES, precision_identity
from rankloom.errors import StageError
from rankloom.files import Manifest, atomic_path
from rankloom.fingerprint import digest
from rankloom.models import ResolvedModel
from rankloom.session import Session

FORMAT = "rankloom-onnx"


def with_onnx(model: Any, found: ResolvedModel, session: Session, *, int8: bool, stage: str) -> Any:
    """A model of sentence-transformers whose transformers run on ONNX Runtime.

    Args:
        model: A `SentenceTransformer` in float32 on the processor, with `eager` attention; it is changed.
        found: Where it comes from.
        session: Its cache keeps the files.
        int8: Quantise the weights, and activations as they come.
        stage: Who asks, for errors.

    Raises:
        StageError: A transformer can not be exported, or there is none.
    """
    from sentence_transformers.base.modules import Transformer

    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    if not transformers:
        raise StageError("the model has no transformer to export", stage=stage, value=found.name, fix=_fix(int8))
    with _files(transformers, found, session, int8=int8, stage=stage) as folder:
        for number, transformer in enumerate(transformers):
            transformer.model = OnnxBackbone(folder / _file(number), transformer, one_by_one=int8)
    return model


@contextmanager
def _files(
    transformers: list[Any], found: ResolvedModel, session: Session, *, int8: bool, stage: str
) -> Iterator[Path]:
    """A folder with the exported transformers; a passing one if the session has no cache."""

    def fill(folder: Path) -> None:
        for number, transformer in enumerate(transformers):
            try:
                export(transformer, folder / _file(number), int8=int8)
            except Exception as error:  # whatever tracing, the optimiser or the runtime raise
                raise StageError(
                    f"the model can not be exported to ONNX ({type(error).__name__}: {error})",
                    stage=stage,
                    value=found.name,
                    fix=_fix(int8),
                ) from error

    def built(target: Path) -> Path:
        with atomic_path(target) as temporary:
            temporary.mkdir()
            fill(temporary)
            Manifest.write(temporary, format=FORMAT, version=ONNX_FILES, fields={"model": found.name, "int8": int8})
        return target

    def opened(target: Path) -> Path:
        Manifest.read(target, format=FORMAT, version=ONNX_FILES)
        return target

    if session.cache is None:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder))
            yield Path(folder)
        return
    # optimised graphs hold operators of the runtime's own, hence its version
    key = digest(found.fingerprint, precision_identity("onnx-int8" if int8 else "onnx-float32", stage=stage))
    yield opened_or_built(session.cache.index_directory("onnx", key), opened, built)


def _file(number: int) -> str:
    """The file of a model's transformer; most have one."""
    return f"transformer-{number}.onnx"


def _fix(int8: bool) -> str:
    """What to do about a model that ONNX Runtime does not run."""
    return f'precision="{"bfloat16" if int8 else "float32"}" runs it on torch, "auto" chooses'
