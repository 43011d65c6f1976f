"""The manifest of an experiment: what ran, on what, with which versions, and what came out."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import rankloom
from rankloom.eval.hardware import hardware
from rankloom.pipeline import Pipeline
from rankloom.stage import Stage

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.results import ExperimentResult

#: Packages whose version can change a result.
_PACKAGES = (
    "numpy",
    "scipy",
    "pyarrow",
    "ir-measures",
    "pytrec-eval-terrier",
    "regex",
    "syntok",
    "snowballstemmer",
    "torch",
    "transformers",
    "sentence-transformers",
    "peft",
    "faiss-cpu",
    "ir-datasets",
    "pyserini",
    "rank-bm25",
)


def manifest_of(experiment: Experiment, result: ExperimentResult, *, files: dict[str, str]) -> dict[str, Any]:
    """All that is known about a finished experiment, as JSON values.

    Args:
        experiment: What was carried out.
        result: What it gave.
        files: Result file -> checksum.
    """
    session, collection = result.session, result.collection
    return {
        "format": "rankloom-experiment",
        "version": 1,
        "experiment": experiment.fingerprint(),
        "state": "partial" if result.failures or result.unfinished() else "complete",
        "started": result.started.isoformat(timespec="seconds"),
        "finished": result.finished.isoformat(timespec="seconds"),
        "seconds": round((result.finished - result.started).total_seconds(), 3),
        "source": experiment.source,
        "config": experiment.config.model_dump(),
        "collection": {
            "id": collection.id,
            "queries": len(collection.queries),
            "documents": len(collection.corpus),
            "fingerprint": collection.fingerprint(),
            "corpus_fingerprint": collection.corpus.fingerprint(),
            "licence": collection.licence,
        },
        "session": {
            "seed": session.seed,
            "device": session.device,
            "dtype": session.dtype,
            "offline": session.offline,
            "threads": session.threads,
            "cache": None if session.cache is None else str(session.cache.directory),
        },
        "settings": {name: dict(setting) for name, setting in experiment.settings.items()},
        "tuning": {name: tuning.to_dict() for name, tuning in result.tunings.items()},
        "pipelines": {
            name: {
                "lineage": outcome.run.lineage,
                "stages": _stages(outcome.pipeline),
                "costs": outcome.costs(),
                "from_cache": dict(zip(("inputs", "of"), outcome.cached(), strict=True)),
            }
            for name, outcome in result.outcomes.items()
        },
        "failed": result.reasons(),
        "unfinished": result.unfinished(),
        "versions": versions(),
        "platform": {"system": platform.platform(), "machine": platform.machine(), "python": sys.version.split()[0]},
        "hardware": hardware(),
        "files": files,
    }


def versions() -> dict[str, str]:
    """Versions of rankloom and of what it computes with, as far as installed; imports none of them."""
    found = {"rankloom": rankloom.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _stages(stage: Stage) -> list[dict[str, Any]]:
    """Name and fingerprint of each stage of a pipeline."""
    stages = stage.stages if isinstance(stage, Pipeline) else (stage,)
    found: list[dict[str, Any]] = []
    for one in stages:
        entry: dict[str, Any] = {"stage": one.name, "fingerprint": one.fingerprint()}
        if one.inner:
            entry["branches"] = [_stages(inner) for inner in one.inner]
        found.append(entry)
    return found
