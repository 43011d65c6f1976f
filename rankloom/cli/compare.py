"""`rankloom compare`: hold runs against each other."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankloom.cli.options import DEFAULT_MEASURES, MeasureOption, Output, OutputOption
from rankloom.cli.show import show_json, show_table
from rankloom.errors import DataError, NotFoundError, UsageError, nearest

if TYPE_CHECKING:
    from rankloom.eval.measures import Evaluation


def compare(
    paths: Annotated[list[Path], typer.Argument(help="TREC run files, or the output folder of one experiment.")],
    *,
    qrels: Annotated[Path | None, typer.Option("--qrels", "-q", help="Judgements; not needed for a folder.")] = None,
    measures: MeasureOption = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", "-b", help="By default the experiment's own, or the first run.")
    ] = None,
    correction: Annotated[str, typer.Option("--correction", help="holm or none.")] = "holm",
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare runs query by query: differences to a baseline, paired t-tests, Holm's correction.

    A folder that `rankloom run` has written is compared by the values it holds, or by its runs when judgements are
    given.

    Examples:
      rankloom compare a.trec b.trec c.trec --qrels qrels.txt -m nDCG@10
      rankloom compare runs/quickstart --baseline dense
      rankloom compare runs/quickstart --qrels other-qrels.txt -m AP --output json
    """
    from rankloom.eval.table import summarise

    if correction not in ("holm", "none"):
        raise UsageError("unknown correction", value=correction, accepted="holm, none")
    if len(paths) == 1 and not paths[0].exists():
        raise NotFoundError("there is no such file or folder", stage="compare", value=str(paths[0]))
    evaluations = _stored(paths, measures) if qrels is None else _measured(_run_files(paths), qrels, measures)
    if baseline is not None and baseline not in evaluations:
        close = nearest(baseline, evaluations)
        raise UsageError(
            "the baseline is none of the runs",
            stage="compare",
            value=baseline,
            accepted=", ".join(evaluations),
            fix=f"did you mean {close!r}?" if close else None,
        )
    summary = summarise(
        evaluations,
        baseline=baseline or _own_baseline(paths, evaluations) or next(iter(evaluations)),
        correction="holm" if correction == "holm" else "none",
    )
    if output is Output.JSON:
        show_json(summary.to_dict())
        return
    show_table(summary.header(), summary.cells())
    typer.echo(summary.legend())
    tests = summary.tests()
    if tests:
        typer.echo("")
        show_table(summary.tests_header(), tests)


def _run_files(paths: list[Path]) -> dict[str, Path]:
    """Run files by name; of a folder, those in it or in its `runs`."""
    files: dict[str, Path] = {}
    for path in paths:
        inner = path / "runs" if (path / "runs").is_dir() else path
        found = _in_order(path, sorted(inner.glob("*.trec*"))) if path.is_dir() else [path]
        if not found:
            raise NotFoundError("the folder holds no run file (*.trec)", stage="compare", value=str(path))
        for file in found:
            name = file.name.removesuffix(".gz").removesuffix(".trec")
            if name in files:
                raise UsageError("two runs have the same name", stage="compare", value=name, fix="rename one file")
            files[name] = file
    return files


def _in_order(folder: Path, files: list[Path]) -> list[Path]:
    """The run files of a folder; those of an experiment in the order of its pipelines."""
    from rankloom.eval.outputs import read_manifest

    order = list((read_manifest(folder) or {}).get("pipelines", {}))
    place = {f"{name}.trec": number for number, name in enumerate(order)}
    return sorted(files, key=lambda file: (place.get(file.name, len(place)), file.name))


def _own_baseline(paths: list[Path], known: Container[str]) -> str | None:
    """The baseline of the experiment that a folder holds, if it is among the runs compared."""
    from rankloom.eval.outputs import read_manifest

    manifest = read_manifest(paths[0]) if len(paths) == 1 else None
    named = ((manifest or {}).get("config", {}).get("compare") or {}).get("baseline")
    return named if named in known else None


def _measured(files: dict[str, Path], qrels: Path, measures: list[str] | None) -> dict[str, Evaluation]:
    """Run files, measured."""
    from rankloom.eval.measures import evaluate
    from rankloom.qrels import read_qrels
    from rankloom.trec import read_run

    judged = read_qrels(qrels)
    return {name: evaluate(read_run(file), judged, measures or DEFAULT_MEASURES) for name, file in files.items()}


def _stored(paths: list[Path], measures: list[str] | None) -> dict[str, Evaluation]:
    """The values that an experiment has written."""
    from rankloom.eval.outputs import read_evaluations

    if len(paths) != 1 or not paths[0].is_dir():
        raise UsageError(
            "run files need judgements", stage="compare", fix="pass --qrels, or the output folder of one experiment"
        )
    stored = read_evaluations(paths[0])
    known = next(iter(stored.values())).measures
    unknown = [name for name in measures or () if name not in known]
    if unknown:
        raise DataError(
            "the experiment has not measured this",
            stage="compare",
            value=unknown[0],
            accepted=", ".join(known),
            fix="pass --qrels to measure its runs",
        )
    return {name: replace(one, measures=tuple(measures or known)) for name, one in stored.items()}
