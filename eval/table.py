"""The table of results: means, differences to the baseline with their statistics, and what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rankloom.checks import choice
from rankloom.eval.answers import ANSWER_MEASURES
from rankloom.eval.correction import CORRECTIONS, CorrectionName
from rankloom.eval.effect_size import POWER, cohens_dz, minimum_detectable_difference
from rankloom.eval.intervals import INTERVALS, Interval, IntervalsName, difference_interval, mean_interval
from rankloom.eval.measures import Evaluation, parse_measure
from rankloom.eval.per_query import aligned
from rankloom.eval.pruning import PRUNING
from rankloom.eval.significance import TESTS, TestName

#: Corrected p-values below it carry a mark. Intervals have the confidence 1 - LEVEL.
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure of one pipeline.

    Args:
        mean: Mean over all judged queries; for counts such as NumRet the sum, here and in what follows.
        interval: Confidence interval of the mean; None when not asked for, or not defined (see `mean_interval`).
        delta: Difference to the baseline; None for the baseline itself, as for all that follows.
        delta_interval: Confidence interval of the difference; None as for `interval`.
        p_value: Of the paired test, two-sided.
        corrected: The p-value corrected over the pipelines compared under this measure.
        wins: Queries better than with the baseline.
        ties: Queries as good.
        losses: Queries worse.
        effect_size: Cohen's d_z; None when not defined (see `cohens_dz`).
        detectable: The minimum detectable difference; None when not defined (see `minimum_detectable_difference`).
    """

    mean: float
    interval: Interval | None = None
    delta: float | None = None
    delta_interval: Interval | None = None
    p_value: float | None = None
    corrected: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    effect_size: float | None = None
    detectable: float | None = None

    @property
    def mark(self) -> str:
        """`+` or `-` for a significant difference to the baseline, else nothing."""
        if self.corrected is None or self.delta is None or self.corrected >= LEVEL:
            return ""
        return "+" if self.delta > 0 else "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One pipeline.

    Args:
        name: The pipeline.
        cells: Measure -> figures.
        queries: Judged queries.
        missing: Those of them it has no hits for; they count as 0.
        unjudged_queries: Queries it answered that nobody judged; they do not count.
        removed_hits: Hits taken out because the collection says so.
        nothing_to_keep: See `Evaluation`.
    """

    name: str
    cells: Mapping[str, Cell]
    queries: int
    missing: tuple[str, ...]
    unjudged_queries: tuple[str, ...]
    removed_hits: int
    nothing_to_keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """The table: rows in the order of the pipelines.

    Args:
        rows: One for each pipeline that finished.
        measures: The columns.
        baseline: What the others are compared with; None if it is not among the rows.
        test: The test.
        correction: The correction; the family is all pipelines compared under one measure.
        intervals: How intervals are made.
        failed: Pipelines that gave no result.
    """

    rows: tuple[Row, ...]
    measures: tuple[str, ...]
    baseline: str | None
    test: TestName = "paired_t"
    correction: CorrectionName = "holm"
    intervals: IntervalsName = "none"
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A JSON form; figures that are not defined are left out."""
        return {
            "baseline": self.baseline,
            "test": self.test,
            "correction": self.correction,
            "intervals": self.intervals,
            "level": LEVEL,
            "power": POWER,
            "measures": list(self.measures),
            "pipelines": {row.name: _row_dict(row) for row in self.rows},
            "failed": list(self.failed),
        }

    def header(self) -> list[str]:
        """The column heads of `cells`."""
        return ["pipeline", *self.measures, "queries", "missing"]

    def cells(self) -> list[list[str]]:
        """The table as short texts: mean, its interval where asked for, difference and mark in each cell.

        Pipelines that failed stand at the end.
        """
        rows = [
            [row.name, *(_shown(row.cells[name]) for name in self.measures), str(row.queries), str(len(row.missing))]
            for row in self.rows
        ]
        return rows + [[name, *("failed" for _ in self.measures), "-", "-"] for name in self.failed]

    def tests_header(self) -> list[str]:
        """The column heads of `tests`."""
        interval = ["interval"] if self.intervals != "none" else []
        counts = ["wins", "ties", "losses"]
        return ["pipeline", "measure", "difference", *interval, "p", "p corrected", "effect", "detectable", *counts]

    def tests(self) -> list[list[str]]:
        """The comparisons with the baseline as short texts; empty when there are none."""
        return [
            [
                row.name,
                measure,
                f"{cell.delta:+.4f}",
                *([_bounds(cell.delta_interval)] if self.intervals != "none" else []),
                f"{cell.p_value:.4g}",
                f"{cell.corrected:.4g}",
                "-" if cell.effect_size is None else f"{cell.effect_size:+.3f}",
                "-" if cell.detectable is None else f"{cell.detectable:.4f}",
                *map(str, (cell.wins, cell.ties, cell.losses)),
            ]
            for row in self.rows
            for measure, cell in row.cells.items()
            if cell.delta is not None
        ]

    def legend(self, marks: str = "+ and -", *, tests: bool = True) -> str:
        """What the figures in the cells mean.

        Args:
            marks: What stands for a significant gain, and for a significant loss.
            tests: Whether the table of tests is shown, too.
        """
        columns = (
            f" Effect: Cohen's d_z. Detectable: the true difference that an uncorrected paired t-test on these queries "
            f"finds with probability {POWER}."
        )
        pruned = self._of_pruning()
        drawn = f" In brackets: {1 - LEVEL:.0%} bootstrap confidence intervals." if self.intervals != "none" else ""
        if self.baseline is None or len(self.rows) < 2:
            return f"Means over all judged queries; a query without hits counts as 0.{drawn}{pruned}"
        family = "" if self.correction == "none" else " over the pipelines compared"
        return (
            f"Means over all judged queries (without hits: 0), with the difference to {self.baseline}. "
            f"{marks} mark p < {LEVEL} in a two-sided {TESTS[self.test].title}, "
            f"{CORRECTIONS[self.correction].title}{family}.{drawn}{columns if tests else ''}{pruned}"
        )

    def _of_pruning(self) -> str:
        """What measures of pruning say where there is nothing to prune or nothing to keep, and how often that is."""
        if not {*PRUNING} & {*self.measures}:
            return ""
        told = " Compression and retention: 0 and 1 where nothing was pruned."
        for what in ("sentences", "answers"):
            counts = [len(row.nothing_to_keep[what]) for row in self.rows if what in row.nothing_to_keep]
            if not any(counts):
                continue
            least, most = min(counts), max(counts)
            many = str(most) if least == most else f"{least} to {most} (by pipeline)"
            told += (
                f" {many} of {self.rows[0].queries} queries had no labelled {what} in the texts that were pruned and "
                f"count as kept (1) in the retention of {what}."
            )
        return told


