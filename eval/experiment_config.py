"""The YAML of an experiment as typed models; every problem in a file is found and reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError, nearest
from rankloom.eval.compression import PRUNING
from rankloom.eval.correction import CorrectionName
from rankloom.eval.costs import COSTS, Price
from rankloom.eval.intervals import IntervalsName
from rankloom.eval.significance import TestName
from rankloom.session import DType, OnTruncate
from rankloom.stage_schema import stage_schema
from rankloom.yaml_file import Locations, Place

_NAME = re.compile(r"[\w+=.,@-]+")  # a file name and a word of a TREC run file on every platform


class _Strict(BaseModel):
    """A part of the file: unknown keys are refused, types are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(_Strict):
    """A collection: by its name, or by its three files.

    Args:
        id: A name or folder that `rankloom.eval.collections.load_collection` knows; a bare string means this.
        split: Which judgements, where the name does not say.
        corpus: A file of documents.
        queries: A file of queries.
        qrels: A file of judgements.
    """

    id: str | None = None
    split: str | None = None
    corpus: str | None = None
    queries: str | None = None
    qrels: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        """A bare string is an id."""
        return {"id": value} if isinstance(value, str) else value

    @property
    def name(self) -> str:
        """What to call it."""
        return self.id or str(self.qrels)

    @property
    def files(self) -> dict[str, str | None]:
        """The three files."""
        return {"corpus": self.corpus, "queries": self.queries, "qrels": self.qrels}


class Compare(_Strict):
    """What the pipelines are compared with, and how.

    Args:
        baseline: The pipeline that the others are compared with; by default the first.
        test: The test of the per-query differences.
        correction: How p-values are corrected over the pipelines compared under one measure.
        intervals: Confidence intervals of means and differences. What is drawn at random, here and in the
            randomisation test, follows the seed of the session.
    """

    baseline: str | None = None
    test: TestName = "paired_t"
    correction: CorrectionName = "holm"
    intervals: IntervalsName = "none"


class Settings(_Strict):
    """How the experiment is carried out; see `rankloom.Session`."""

    seed: int = 7
    device: str = "auto"
    dtype: DType = "float32"
    on_truncate: OnTruncate = "record"


class Timing(_Strict):
    """How single queries are timed, when a measure of latency is asked for; see `rankloom.eval.latency`.

    Args:
        queries: How many are timed, drawn by the seed of the session.
        warm_up: How many of them go through once before.
    """

    queries: int = Field(default=50, ge=1)
    warm_up: int = Field(default=3, ge=0)


class ExperimentConfig(_Strict):
    """An experiment.

    Args:
        collection: Name of a collection, or a map; see `Source`.
        measures: Names of ir-measures, of `rankloom.eval.compression.PRUNING` (`compression`, `retention`, ...), and of
            `rankloom.eval.costs.COSTS` (`tokens`, `latency_p95`, ...).
        define: Names for steps and pipelines, to be used in pipelines.
        pipelines: Name -> list of steps. Names become file names.
        compare: Baseline, test, correction and intervals.
        session: Seed, device and numbers.
        timing: How latency is measured.
        prices: Stage -> what its tokens and calls cost, for the measure `money`; a stage without a price is free.
        output: Folder of the results; a relative one is taken from the current folder.
    """

    collection: Source
    measures: list[str] = Field(min_length=1)
    define: dict[str, Any] = Field(default_factory=dict)
    pipelines: dict[str, Any] = Field(min_length=1)
    compare: Compare = Field(default_factory=Compare)
    session: Settings = Field(default_factory=Settings)
    timing: Timing = Field(default_factory=Timing)
    prices: dict[str, Price] = Field(default_factory=dict)
    output: str = Field(min_length=1)

    @classmethod
    def read(cls, values: Mapping[str, Any], locations: Locations) -> ExperimentConfig:
        """The model of a configuration.

        Args:
            values: What the YAML file holds.
            locations: Where it stands there.

        Raises:
            ConfigError: Everything that is wrong, a line for each: file, line and, for a key, the nearest known one.
        """
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            raise _joined([_described(problem, locations) for problem in error.errors()]) from None
        problems = [f"{locations.where(place)}: {text}" for place, text in _inconsistencies(config)]
        problems += _bad_pipelines(config, locations)
        if problems:
            raise _joined(problems)
        return config

    @property
    def effectiveness(self) -> list[str]:
        """The measures of effectiveness, in order."""
        return [name for name in self.measures if name not in COSTS]

    @property
    def costs(self) -> list[str]:
        """The measures of cost, in order."""
        return [name for name in self.measures if name in COSTS]

    @property
    def baseline(self) -> str:
        """The pipeline that the others are compared with."""
        return self.compare.baseline or next(iter(self.pipelines))


