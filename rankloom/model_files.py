"""The files of a model: whether a folder holds one that can be loaded, and a digest of what loading it reads.

A model is a folder with a configuration and safetensors weights. Pickled weights are refused: unpickling runs code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.fingerprint import digest

#: The files of a model's own folder that loading it reads; folders of its modules count as a whole.
READ = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "modules.json",
    "router_config.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "adapter_config.json",
    "adapter.json",
    "reduction.json",
    "feedback.json",
    "artifact.metadata",
    "idf.json",
    "preprocessor_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "chat_template*",
)
#: The file that makes a folder an adapter: what training has changed of another model, which it names as `backbone`.
ADAPTER = "adapter.json"
#: The file that makes a folder an adapter of peft, unless it holds a whole model too.
PEFT = "adapter_config.json"
#: The file by which a whole model says what it was trained to read of feedback; see `rankloom.prf.feedback_adapter`.
FEEDBACK = "feedback.json"
_WHOLE = ("config.json", "modules.json")  # one of them is in every whole model
_CONTENT_NAME = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


def model_problem(folder: Path) -> str | None:
    """Why a folder is not a model that can be loaded, as a sentence without its subject; None if it is one."""
    if not any((folder / name).is_file() for name in (*_WHOLE, ADAPTER, PEFT)):
        return f"holds no model (neither {' nor '.join((*_WHOLE, ADAPTER, PEFT))})"
    try:
        files = list(_files(folder))
        with_weights = {path.parent for path in files if path.suffix == ".safetensors"}
        if not with_weights:
            return "holds no safetensors weights"
        pickled = [path for one in _folders(folder) for path in one.glob("pytorch_model*.bin")]
        if any(path.parent not in with_weights for path in pickled):
            return "holds a part whose weights are pickled"
        backbone_name(folder)
        missing = _shards(folder) - {path.name for path in files}
    except (ValueError, KeyError, TypeError) as error:
        return f"has a configuration that can not be read ({type(error).__name__}: {error})"
    return f"lacks the weights {min(missing)}" if missing else None


def read_json_object(file: Path, *, stage: str) -> dict[str, Any]:
    """The fields of one of a model's JSON files.

    Raises:
        DataError: It can not be read, or holds something else.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fields, why = None, f"{type(error).__name__}: {error}"
    else:
        why = "it holds no object"
    if not isinstance(fields, dict):
        reason = f"a file of the model can not be read ({why})"
        raise DataError(reason, stage=stage, value=str(file), accepted="a JSON object", fix="fetch the model again")
    return fields


def backbone_name(folder: Path) -> str | None:
    """The model that an adapter changes; None if the folder holds a whole model.

    Raises:
        ValueError: The adapter's file can not be read.
        KeyError: It names none.
    """
    if (folder / ADAPTER).is_file():
        return str(json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["backbone"])
    if is_peft(folder):
        told = json.loads((folder / PEFT).read_text(encoding="utf-8"))
        name, revision = str(told["base_model_name_or_path"]), told.get("revision")
        return f"{name}@{revision}" if revision and "@" not in name and not Path(name).is_dir() else name
    return None


def is_peft(folder: Path) -> bool:
    """Whether a folder holds an adapter of peft alone, as training of language models leaves."""
    return (folder / PEFT).is_file() and not any((folder / name).is_file() for name in (*_WHOLE, ADAPTER))


def model_fingerprint(folder: Path) -> str:
    """A digest of the names and contents of all files that loading a model reads; 32 hexadecimal digits."""
    return digest([[path.relative_to(folder).as_posix(), _content(path)] for path in _files(folder)])


def _folders(folder: Path) -> list[Path]:
    """A model's folder and the folders of its modules, those behind a router among them."""
    inner: set[Path] = set()
    for listing in (folder / "modules.json", folder / "router_config.json"):
        if listing.is_file():
            listed = json.loads(listing.read_text(encoding="utf-8"))
            names = [module["path"] for module in listed] if isinstance(listed, list) else list(listed["types"])
            inner |= {folder / name for name in names}
    return [folder, *sorted(path for path in inner if path != folder and path.is_dir())]


def _files(folder: Path) -> Iterator[Path]:
    """The files that loading a model reads, in a fixed order."""
    for one in _folders(folder):
        found = one.rglob("*") if one != folder else (path for pattern in READ for path in one.glob(pattern))
        yield from sorted({path for path in found if path.is_file()})


def _shards(folder: Path) -> set[str]:
    """Names of the weight files that an index of sharded weights lists."""
    indexes = folder.glob("*.safetensors.index.json")
    return {name for index in indexes for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}


def _content(path: Path) -> str:
    """A file's SHA-256. The Hugging Face cache stores large files under that name, which saves reading them."""
    real = path.resolve()
    if real.parent.name == "blobs" and _CONTENT_NAME.fullmatch(real.name):
        return real.name
    status = real.stat()
    return _sha256(real, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, changed: int) -> str:  # noqa: ARG001  # a changed file is another key
    """The SHA-256 of a file, read once as long as its size and time of change stay."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()