def summarise(
    evaluations: Mapping[str, Evaluation],
    *,
    baseline: str | None,
    test: TestName = "paired_t",
    correction: CorrectionName = "holm",
    intervals: IntervalsName = "none",
    seed: int = 0,
    failed: Sequence[str] = (),
) -> Summary:
    """Compare evaluations of the same judgements and measures.

    Args:
        evaluations: Pipeline -> its evaluation; all of the same measures.
        baseline: The one that the others are compared with. If it has failed, nothing is compared.
        test: A name of `rankloom.eval.significance.TESTS`.
        correction: A name of `rankloom.eval.correction.CORRECTIONS`.
        intervals: `bootstrap` or `none`.
        seed: Of the randomisation test and the bootstrap. Each comparison starts from it anew, so that its figures do
            not depend on which others stand in the table.
        failed: Pipelines that gave no result.

    Raises:
        UsageError: An unknown name, evaluations of different queries, or a value that is not a finite number.
    """
    choice(test, TESTS, stage="compare", parameter="test")
    choice(correction, CORRECTIONS, stage="compare", parameter="correction")
    choice(intervals, INTERVALS, stage="compare", parameter="intervals")
    measures = next(iter(evaluations.values())).measures if evaluations else ()
    held = baseline if baseline in evaluations else None
    method = _Method(test, correction, intervals, seed)
    columns = {name: _column(name, evaluations, held, method) for name in measures}
    rows = tuple(
        Row(
            name,
            {measure: column[name] for measure, column in columns.items()},
            queries=len(next(iter(evaluation.per_query.values()))),
            missing=evaluation.missing,
            unjudged_queries=evaluation.unjudged_queries,
            removed_hits=evaluation.removed_hits,
            nothing_to_keep=evaluation.nothing_to_keep,
        )
        for name, evaluation in evaluations.items()
    )
    return Summary(rows, measures, held, test, correction, intervals, tuple(failed))


