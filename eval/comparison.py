"""Evaluations to compare: measured from run files, or as experiments have written them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.eval.collections import Collection
from rankloom.eval.measures import Evaluation, evaluate
from rankloom.eval.outputs import read_evaluations, read_manifest
from rankloom.eval.run_files import Skipped, find_runs
from rankloom.qrels import Qrels
from rankloom.trec import read_run


class Compared(NamedTuple):
    """Evaluations by name, where each comes from, and what was not compared."""

    evaluations: dict[str, Evaluation]
    paths: dict[str, Path]
    skipped: tuple[Skipped, ...] = ()


def measured(paths: Sequence[Path], judgements: Qrels | Collection, measures: Sequence[str]) -> Compared:
    """Measure run files.

    Args:
        paths: Files and folders; see `find_runs`.
        judgements: Judgements alone, or a collection, whose quirks then apply.
        measures: Names that `evaluate`, or the collection, knows.

    Raises:
        NotFoundError: A path is not there, or a folder holds no run.
        DataError: A malformed run file; or no run has a query that is judged.
    """
    found = find_runs(paths)
    skipped = list(found.skipped)
    evaluations: dict[str, Evaluation] = {}
    for name, path in found.files.items():
        run = read_run(path)
        if isinstance(judgements, Collection):
            evaluation = judgements.evaluate(run, measures)
        else:
            evaluation = evaluate(run, judgements, measures)
        if len(evaluation.missing) == len(next(iter(evaluation.per_query.values()))):
            skipped.append(Skipped(path, "none of its queries is judged"))
        else:
            evaluations[name] = evaluation
    if not evaluations:
        raise DataError(
            "no run has a query that is judged",
            stage="compare",
            value=str(paths[0]),
            fix="are these the judgements of the runs' collection?",
        )
    return Compared(evaluations, {name: found.files[name] for name in evaluations}, tuple(skipped))


def stored(folders: Sequence[Path], measures: Sequence[str]) -> Compared:
    """The values that experiments on one collection have written.

    Pipelines of several experiments are called `FOLDER/PIPELINE` where two of them have one name.

    Args:
        folders: Their output folders.
        measures: Which measures; for none, those that all of them have.

    Raises:
        UsageError: A path is not a folder.
        NotFoundError: A folder holds no results.
        DataError: They can not be read, are of different collections, or lack a measure.
    """
    for folder in folders:
        if not folder.exists():
            raise NotFoundError("there is no such file or folder", stage="compare", value=str(folder))
    if not all(folder.is_dir() for folder in folders):
        raise UsageError(
            "run files need judgements", stage="compare", fix="pass --collection or --qrels, or folders of experiments"
        )
    held = {folder: read_evaluations(folder) for folder in folders}
    _check_one_collection(folders)
    columns = [next(iter(evaluations.values())).measures for evaluations in held.values()]
    common = [name for name in columns[0] if all(name in others for others in columns)]
    lacking = next((name for name in measures or common[:1] or columns[0] if name not in common), None)
    if lacking is not None:
        raise DataError(
            "the experiment has not measured this" if len(folders) == 1 else "not all experiments have measured this",
            stage="compare",
            value=lacking,
            accepted=", ".join(common) or None,
            fix="pass --collection or --qrels to measure the runs",
        )
    names = [name for evaluations in held.values() for name in evaluations]
    found = Compared({}, {})
    for folder, evaluations in held.items():
        for name, evaluation in evaluations.items():
            called = name if names.count(name) == 1 else f"{folder.resolve().name}/{name}"
            if called in found.evaluations:
                called = f"{folder}/{name}"
            found.evaluations[called] = replace(evaluation, measures=tuple(measures or common))
            found.paths[called] = folder
    return found


def own_settings(paths: Sequence[Path]) -> Mapping[str, Any]:
    """Baseline, test, correction, intervals and seed of the experiment that the only path holds; else nothing."""
    manifest = read_manifest(paths[0]) if len(paths) == 1 else None
    if manifest is None:
        return {}
    return {**manifest["config"].get("compare", {}), "seed": manifest["session"]["seed"]}


def _check_one_collection(folders: Sequence[Path]) -> None:
    """Refuse experiments on different collections."""
    of = {folder: (read_manifest(folder) or {}).get("collection", {}) for folder in folders}
    first = of[folders[0]]
    odd = next((folder for folder in folders if of[folder].get("fingerprint") != first.get("fingerprint")), None)
    if odd is not None:
        raise DataError(
            f"the experiments are on different collections, {first.get('id')} and {of[odd].get('id')}",
            stage="compare",
            value=str(odd),
            fix="compare those on one collection",
        )
