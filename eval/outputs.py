"""The files of an experiment, each written whole or not at all.

`runs/*.trec`, `per_query.csv`, `summary.json` and `summary.md` hold results: the same bytes whether the experiment ran
in one piece, from the cache, or killed and resumed. `ledger.json`, `manifest.json` and `report.html` also hold times,
costs and cache hits.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.eval.manifest import manifest_of
from rankloom.eval.measures import Evaluation
from rankloom.eval.report import report_html
from rankloom.files import MANIFEST, checksum, write_json, write_text

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.results import ExperimentResult

_log = logging.getLogger("rankloom")
#: The folder of an experiment's runs.
RUNS = "runs"


def prepare_output(folder: Path, fingerprint: str) -> Path:
    """Make sure that results can be written to a folder, before they are computed.

    Args:
        folder: Where they shall go; made when missing.
        fingerprint: Of the experiment; the results of another one that are there are going to be replaced.

    Raises:
        UsageError: It is a file, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"the output folder can not be written: {error.strerror}", value=str(folder)) from error
    before = read_manifest(folder)
    if before is not None and before.get("experiment") != fingerprint:
        _log.warning("%s holds the results of another configuration; they will be replaced", folder)
    return folder


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an output folder; None if there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "experiment" in manifest else None


def read_evaluations(folder: Path) -> dict[str, Evaluation]:
    """The evaluations that an output folder holds, by pipeline.

    Raises:
        NotFoundError: It holds no results.
        DataError: They can not be read.
    """
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        rows = list(csv.reader((folder / "per_query.csv").read_text(encoding="utf-8").splitlines()))[1:]
        values: dict[str, dict[str, dict[str, float]]] = {}
        for query, pipeline, measure, value in rows:
            values.setdefault(pipeline, {}).setdefault(measure, {})[query] = float(value)
        return {
            name: Evaluation(
                measures=tuple(summary["measures"]),
                exact=summary["exact_measures"],
                per_query=values[name],
                means={measure: cell["mean"] for measure, cell in row["measures"].items()},
                missing=tuple(row["missing"]),
                unjudged_queries=tuple(row["unjudged_queries"]),
                removed_hits=row["removed_hits"],
                nothing_to_keep={what: tuple(ids) for what, ids in row.get("nothing_to_keep", {}).items()},
            )
            for name, row in summary["pipelines"].items()
        }
    except FileNotFoundError as error:
        raise NotFoundError("the folder holds no results of an experiment", value=str(folder)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the results can not be read ({error})", value=str(folder), fix="run it again") from error


def write_outputs(folder: Path, experiment: Experiment, result: ExperimentResult) -> None:
    """Write all files of an experiment; the manifest goes first when it is another's, and comes last.

    Args:
        folder: Where to.
        experiment: What was carried out.
        result: What it gave.
    """
    before = read_manifest(folder)
    if before is not None and before["experiment"] != experiment.fingerprint():
        (folder / MANIFEST).unlink()  # from here on no manifest vouches for a mixture of two experiments
    written = _write_results(folder, experiment, result)
    _remove_stale(folder, before, written)
    write_json(folder / "ledger.json", ledger_dict(result))
    files = {name: checksum(folder / name) for name in written}
    manifest = manifest_of(experiment, result, files=files)
    write_text(folder / "report.html", report_html(experiment, result, manifest, folder))
    write_json(folder / MANIFEST, manifest)


def ledger_dict(result: ExperimentResult) -> dict[str, Any]:
    """Notes and costs, of the collection and by pipeline, as JSON values."""
    pipelines: dict[str, Any] = {}
    for name, outcome in result.outcomes.items():
        latency = None if outcome.latency is None else outcome.latency.to_dict()
        pipelines[name] = {"cost_measures": outcome.costs(), "latency": latency, **outcome.ledger.to_dict()}
    return {
        "collection": result.collection.corpus.ledger.noted(*result.collection.notes).to_dict(),
        "relevant_documents_not_in_corpus": result.collection.absent_documents(),
        "indexes": {name: ledger.to_dict() for name, ledger in result.index_ledgers().items()},
        "pipelines": pipelines,
        "failed": result.reasons(),
    }


def _write_results(folder: Path, experiment: Experiment, result: ExperimentResult) -> list[str]:
    """Write the files that depend on nothing but the configuration and the data; returns their names."""
    names = []
    for name, outcome in result.outcomes.items():
        names.append(f"{RUNS}/{name}.trec")
        outcome.run.to_trec(folder / names[-1], tag=name)
    write_text(folder / "per_query.csv", _per_query_csv(result))
    write_json(folder / "summary.json", summary_dict(experiment, result))
    write_text(folder / "summary.md", _summary_markdown(result))
    return [*names, "per_query.csv", "summary.json", "summary.md"]


def summary_dict(experiment: Experiment, result: ExperimentResult) -> dict[str, Any]:
    """The summary as JSON values."""
    exact = next(iter(result.outcomes.values())).evaluation.exact
    return {
        "experiment": experiment.fingerprint(),
        "collection": result.collection.id,
        "exact_measures": dict(exact),
        **result.summary.to_dict(),
        "settings": {name: dict(setting) for name, setting in experiment.settings.items()},
        "tuning": {name: tuning.to_dict() for name, tuning in result.tunings.items()},
    }


def _per_query_csv(result: ExperimentResult) -> str:
    """A line for each pipeline, measure and query."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["query", "pipeline", "measure", "value"])
    for name, outcome in result.outcomes.items():
        for measure, values in outcome.evaluation.per_query.items():
            writer.writerows([query, name, measure, repr(value)] for query, value in values.items())
    return text.getvalue()


def _summary_markdown(result: ExperimentResult) -> str:
    """The summary as a Markdown table, and the p-values below it."""
    summary = result.summary
    header = summary.header()
    lines = [f"# {result.collection.id}", "", _line(header), _line(["---"] * len(header))]
    lines += [_line(cells) for cells in summary.cells()]
    lines += ["", summary.legend()]
    tests = summary.tests()
    if tests:
        head = summary.tests_header()
        lines += ["", _line(head), _line(["---"] * len(head)), *map(_line, tests)]
    for name, tuning in result.tunings.items():
        lines += ["", f"{name}:", *(f"- {line}" for line in tuning.lines())]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _remove_stale(folder: Path, before: dict[str, Any] | None, written: list[str]) -> None:
    """Remove result files that an earlier manifest names and this experiment does not write."""
    for name in (before or {}).get("files", {}):
        path = folder / name
        if name not in written and path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            path.unlink()