@dataclass(frozen=True, slots=True)
class _Method:
    """How pipelines are compared; see `summarise`."""

    test: TestName
    correction: CorrectionName
    intervals: IntervalsName
    seed: int


def _column(
    measure: str, evaluations: Mapping[str, Evaluation], baseline: str | None, method: _Method
) -> dict[str, Cell]:
    """One measure of all pipelines."""
    cells = {name: _mean_cell(measure, evaluation, method) for name, evaluation in evaluations.items()}
    if baseline is None:
        return cells
    reference = evaluations[baseline].per_query[measure]
    raw: dict[str, float] = {}
    for name, evaluation in evaluations.items():
        if name == baseline:
            continue
        values, base = aligned(evaluation.per_query[measure], reference)
        test = TESTS[method.test].run(values, base, method.seed)
        raw[name] = test.p_value
        detectable = minimum_detectable_difference(values, base, alpha=LEVEL)
        unit = _unit(measure, len(base))
        cells[name] = replace(
            cells[name],
            delta=cells[name].mean - cells[baseline].mean,
            delta_interval=_difference_interval(measure, values, base, method),
            p_value=test.p_value,
            wins=test.wins,
            ties=test.ties,
            losses=test.losses,
            effect_size=cohens_dz(values, base),
            detectable=None if detectable is None else unit * detectable,
        )
    corrected = CORRECTIONS[method.correction].correct(list(raw.values()))
    for name, p_value in zip(raw, corrected, strict=True):
        cells[name] = replace(cells[name], corrected=p_value)
    return cells


def _mean_cell(measure: str, evaluation: Evaluation, method: _Method) -> Cell:
    """The mean of a measure and its interval."""
    mean = evaluation.means[measure]
    if method.intervals == "none":
        return Cell(mean)
    values = list(evaluation.per_query[measure].values())
    interval = mean_interval(values, level=1 - LEVEL, seed=method.seed)
    return Cell(mean, _scaled(interval, _unit(measure, len(values))))


def _difference_interval(
    measure: str, values: Sequence[float], baseline: Sequence[float], method: _Method
) -> Interval | None:
    """The interval of a difference, where it is asked for."""
    if method.intervals == "none":
        return None
    interval = difference_interval(values, baseline, level=1 - LEVEL, seed=method.seed)
    return _scaled(interval, _unit(measure, len(values)))


def _unit(measure: str, queries: int) -> int:
    """What a mean over queries is multiplied by to become the table's figure: counts such as NumRet are summed."""
    from ir_measures import SumAgg

    if measure in PRUNING or measure in ANSWER_MEASURES:
        return 1
    return queries if isinstance(parse_measure(measure).aggregator(), SumAgg) else 1


def _scaled(interval: Interval | None, unit: int) -> Interval | None:
    """An interval in other units."""
    return None if interval is None else Interval(unit * interval.low, unit * interval.high)


def _row_dict(row: Row) -> dict[str, Any]:
    """A JSON form of a row; the baseline's cells hold only their mean."""
    cells = {}
    for measure, cell in row.cells.items():
        cells[measure] = {name: value for name, value in asdict(cell).items() if value is not None}
    return {
        "measures": cells,
        "queries": row.queries,
        "missing": list(row.missing),
        "unjudged_queries": list(row.unjudged_queries),
        "removed_hits": row.removed_hits,
        **({"nothing_to_keep": _listed(row.nothing_to_keep)} if row.nothing_to_keep else {}),
    }


def _listed(ids: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Ids as JSON has them."""
    return {name: list(found) for name, found in ids.items()}


def _shown(cell: Cell) -> str:
    """Mean, interval, difference and mark."""
    mean = f"{cell.mean:.4f}" if cell.interval is None else f"{cell.mean:.4f} {_bounds(cell.interval)}"
    return mean if cell.delta is None else f"{mean} ({cell.delta:+.4f}){cell.mark}"


def _bounds(interval: Interval | None) -> str:
    """The ends of an interval."""
    return "-" if interval is None else f"[{interval.low:.4f}, {interval.high:.4f}]"
