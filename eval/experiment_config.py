"""The YAML of an experiment as typed models; every problem in a file is found and reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from rankloom.errors import ConfigError, nearest
from rankloom.eval.config_problems import bad_pipelines, described, inconsistencies, joined
from rankloom.eval.correction import CorrectionName
from rankloom.eval.costs import COSTS, Price
from rankloom.eval.intervals import IntervalsName
from rankloom.eval.significance import TestName
from rankloom.eval.strict import Strict
from rankloom.eval.sweep import Expansion, Sweep, expand, tuned_groups
from rankloom.eval.sweep_values import Range
from rankloom.language_models.words import language_model_schema
from rankloom.session import DType, OnTruncate
from rankloom.stage_schema import stage_schema
from rankloom.yaml_file import Locations


class Source(Strict):
    """A collection: by its name, or by its three files.

    A relative path is taken from the folder of the YAML file, or, where nothing is there, from the current folder.

    Args:
        id: A name or folder that `rankloom.eval.collections.load_collection` knows; a bare string means this.
        split: Which judgements, where the name does not say.
        corpus: A file of documents.
        queries: A file of queries.
        qrels: A file of judgements.
        sentences: A file of labelled sentences that are laid over it; see `load_collection`.
        sample: So many of its judged queries, drawn by the seed of the session, where all would take too long; a
            collection with fewer is taken whole.
    """

    id: str | None = None
    split: str | None = None
    corpus: str | None = None
    queries: str | None = None
    qrels: str | None = None
    sentences: str | None = None
    sample: int | None = Field(default=None, ge=1)

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


class Compare(Strict):
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


class Limits(Strict):
    """What the stages that ask a model many times may spend together; see `rankloom.budget.Budget`.

    Args:
        calls: Calls of models.
        tokens: Tokens read and written.
        seconds: Time spent waiting for models.
        money: At the experiment's prices.
    """

    calls: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    money: float | None = Field(default=None, gt=0)


class Settings(Strict):
    """How the experiment is carried out; see `rankloom.Session`."""

    seed: int = 7
    device: str = "auto"
    dtype: DType = "float32"
    on_truncate: OnTruncate = "record"
    threads: int = Field(default=1, ge=1)
    budget: Limits | None = None


class Timing(Strict):
    """How single queries are timed, when a measure of latency is asked for; see `rankloom.eval.latency`.

    Args:
        queries: How many are timed, drawn by the seed of the session.
        warm_up: How many of them go through once before.
    """

    queries: int = Field(default=50, ge=1)
    warm_up: int = Field(default=3, ge=0)


class Tune(Strict):
    """How one of several settings is chosen without looking at the queries it is measured on; see `eval/tuning.py`.

    Args:
        measure: What is to be large; by default the first measure of effectiveness.
        folds: Into how many parts the queries are cut for cross-validation; 5 if no collection is named. With one, the
            choice is made on all its queries, and cross-validation there says what such a choice is worth.
        collection: Choose on this collection instead, such as the training split.
        seed: Of the folds; by default the session's.
        among: Name of a row -> the pipelines it is chosen from; by default a row `PIPELINE,tuned` for each pipeline of
            the sweep.
        choose: Paths of the sweep whose values are chosen; by default all. For each setting of the others there is a
            row of its own.
        settings: With a `collection`: whether `all` settings are measured, or only the `chosen` ones, as tuned rows.
    """

    measure: str | None = None
    folds: int | None = Field(default=None, ge=2)
    collection: Source | None = None
    seed: int | None = None
    among: dict[str, list[str]] = Field(default_factory=dict)
    choose: list[str] = Field(default_factory=list)
    settings: Literal["all", "chosen"] = "all"


class ExperimentConfig(Strict):
    """An experiment.

    Relative paths of what is read (collections, models, files of stages) are taken from the folder of the YAML file, or
    else from the current folder; the output, which is written, always from the current folder.

    Args:
        collection: Name of a collection, or a map; see `Source`.
        measures: Names of ir-measures, of `rankloom.eval.pruning.PRUNING` (`compression`, `retention`, ...), and of
            `rankloom.eval.costs.COSTS` (`tokens`, `latency_p95`, ...).
        define: Names for steps and pipelines, to be used in pipelines.
        pipelines: Name -> list of steps. Names become file names.
        sweep: Settings of pipelines to be run in their place; see `rankloom.eval.sweep.Sweep`.
        tune: How one of them is chosen.
        compare: Baseline, test, correction and intervals.
        session: Seed, device and numbers.
        timing: How latency is measured.
        prices: Stage or model -> what its tokens and calls cost, for the measure `money`. The price of a model goes
            before that of its stage; a stage without a price is free.
        output: Folder of the results; a relative one is taken from the current folder.
    """

    collection: Source
    measures: list[str] = Field(min_length=1)
    define: dict[str, Any] = Field(default_factory=dict)
    pipelines: dict[str, Any] = Field(min_length=1)
    sweep: Sweep | None = None
    tune: Tune | None = None
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
            raise joined([described(problem, locations, _models()) for problem in error.errors()]) from None
        found = [f"{locations.where(place)}: {text}" for place, text in inconsistencies(config)]
        found += bad_pipelines(config, locations)
        if found:
            raise joined(found)
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
    def tuned_rows(self) -> dict[str, list[str]]:
        """Name of a tuned row -> the pipelines it is chosen from."""
        return {} if self.tune is None else self.tune.among

    @property
    def measured(self) -> dict[str, Any]:
        """The pipelines that are rows: all, or all but the settings of tuned rows."""
        if self.tune is None or self.tune.settings == "all":
            return self.pipelines
        settings = {name for among in self.tuned_rows.values() for name in among}
        return {name: spec for name, spec in self.pipelines.items() if name not in settings}

    @property
    def baseline(self) -> str:
        """The pipeline that the others are compared with."""
        return self.compare.baseline or next(iter(self.pipelines))


def unfolded(values: Mapping[str, Any], locations: Locations) -> tuple[ExperimentConfig, Expansion | None, Locations]:
    """The model of a configuration in which the sweep, if there is one, is written out as pipelines.

    Args:
        values: What the YAML file holds.
        locations: Where it stands there.

    Returns:
        The model, what the sweep has become, and where things stand.

    Raises:
        ConfigError: As `ExperimentConfig.read`; also for a path of the sweep that leads nowhere.
    """
    written = ExperimentConfig.read(values, locations)
    if written.sweep is None:
        return written, None, locations
    seed = written.session.seed
    found = expand(written.pipelines, written.define, written.sweep, seed=seed, locations=locations)
    if (base := written.compare.baseline) in found.groups:
        raise ConfigError(
            f"{locations.where(('compare', 'baseline'))}: the baseline is swept",
            value=base,
            accepted=", ".join([*found.pipelines, *written.tuned_rows]),
            fix="name one of its settings, or keep a pipeline beside it that is not swept",
        )
    plain = {**values, "pipelines": dict(found.pipelines), "sweep": None}
    if written.tune is not None and not written.tune.among:
        chosen = _chosen_paths(written, locations)
        rows = {f"{row},tuned": names for row, names in tuned_groups(found, chosen).items() if len(names) > 1}
        plain["tune"] = {**values["tune"], "among": rows, "choose": []}
    return ExperimentConfig.read(plain, found.locations), found, found.locations


def _chosen_paths(config: ExperimentConfig, locations: Locations) -> frozenset[str] | None:
    """The paths of the sweep whose values are chosen; None for all.

    Raises:
        ConfigError: The sweep has no such path.
    """
    if config.tune is None or config.sweep is None or not config.tune.choose:
        return None
    for number, path in enumerate(config.tune.choose):
        if path not in config.sweep.over:
            close = nearest(path, config.sweep.over)
            raise ConfigError(
                f"{locations.where(('tune', 'choose', number))}: the sweep has no such path",
                value=path,
                accepted=", ".join(config.sweep.over),
                fix=f"did you mean {close!r}?" if close else None,
            )
    return frozenset(config.tune.choose)


def _models() -> dict[str, type[BaseModel]]:
    """The models of the parts of the file by their key, and of the whole under no key."""
    return {
        "": ExperimentConfig,
        "collection": Source,
        "sweep": Sweep,
        "range": Range,
        "tune": Tune,
        "compare": Compare,
        "session": Settings,
        "budget": Limits,
        "timing": Timing,
        "prices": Price,
    }


def experiment_schema() -> dict[str, Any]:
    """The JSON schema of experiments: its keys, and the parameters of every stage and language model."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ExperimentConfig.model_json_schema(),
        "title": "rankloom experiment",
        "stages": stage_schema(),
        "language_models": language_model_schema(),
    }
