"""The table of results: means, differences to the baseline, p-values, and what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rankloom.eval.measures import Evaluation
from rankloom.eval.significance import holm, paired_t

#: Corrected p-values below it carry a mark.
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure of one pipeline.

    Args:
        mean: Mean over all judged queries.
        delta: Difference to the baseline; None for the baseline itself, as for all that follows.
        p_value: Of the paired test, two-sided.
        corrected: The p-value corrected over the pipelines compared under this measure.
        wins: Queries better than with the baseline.
        ties: Queries as good.
        losses: Queries worse.
    """

    mean: float
    delta: float | None = None
    p_value: float | None = None
    corrected: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None

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
    """

    name: str
    cells: Mapping[str, Cell]
    queries: int
    missing: tuple[str, ...]
    unjudged_queries: tuple[str, ...]
    removed_hits: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The table: rows in the order of the pipelines.

    Args:
        rows: One for each pipeline that finished.
        measures: The columns.
        baseline: What the others are compared with; None if it is not among the rows.
        test: The test.
        correction: The correction; the family is all pipelines compared under one measure.
        failed: Pipelines that gave no result.
    """

    rows: tuple[Row, ...]
    measures: tuple[str, ...]
    baseline: str | None
    test: str = "paired_t"
    correction: Literal["holm", "none"] = "holm"
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return {
            "baseline": self.baseline,
            "test": self.test,
            "correction": self.correction,
            "level": LEVEL,
            "measures": list(self.measures),
            "pipelines": {row.name: _row_dict(row) for row in self.rows},
            "failed": list(self.failed),
        }

    def header(self) -> list[str]:
        """The column heads of `cells`."""
        return ["pipeline", *self.measures, "queries", "missing"]

    def cells(self) -> list[list[str]]:
        """The table as short texts: mean, difference and mark in each cell."""
        return [
            [row.name, *(_shown(row.cells[name]) for name in self.measures), str(row.queries), str(len(row.missing))]
            for row in self.rows
        ]

    def tests_header(self) -> list[str]:
        """The column heads of `tests`."""
        return ["pipeline", "measure", "difference", "p", "p corrected", "wins", "ties", "losses"]

    def tests(self) -> list[list[str]]:
        """The comparisons with the baseline as short texts; empty when there are none."""
        return [
            [
                row.name,
                measure,
                f"{cell.delta:+.4f}",
                f"{cell.p_value:.4g}",
                f"{cell.corrected:.4g}",
                *map(str, (cell.wins, cell.ties, cell.losses)),
            ]
            for row in self.rows
            for measure, cell in row.cells.items()
            if cell.delta is not None
        ]

    def legend(self) -> str:
        """What the figures in the cells mean."""
        if self.baseline is None or len(self.rows) < 2:
            return "Means over all judged queries; a query without hits counts as 0."
        by = "Holm-corrected over the pipelines compared" if self.correction == "holm" else "uncorrected"
        return (
            f"Means over all judged queries (without hits: 0), with the difference to {self.baseline}. "
            f"+ and - mark p < {LEVEL} in a two-sided paired t-test, {by}."
        )


def summarise(
    evaluations: Mapping[str, Evaluation],
    *,
    baseline: str | None,
    correction: Literal["holm", "none"] = "holm",
    failed: Sequence[str] = (),
) -> Summary:
    """Compare evaluations of the same judgements and measures.

    Args:
        evaluations: Pipeline -> its evaluation; all of the same measures.
        baseline: The one that the others are compared with. If it has failed, nothing is compared.
        correction: How p-values are corrected.
        failed: Pipelines that gave no result.
    """
    measures = next(iter(evaluations.values())).measures if evaluations else ()
    held = baseline if baseline in evaluations else None
    columns = {name: _column(name, evaluations, held, correction) for name in measures}
    rows = tuple(
        Row(
            name,
            {measure: column[name] for measure, column in columns.items()},
            queries=len(next(iter(evaluation.per_query.values()))),
            missing=evaluation.missing,
            unjudged_queries=evaluation.unjudged_queries,
            removed_hits=evaluation.removed_hits,
        )
        for name, evaluation in evaluations.items()
    )
    return Summary(rows, measures, held, correction=correction, failed=tuple(failed))


def _column(
    measure: str, evaluations: Mapping[str, Evaluation], baseline: str | None, correction: str
) -> dict[str, Cell]:
    """One measure of all pipelines."""
    means = {name: evaluation.means[measure] for name, evaluation in evaluations.items()}
    if baseline is None:
        return {name: Cell(mean) for name, mean in means.items()}
    reference = evaluations[baseline].per_query[measure]
    tests = {
        name: paired_t([evaluation.per_query[measure][query] for query in reference], list(reference.values()))
        for name, evaluation in evaluations.items()
        if name != baseline
    }
    raw = [test.p_value for test in tests.values()]
    corrected = dict(zip(tests, holm(raw) if correction == "holm" else raw, strict=True))
    cells = {baseline: Cell(means[baseline])}
    for name, test in tests.items():
        delta = means[name] - means[baseline]
        cells[name] = Cell(means[name], delta, test.p_value, corrected[name], test.wins, test.ties, test.losses)
    return cells


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
    }


def _shown(cell: Cell) -> str:
    """Mean, difference and mark."""
    if cell.delta is None:
        return f"{cell.mean:.4f}"
    return f"{cell.mean:.4f} ({cell.delta:+.4f}){cell.mark}"
