"""Golden numbers: figures that an experiment gave once, and has to give again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os.path import normpath
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from rankloom.checks import choice
from rankloom.eval.config_problems import described, joined
from rankloom.eval.strict import Strict
from rankloom.yaml_file import Locations, Place, read_yaml

Scores = dict[str, dict[str, float]]


class Reference(Strict):
    """A figure that somebody else has published for one of ours.

    Args:
        pipeline: The pipeline.
        measure: The measure.
        value: The published figure.
        digits: To how many decimals it was published.
        source: Who gives it, and for what.
        differs: Why ours is another, rounded to the same decimals; needed where it is, and only there.
    """

    pipeline: str
    measure: str
    value: float
    digits: int = Field(default=4, ge=1)
    source: str
    differs: str | None = None


class GoldenRun(Strict):
    """One experiment on one collection, and what it gives.

    Args:
        collection: The collection; by default the experiment's own.
        set: Other changes to the experiment, as `rankloom run --set` takes them.
        scores: Pipeline -> measure -> mean over all judged queries.
        better: Measure -> pipelines significantly better than the experiment's baseline; None: not recorded.
        worse: Measure -> pipelines significantly worse. Given, as `better`, for all pipelines and measures or none.
        references: Published figures.
    """

    collection: str | None = None
    set: list[str] = Field(default_factory=list)
    scores: Scores = Field(min_length=1)
    better: dict[str, list[str]] | None = None
    worse: dict[str, list[str]] | None = None
    references: list[Reference] = Field(default_factory=list)

    @property
    def measures(self) -> list[str]:
        """All measures, in order."""
        return list(dict.fromkeys(measure for scores in self.scores.values() for measure in scores))

    @property
    def marked(self) -> bool:
        """Whether significant differences are recorded."""
        return self.better is not None or self.worse is not None

    def mark(self, pipeline: str, measure: str) -> str:
        """`+` or `-` for a significant difference to the baseline, else nothing."""
        if pipeline in (self.better or {}).get(measure, ()):
            return "+"
        return "-" if pipeline in (self.worse or {}).get(measure, ()) else ""


class Table(Strict):
    """Runs of one experiment that stand in one table.

    Args:
        config: The experiment, a YAML file; a relative path is taken from the folder of the golden file.
        tolerance: How far a mean may be from the recorded one; by default as far as four decimals tell.
        labels: What to call a pipeline or a collection in the table, in place of its name.
        runs: The runs.
    """

    config: str
    tolerance: float = Field(default=0.00005, gt=0)
    labels: dict[str, str] = Field(default_factory=dict)
    runs: list[GoldenRun] = Field(min_length=1)


class Page(Strict):
    """A page with the tables in it.

    Args:
        template: The text around them; see `rankloom.eval.golden_page`.
        output: The page. Both paths are relative to the folder of the golden file.
    """

    template: str
    output: str


class Golden(Strict):
    """A golden file.

    Args:
        tables: Name -> table.
        page: The page that shows them, if there is one.
    """

    tables: dict[str, Table] = Field(min_length=1)
    page: Page | None = None


class GoldenFile(NamedTuple):
    """A golden file and where it is."""

    golden: Golden
    path: Path

    def beside(self, path: str) -> Path:
        """A path that is relative to the folder of the file."""
        return Path(normpath(self.path.parent / path))


def read_golden(path: str | Path) -> GoldenFile:
    """Read and check golden numbers.

    Args:
        path: A YAML file; see `Golden`.

    Raises:
        NotFoundError: There is no such file.
        ConfigError: All that is wrong with it, each with file and line: also references that do not say why our
            figure is another, or say so although it is not.
    """
    values, locations = read_yaml(path)
    try:
        golden = Golden.model_validate(values)
    except ValidationError as error:
        raise joined([_described(problem, locations) for problem in error.errors()]) from None
    problems = [f"{locations.where(place)}: {text}" for place, text in _inconsistencies(golden)]
    if problems:
        raise joined(problems)
    return GoldenFile(golden, Path(path))


def differs(score: float, reference: Reference) -> bool:
    """Whether our figure, rounded as the reference is, is another."""
    return round(score, reference.digits) != round(reference.value, reference.digits)


def _inconsistencies(golden: Golden) -> Iterator[tuple[Place, str]]:
    """What types alone do not tell: where, and what."""
    for name, table in golden.tables.items():
        for number, run in enumerate(table.runs):
            place: Place = ("tables", name, "runs", number)
            for key, marks in (("better", run.better), ("worse", run.worse)):
                for measure, pipelines in (marks or {}).items():
                    for pipeline in pipelines:
                        if measure not in run.scores.get(pipeline, {}):
                            yield (*place, key), f"there is no score of {pipeline!r} for {measure!r}"
            for position, reference in enumerate(run.references):
                for problem in _reference_problems(run.scores, reference):
                    yield (*place, "references", position), problem


def _reference_problems(scores: Mapping[str, Mapping[str, float]], reference: Reference) -> Iterator[str]:
    """What is wrong with a reference."""
    score = scores.get(reference.pipeline, {}).get(reference.measure)
    if score is None:
        yield f"there is no score of {reference.pipeline!r} for {reference.measure!r}"
    elif differs(score, reference) and not reference.differs:
        yield f"the score {score} is not the reference {reference.value}; say why under `differs`"
    elif not differs(score, reference) and reference.differs:
        yield f"the score {score} is the reference {reference.value}; `differs` is not true"


def _described(problem: Any, locations: Locations) -> str:
    """One problem that pydantic found, with its file and line."""
    place = problem["loc"]
    models: dict[str, type[BaseModel]] = {"tables": Table, "page": Page, "": Golden}
    if "runs" in place:
        models["tables"] = Reference if "references" in place else GoldenRun
    return described(problem, locations, models)


def chosen_tables(golden: Golden, names: list[str]) -> dict[str, Table]:
    """The tables of some names; all for none.

    Raises:
        UsageError: There is none of that name; names the nearest.
    """
    for name in names:
        choice(name, golden.tables, stage="golden", parameter="table")
    return {name: table for name, table in golden.tables.items() if not names or name in names}
