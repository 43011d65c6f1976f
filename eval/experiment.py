"""An experiment: pipelines of one YAML file, run over one collection, measured, compared and written down.

Everything is checked before the first index is built. Shared prefixes run once. A pipeline that fails does not take
the others with it. What a killed run has done is in the cache, so that running it again goes on where it stopped and
writes the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from rankloom.budget import Budget
from rankloom.cache import Cache
from rankloom.config import PipelineBuilder
from rankloom.errors import MissingExtraError, NotFoundError, RankloomError, StageError, UsageError, nearest
from rankloom.eval.collections import Collection, load_collection
from rankloom.eval.costs import LATENCIES, check_prices, peak_memory, priceable, with_models
from rankloom.eval.experiment_config import ExperimentConfig, Source, unfolded
from rankloom.eval.explain import Explanation, explain_run, with_texts_of
from rankloom.eval.forecast import check_priced
from rankloom.eval.latency import measure_latency
from rankloom.eval.plan import Plan, plan_of
from rankloom.eval.preflight import Preflight, preflight
from rankloom.eval.pushdown import push_tops_down
from rankloom.eval.results import ExperimentResult, Outcome
from rankloom.eval.sweep import Setting
from rankloom.eval.table import summarise
from rankloom.eval.tuned_rows import Tuner
from rankloom.eval.tuning import Tuning, shared_queries
from rankloom.execution import apply
from rankloom.fingerprint import digest
from rankloom.pipeline import Pipeline
from rankloom.progress import Progress
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage_schema import FUSIONS, labels_read
from rankloom.yaml_file import Locations, apply_overrides, read_yaml

__all__ = ["Experiment", "ExperimentResult"]

_log = logging.getLogger("rankloom")
_T = TypeVar("_T")


class Experiment:
    """Pipelines to be compared on one collection. Made by `from_yaml` or `from_dict`.

    Args:
        config: The checked configuration.
        source: Name of the file it came from, for the manifest.
        locations: Where things stand in that file.
        settings: Pipeline -> path -> value, for the pipelines that a sweep has made.
        groups: Pipeline that was swept -> the pipelines that the sweep has made of it.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        source: str = "",
        locations: Locations | None = None,
        settings: Mapping[str, Setting] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.config, self.source = config, source
        self.settings, self.groups = dict(settings or {}), dict(groups or {})
        self.locations = locations or Locations()

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
        """Read and check an experiment.

        Args:
            path: The YAML file.
            overrides: Assignments such as `collection=scifact`, made before anything is checked.

        Raises:
            NotFoundError: There is no such file.
            ConfigError: All that is wrong with it, each with file and line.
        """
        values, locations = read_yaml(path)
        return cls.from_dict(apply_overrides(values, list(overrides)), source=str(path), locations=locations)

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, source: str = "", locations: Locations | None = None
    ) -> Experiment:
        """Check an experiment that is in memory; see `from_yaml`. A sweep becomes pipelines."""
        config, expansion, where = unfolded(values, locations or Locations())
        if expansion is None:
            return cls(config, source=source, locations=where)
        return cls(config, source=source, locations=where, settings=expansion.settings, groups=expansion.groups)

    def plan(self) -> Plan:
        """What is going to run; builds and loads nothing."""
        return plan_of(self.config.pipelines, self.config.define, folder=self.locations.folder)

    def preflight(self, *, offline: bool) -> Preflight:
        """What the stages need that is not here; loads no model, reads no weights, opens no socket.

        Args:
            offline: Whether the run may not download.
        """
        return preflight(self.plan().stages, offline=offline, folder=self.locations.folder)

    def fingerprint(self) -> str:
        """A digest of all that the results depend on as far as it is written in the file."""
        return digest(self.config.model_dump(exclude={"output": True, "session": {"threads", "budget"}}))

    def session(
        self,
        *,
        cache: Cache | str | Path | None = None,
        offline: bool | None = None,
        progress: Progress | None = None,
    ) -> Session:
        """A session with the experiment's seed, device, numbers and budget.

        Raises:
            ConfigError: The budget limits money, and a language model has no price.
        """
        settings = self.config.session.model_dump(exclude={"budget"})
        return Session(cache=cache, offline=offline, progress=progress, budget=self._budget(), **settings)

    def _budget(self) -> Budget | None:
        """What may be spent; prices know models by their names as found, too, which costs have."""
        limits, prices = self.config.session.budget, self.config.prices
        if limits is None:
            return None
        plan = self.plan()
        if limits.money is not None:
            check_priced(prices, plan.stages)
        found = {name: prices[shown] for name, shown in plan.written_models().items() if shown in prices}
        return Budget(**limits.model_dump(), prices={**prices, **found})

    def load(self, session: Session) -> Collection:
        """The collection.

        Raises:
            NotFoundError: There is no such collection.
        """
        return self._load(self.config.collection, session)

    def build(self, collection: Collection, session: Session) -> tuple[dict[str, Pipeline], dict[str, RankloomError]]:
        """The pipelines over a collection, ready to run, and why some could not be built.

        Raises:
            MissingExtraError: A stage needs a package that is not installed.
            NotFoundError: A model or file that a stage needs is not there. Either is found before anything runs.
        """
        builder = PipelineBuilder(self.config.define, locations=self.locations, labels=collection.labels)
        built: dict[str, Pipeline] = {}
        failures: dict[str, RankloomError] = {}
        for name, spec in self.config.pipelines.items():
            make = partial(builder.build, spec, corpus=collection.corpus, session=session, at=("pipelines", name))
            _keep(built, failures, name, make)
            if isinstance(error := failures.get(name), MissingExtraError | NotFoundError):
                raise error
        return push_tops_down(built), failures

    def run(
        self,
        session: Session | None = None,
        *,
        output: str | Path | None = None,
        on_failure: Literal["raise", "report"] = "raise",
    ) -> ExperimentResult:
        """Carry the experiment out and write its results.

        Args:
            session: How; by default `self.session()`, which has no cache.
            output: Where the results go; by default where the file says.
            on_failure: When pipelines failed or are not finished: `raise` at the end, or only `report` it in the
                result. The results of the others are written either way.

        Raises:
            PartialResultError: Some pipelines failed, or a budget was spent before all queries were done.
            RankloomError: All of them did; the error of the first.
            MissingExtraError: A stage needs a package that is not installed.
            NotFoundError: There is no such collection, or a model is not to be had.
            UsageError: The output is a file, or can not be written.
        """
        from rankloom.eval.outputs import prepare_output, write_outputs

        folder = prepare_output(Path(output or self.config.output), self.fingerprint())
        result = self.evaluate(session or self.session())
        write_outputs(folder, self, result)
        if on_failure == "raise":
            result.raise_failures()
        return result

    def explain(
        self, pipeline: str, query_id: str, *, session: Session, doc_ids: Sequence[str] = (), top: int = 5
    ) -> Explanation:
        """Follow one query through one pipeline; what a run has computed comes from the session's cache.

        Args:
            pipeline: Its name.
            query_id: A query of the collection.
            session: How to carry it out.
            doc_ids: Documents to follow; by default the best ones.
            top: How many hits of each stage to show.

        Raises:
            UsageError: There is no such pipeline, or the collection has no such query.
            RankloomError: The pipeline can not be built, or a stage failed.
        """
        self.check_pipeline(pipeline, stage="explain")
        session = session.remembering()
        collection = self.load(session)
        query = next((query for query in collection.queries if query.id == query_id), None)
        if query is None:
            close = nearest(query_id, (query.id for query in collection.queries))
            fix = f"did you mean {close!r}?" if close else None
            raise UsageError(f"{collection.id} has no such query", stage="explain", value=query_id, fix=fix)
        pipelines, failures = self.build(collection, session)
        if pipeline in failures:
            raise failures[pipeline]
        run = apply(pipelines[pipeline], Run(queries=(query,), session=session))
        grades = collection.qrels.get(query_id)
        run = with_texts_of(run, collection.corpus)
        return explain_run(run, query_id, doc_ids=doc_ids, grades=grades, top=top)

    def check_pipeline(self, name: str, *, stage: str) -> None:
        """Refuse a name that is no pipeline; for a tuned row, which is put together of several, name these.

        Args:
            name: The name.
            stage: Who asks, for the error.

        Raises:
            UsageError: There is no such pipeline.
        """
        if name in self.config.pipelines:
            return
        among = self.config.tuned_rows.get(name)
        if among is not None:
            raise UsageError(
                "a tuned row has no stages of its own",
                stage=stage,
                value=name,
                fix=f"name a setting: {', '.join(among)}",
            )
        close = nearest(name, self.config.pipelines)
        raise UsageError(
            "there is no such pipeline",
            stage=stage,
            value=name,
            accepted=", ".join(self.config.pipelines),
            fix=f"did you mean {close!r}?" if close else None,
        )

    def evaluate(self, session: Session) -> ExperimentResult:
        """Carry the experiment out and write nothing; see `run`."""
        started = datetime.now(UTC)
        session = session.remembering()
        self.preflight(offline=session.offline).raise_problems()
        collection = self.load(session)
        collection.check_measures(self.config.effectiveness)
        if absent := collection.absent_documents():
            _log.warning("%d relevant documents are not in the corpus, such as %s", len(absent), absent[0])
        pipelines, failures = self.build(collection, session)
        written = self.plan().written_models()
        priced = (name for one in pipelines.values() for name in priceable(one))
        check_prices(self.config.prices, (written.get(name, name) for name in priced))
        _warn(failures)
        tuner = self._tuner(collection, pipelines, session)
        outcomes: dict[str, Outcome] = {}
        tunings: dict[str, Tuning] = {}

        def measured(name: str) -> Outcome:
            return self._outcome(pipelines[name], collection, session, written)

        rows = [name for name in self.config.measured if name in pipelines]
        with session.progress.task("pipelines", len(rows) + len(self.config.tuned_rows)) as advance:
            for name in rows:
                failed: dict[str, RankloomError] = {}
                _keep(outcomes, failed, name, partial(measured, name))
                _warn(failed)
                failures.update(failed)
                advance(1)
            for name in self.config.tuned_rows:
                tuned: dict[str, tuple[Outcome, Tuning]] = {}
                _keep(tuned, failures, name, partial(tuner.row, name, outcomes, measured))
                for outcome, tuning in tuned.values():
                    outcomes[name], tunings[name] = outcome, tuning
                advance(1)
        if not outcomes:
            raise next(iter(failures.values()))
        names = [*self.config.pipelines, *self.config.tuned_rows]
        failures = {name: failures[name] for name in names if name in failures}
        summary = summarise(
            {name: outcome.evaluation for name, outcome in outcomes.items()},
            baseline=self.config.baseline,
            test=self.config.compare.test,
            correction=self.config.compare.correction,
            intervals=self.config.compare.intervals,
            seed=session.seed,
            failed=list(failures),
        )
        return ExperimentResult(
            outcomes, failures, summary, collection, session, started, datetime.now(UTC), tunings, self.groups
        )

    def _load(self, wanted: Source, session: Session) -> Collection:
        """A collection as the file names it."""
        source: str | dict[str, str | Path] = wanted.id or {name: str(path) for name, path in wanted.files.items()}
        where: dict[str, Any] = {"split": wanted.split, "sentences": wanted.sentences, "folder": self.locations.folder}
        collection = load_collection(source, session=session, **where)
        return collection if wanted.sample is None else collection.sample(wanted.sample, seed=session.seed)

    def _tuner(self, collection: Collection, pipelines: Mapping[str, Pipeline], session: Session) -> Tuner:
        """What chooses the tuned rows; finds out before anything runs if it can not be done."""
        tune = self.config.tune
        if tune is None or tune.collection is None:
            return Tuner(self.config, collection, None, {}, session, folder=self.locations.folder)
        training = self._load(tune.collection, session)
        same = training.corpus.fingerprint() == collection.corpus.fingerprint()
        shared = shared_queries(training.queries, collection.queries, same_corpus=same)
        training = training.without(shared)
        if not same or self._knows_labels():
            pipelines, failures = self.build(training, session)
            if failures:
                raise next(iter(failures.values()))
        return Tuner(self.config, collection, training, pipelines, session, left_out=shared)

    def _knows_labels(self) -> bool:
        """Whether a stage is told what its collection knows, and so is another for another collection."""
        return any(stage.word not in FUSIONS and labels_read(stage.word) for stage in self.plan().stages)

    def _outcome(
        self, pipeline: Pipeline, collection: Collection, session: Session, written: Mapping[str, str]
    ) -> Outcome:
        """Carry one pipeline out and measure it; queries are timed one by one only if a latency is asked for."""
        run = apply(pipeline, Run(queries=collection.queries, session=session))
        run = replace(run, ledger=with_models(run.ledger, written))
        evaluation = collection.evaluate(run, self.config.effectiveness)
        latency = None
        if LATENCIES & set(self.config.costs):
            timing = self.config.timing
            latency = measure_latency(
                pipeline, collection.queries, session, sample=timing.queries, warm_up=timing.warm_up
            )
        return Outcome(pipeline, run, evaluation, self.config.prices, latency, peak_memory())


def _keep(kept: dict[str, _T], failures: dict[str, RankloomError], name: str, make: Callable[[], _T]) -> None:
    """Keep what `make` makes, or the reason why it failed."""
    try:
        kept[name] = make()
    except RankloomError as error:
        failures[name] = error
    except Exception as error:
        failures[name] = StageError(f"failed with {type(error).__name__}: {error}")
        failures[name].__cause__ = error


def _warn(failures: Mapping[str, RankloomError]) -> None:
    """Say at once which pipelines failed; experiments are long."""
    for name, error in failures.items():
        _log.warning("pipeline %s failed, the others go on: %s", name, error)
