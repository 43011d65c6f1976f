"""`rankloom doctor`: what is installed and within reach; imports no model library."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from rankloom.cli.options import CacheOption, Output, OutputOption, cache_folder
from rankloom.cli.show import show_json

_PATIENCE = 10.0  # seconds for a driver to answer


def doctor(cache: CacheOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show what this installation can do: extras, devices, models, data, cache. Changes and loads nothing.

    Examples:
      rankloom doctor
      rankloom doctor --output json
    """
    folder = cache_folder(cache)
    found: dict[str, dict[str, object]] = {
        "system": {
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "processors": os.cpu_count() or 0,
        },
        "versions": _versions(),
        "extras": _extras(),
        "devices": _devices(),
        "java": _java(),
        "models": _models(),
        "data": _data(),
        "cache": {"folder": str(folder), "there": folder is not None and folder.is_dir()},
        "network": {
            name: os.environ.get(name, "not set") for name in ("RANKLOOM_OFFLINE", "HF_HUB_OFFLINE", "HF_HOME")
        },
    }
    if output is Output.JSON:
        show_json(found)
        return
    for title, facts in found.items():
        typer.echo(title)
        for name, fact in facts.items():
            typer.echo(f"  {name:<24} {_in_words(fact)}")


def _versions() -> dict[str, object]:
    """Versions of what results depend on."""
    from rankloom.eval.manifest import versions

    return dict(versions())


def _extras() -> dict[str, object]:
    """For each extra: `installed`, or what is missing and how to get it."""
    from rankloom.extras import EXTRAS, installed

    found: dict[str, object] = {}
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if not installed(module)]
        fix = f"missing {', '.join(missing)}: pip install 'rankloom[{extra}]'"
        found[extra] = fix if missing else "installed"
    return found


def _devices() -> dict[str, object]:
    """What models could compute on, as the system tells it; whether torch can use it, only torch knows."""
    devices: dict[str, object] = {"cpu": platform.processor() or platform.machine()}
    if sys.platform == "darwin" and platform.machine() == "arm64":
        devices["mps"] = "Apple silicon"
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        try:
            listed = subprocess.run(  # noqa: S603  # found on the path, fixed arguments
                [tool, "--list-gpus"], capture_output=True, text=True, timeout=_PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            devices["cuda"] = "nvidia-smi does not answer"
        else:
            names = [line for line in listed.stdout.splitlines() if line.startswith("GPU")]
            devices["cuda"] = names or "nvidia-smi finds none"
    elif Path("/proc/driver/nvidia/version").exists():
        devices["cuda"] = "a driver, but no nvidia-smi"
    else:
        devices["cuda"] = "none"
    return devices


def _java() -> dict[str, object]:
    """Every Java in sight, and which one Lucene would run on; none is started as long as it says its version."""
    from rankloom.errors import MissingExtraError
    from rankloom.retrieval.lucene.java import find_java, javas

    found: dict[str, object] = {java.source: str(java) for java in javas()}
    try:
        java = find_java()
    except MissingExtraError as error:
        return {**found, "used by lucene": f"none: {error.problem}; {error.fix}"}
    return {**found, "used by lucene": f"{java.version} from {java.source}"}


def _models() -> dict[str, object]:
    """Models on this machine: installed as packages, and in the hub's cache."""
    from rankloom.extras import installed
    from rankloom.models import PACKAGED

    found: dict[str, object] = {
        name: f"in the package {module}" if installed(module) else f"not here (package {module})"
        for name, module in PACKAGED.items()
    }
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    stored = sorted(path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*"))
    return {**found, "hub cache": stored or f"nothing in {hub}"}


def _data() -> dict[str, object]:
    """Where collections come from, and which there are."""
    from rankloom.errors import RankloomError
    from rankloom.eval.downloads import downloads_folder
    from rankloom.eval.sources import available, data_folder

    try:
        return {
            "folder": str(data_folder() or "RANKLOOM_DATA is not set"),
            "collections": available(),
            "downloads": str(downloads_folder()),
        }
    except RankloomError as error:
        return {"folder": str(error), "collections": []}


def _in_words(fact: object) -> str:
    """One fact as a line."""
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
