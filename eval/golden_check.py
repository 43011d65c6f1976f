"""Checking golden numbers: run what this machine has the data and packages for, and say what was passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rankloom.checks import choice
from rankloom.errors import MissingExtraError, NotFoundError, RankloomError
from rankloom.eval.experiment import Experiment
from rankloom.eval.golden import GoldenFile, GoldenRun, Table
from rankloom.eval.table import Summary
from rankloom.session import Session
from rankloom.yaml_file import apply_overrides, read_yaml


class Status(StrEnum):
    """How a recorded figure fared."""

    MET = "met"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One recorded figure, checked.

    Args:
        table: Its table.
        collection: What it was measured on.
        pipeline: The pipeline.
        measure: The measure.
        expected: The recorded figure.
        tolerance: How far from it the new one may be.
        found: The new one; None if there is none.
        status: Whether it was met.
        reason: Why it was not, or why it was skipped.
    """

    table: str
    collection: str
    pipeline: str
    measure: str
    expected: float
    tolerance: float
    found: float | None
    status: Status
    reason: str = ""


def check_tables(
    file: GoldenFile,
    tables: Mapping[str, Table],
    make_session: Callable[[Experiment], Session],
    *,
    pipelines: Sequence[str] = (),
) -> Iterator[Finding]:
    """Run what the tables record, and compare. Findings come as soon as a run is done.

    A figure is skipped if its collection, a model or a package is not on this machine. Significance marks are compared
    where they are recorded and all pipelines of the run were carried out, for their p-values are corrected together.

    Args:
        file: The golden file.
        tables: Those of its tables that shall be checked.
        make_session: Gives the session for an experiment.
        pipelines: Check only pipelines of these names.

    Raises:
        UsageError: No table records a pipeline of one of these names.
        NotFoundError: There is no experiment file.
        ConfigError: An experiment is not valid, or does not have a recorded pipeline.
    """
    known = dict.fromkeys(name for table in tables.values() for run in table.runs for name in run.scores)
    for name in pipelines:
        choice(name, known, stage="golden", parameter="pipeline")
    for table_name, table in tables.items():
        for run in table.runs:
            wanted = [name for name in run.scores if not pipelines or name in pipelines]
            if wanted:
                yield from _RunCheck(file, table_name, table, run, make_session).findings(wanted)


@dataclass(frozen=True)
class _RunCheck:
    """The check of one run; see `check_tables`."""

    file: GoldenFile
    table_name: str
    table: Table
    run: GoldenRun
    make_session: Callable[[Experiment], Session]

    def findings(self, wanted: list[str]) -> Iterator[Finding]:
        """What became of the recorded figures of some pipelines."""
        experiment = self._experiment(wanted)
        session = self.make_session(experiment)
        try:
            result = experiment.evaluate(session)
        except RankloomError as error:
            if len(wanted) > 1 and self._loads(experiment, session):  # one pipeline may lack what others do not
                for name in wanted:
                    yield from self.findings([name])
                return
            yield from self._without(experiment, wanted, error)
        else:
            marks = self.run.marked and len(result.outcomes) == len(self.run.scores)
            yield from self._compared(experiment, result.summary, marks=marks)
            for name, failure in result.failures.items():
                yield from self._without(experiment, [name], failure)

    def _experiment(self, wanted: list[str]) -> Experiment:
        """The experiment with the pipelines and measures that are checked, and no others."""
        path = self.file.beside(self.table.config)
        values, locations = read_yaml(path)
        values = apply_overrides(values, self.run.set)
        if self.run.collection is not None:
            values["collection"] = self.run.collection
        for name in wanted:
            choice(name, values.get("pipelines", {}), stage=str(path), parameter="pipeline")
        values["pipelines"] = {name: spec for name, spec in values["pipelines"].items() if name in wanted}
        values["measures"] = self.run.measures
        compare: dict[str, Any] = values.get("compare", {})
        if compare.get("baseline") not in wanted:
            compare.pop("baseline", None)
        return Experiment.from_dict(values, source=str(path), locations=locations)

    def _loads(self, experiment: Experiment, session: Session) -> bool:
        """Whether the collection is there."""
        try:
            experiment.load(session)
        except RankloomError:
            return False
        return True

    def _compared(self, experiment: Experiment, summary: Summary, *, marks: bool) -> Iterator[Finding]:
        """The figures of pipelines that finished."""
        for row in summary.rows:
            for measure, expected in self.run.scores[row.name].items():
                cell = row.cells[measure]
                reason = ""
                if not abs(cell.mean - expected) <= self.table.tolerance:  # so that NaN is not met
                    reason = f"off by {cell.mean - expected:+.6f}"
                elif marks and cell.mark != self.run.mark(row.name, measure):
                    recorded = self.run.mark(row.name, measure)
                    reason = f"significance mark {cell.mark or 'none'}, recorded {recorded or 'none'}"
                status = Status.FAILED if reason else Status.MET
                yield self._finding(experiment, (row.name, measure), status, reason, cell.mean)

    def _without(self, experiment: Experiment, names: list[str], error: RankloomError) -> Iterator[Finding]:
        """Figures that could not be had: passed over where something is not on this machine, else not met."""
        status = Status.SKIPPED if isinstance(error, MissingExtraError | NotFoundError) else Status.FAILED
        for name in names:
            for measure in self.run.scores[name]:
                yield self._finding(experiment, (name, measure), status, str(error), None)

    def _finding(
        self, experiment: Experiment, of: tuple[str, str], status: Status, reason: str, found: float | None
    ) -> Finding:
        """One figure, of a pipeline and a measure."""
        pipeline, measure = of
        expected = self.run.scores[pipeline][measure]
        where = experiment.config.collection.name
        return Finding(self.table_name, where, pipeline, measure, expected, self.table.tolerance, found, status, reason)