def experiment_schema() -> dict[str, Any]:
    """The JSON schema of experiments: the keys of the file, and under `stages` the parameters of every stage."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rankloom experiment",
        **ExperimentConfig.model_json_schema(),
        "stages": stage_schema(),
    }


def _inconsistencies(config: ExperimentConfig) -> Iterator[tuple[Place, str]]:
    """What types alone do not tell: where, and what."""
    files = config.collection.files.values()
    if (config.collection.id is None) == (None in files) or (config.collection.id and any(files)):
        yield ("collection",), "a collection is an `id` (and a `split`), or the files `corpus`, `queries` and `qrels`"
    if config.baseline not in config.pipelines:
        hint = _did_you_mean(config.baseline, list(config.pipelines))
        yield ("compare", "baseline"), f"the baseline {config.baseline!r} is not a pipeline{hint}"
    seen: dict[str, str] = {}
    for name in config.pipelines:
        if not _NAME.fullmatch(name) or name.startswith("."):
            yield ("pipelines", name), f"{name!r} can not be a file name; use letters, digits and + - = . , @ _"
        if seen.setdefault(name.lower(), name) != name:
            yield ("pipelines", name), f"{name!r} and {seen[name.lower()]!r} are one file on some systems"
    yield from _bad_measures(config)


def _bad_measures(config: ExperimentConfig) -> Iterator[tuple[Place, str]]:
    """Measures that nothing computes, or that stand twice."""
    from rankloom.eval.measures import parse_measure

    for number, name in enumerate(config.measures):
        if name in config.measures[:number]:
            yield ("measures", number), f"the measure {name!r} stands twice"
        if name in COSTS or name in PRUNING:
            continue
        try:
            parse_measure(name)
        except ConfigError as error:
            own = [*PRUNING, *COSTS]
            yield ("measures", number), f"{error}; or one of {', '.join(own)}{_did_you_mean(name, own)}"
    if "money" in config.measures and not config.prices:
        yield ("measures", config.measures.index("money")), "the measure 'money' needs `prices`"
    if not config.effectiveness:
        yield ("measures",), "at least one measure must be of effectiveness, such as nDCG@10"


def _bad_pipelines(config: ExperimentConfig, locations: Locations) -> list[str]:
    """What is wrong with pipelines; an error in a definition that several of them use stands once."""
    builder = PipelineBuilder(config.define, locations=locations)
    problems: dict[str, None] = {}
    for name, spec in config.pipelines.items():
        try:
            builder.check(spec, at=("pipelines", name))
        except ConfigError as error:
            problems[str(error)] = None
    return list(problems)


def _joined(problems: list[str]) -> ConfigError:
    """One error that lists all problems."""
    if len(problems) == 1:
        return ConfigError(problems[0])
    return ConfigError(f"{len(problems)} problems in the configuration\n" + "\n".join(problems))


def _described(problem: Any, locations: Locations) -> str:
    """One problem that pydantic found, with its file and line."""
    place: Place = tuple(problem["loc"])
    line = locations.where(place)
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        hint = _did_you_mean(str(place[-1]), known) or f"; accepted: {', '.join(known)}"
        return f"{line}: unknown key {key!r}{hint}"
    if problem["type"] == "missing":
        return f"{line}: the key {key!r} is missing"
    return f"{line}: {key}: {problem['msg'].removesuffix('.')}; got {problem['input']!r}"


def _keys_at(place: Place) -> list[str]:
    """The keys that are known at one place of the file."""
    parts: dict[str, type[BaseModel]] = {
        "collection": Source,
        "compare": Compare,
        "session": Settings,
        "timing": Timing,
        "prices": Price,
    }
    model: type[BaseModel] = parts[str(place[0])] if place else ExperimentConfig
    return list(model.model_fields)


def _did_you_mean(word: str, known: list[str]) -> str:
    """A hint at the nearest known word, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {close!r}?" if close else ""
