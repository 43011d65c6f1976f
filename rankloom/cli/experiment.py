"""Experiments as verbs are given them: a YAML file, or the folder that a run has left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankloom.cli.options import cache_folder, offline_choice, reporter
from rankloom.errors import NotFoundError

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.session import Session


def open_experiment(path: Path, assignments: list[str], *, verb: str) -> Experiment:
    """The experiment of a file, or of the folder that it has written.

    Args:
        path: Either.
        assignments: Changes such as `collection=scifact`.
        verb: Who asks, for errors.

    Raises:
        NotFoundError: There is no such file, or the folder has no manifest.
        ConfigError: It is not valid.
    """
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.outputs import read_manifest
    from rankloom.yaml_file import Locations, apply_overrides

    if not path.is_dir():
        return Experiment.from_yaml(path, assignments)
    manifest = read_manifest(path)
    if manifest is None:
        raise NotFoundError("the folder holds no experiment (no manifest.json)", stage=verb, value=str(path))
    config = apply_overrides(manifest["config"], assignments)
    return Experiment.from_dict(config, source=str(path), locations=Locations(str(manifest.get("source") or path)))


def session_of(experiment: Experiment, *, cache: Path | None, no_cache: bool, offline: bool) -> Session:
    """The session of an experiment, as the options of a verb want it.

    Args:
        experiment: Tells seed, device and numbers.
        cache: Folder that remembers results; by default the user's.
        no_cache: Remember nothing.
        offline: Open no socket.
    """
    place = cache_folder(cache, no_cache=no_cache)
    return experiment.session(cache=place, offline=offline_choice(offline), progress=reporter())
