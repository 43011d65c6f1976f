"""The tuned rows of an experiment: for each a setting is chosen, and what that gave takes a pipeline's place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rankloom.errors import StageError
from rankloom.eval.catalog import wanted
from rankloom.eval.collections import Collection
from rankloom.eval.experiment_config import ExperimentConfig, Source, Tune
from rankloom.eval.measures import Evaluation
from rankloom.eval.results import Outcome
from rankloom.eval.sources import find_path
from rankloom.eval.tuning import Tuning, chosen_elsewhere, cross_validated, put_together
from rankloom.execution import apply
from rankloom.pipeline import Pipeline
from rankloom.run import Run
from rankloom.session import Session
from rankloom.yaml_file import find_beside

Measured = Callable[[str], Outcome]
_log = logging.getLogger("rankloom")
_TO_TUNE_ON = ("train", "dev", "validation")
_FOLDS = 5  # where the file names neither folds nor a collection


class Tuner:
    """Chooses the tuned rows of an experiment.

    Args:
        config: The experiment; it has `tune`.
        collection: What is measured on.
        training: What is chosen on, if it is another collection.
        pipelines: The pipelines over the training collection.
        session: How they are carried out there.
        left_out: Queries of the training collection that were left out, as they are measured.
        folder: Where relative paths of the experiment start.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        collection: Collection,
        training: Collection | None,
        pipelines: Mapping[str, Pipeline],
        session: Session,
        *,
        left_out: Sequence[str] = (),
        folder: Path = Path(),
    ) -> None:
        self._config, self._collection, self._training = config, collection, training
        self._pipelines, self._session = pipelines, session
        tune = config.tune or Tune()
        self._folds, self._measure = tune.folds, tune.measure or config.effectiveness[0]
        self._seed = session.seed if tune.seed is None else tune.seed
        apart = "" if training is not None else _to_tune_on(config.collection, folder)
        self._remark = remark_on(collection.id, None if training is None else training.id, apart, left_out)
        if self._remark and config.tuned_rows:
            _log.warning("tune: %s", self._remark)

    def row(self, name: str, outcomes: Mapping[str, Outcome], measured: Measured) -> tuple[Outcome, Tuning]:
        """One tuned row, and how it was chosen.

        Its costs, and the pipeline it shows, are those of the setting to use from now on.

        Args:
            name: The row.
            outcomes: Pipeline -> what it gave on the collection that is measured on.
            measured: What a pipeline that is no row gives there.

        Raises:
            StageError: A setting that it is chosen from has failed.
        """
        among = self._config.tuned_rows[name]
        if failed := [one for one in among if one in self._config.measured and one not in outcomes]:
            raise StageError(
                f"{len(failed)} of the {len(among)} settings to choose from have failed", stage="tune", value=failed[0]
            )
        if self._training is None:
            tuning = self._cross_validated({one: outcomes[one].evaluation for one in among})
            run = put_together({one: outcomes[one].run for one in among}, tuning)
            evaluation = self._collection.evaluate(run, self._config.effectiveness)
            return replace(outcomes[tuning.chosen], run=run, evaluation=evaluation), tuning
        found = dict(outcomes)

        def evaluated(one: str) -> Evaluation:
            if one not in found:
                found[one] = measured(one)
            return found[one].evaluation

        tuning = self._chosen(among, self._training, evaluated)
        return found[tuning.chosen], tuning

    def _cross_validated(self, evaluations: Mapping[str, Evaluation]) -> Tuning:
        """The choice among settings by the queries that are measured."""
        tuning = cross_validated(
            evaluations, self._measure, folds=self._folds or _FOLDS, seed=self._seed, collection=self._collection.id
        )
        return replace(tuning, remark=self._remark)

    def _chosen(self, among: Sequence[str], training: Collection, measured: Callable[[str], Evaluation]) -> Tuning:
        """The choice among settings on a collection of its own."""
        tuning = chosen_elsewhere(
            {one: self._trained(training, one) for one in among},
            measured,
            self._measure,
            folds=self._folds,
            seed=self._seed,
            collection=training.id,
        )
        return replace(tuning, remark=self._remark)

    def _trained(self, training: Collection, name: str) -> Evaluation:
        """One setting on the collection that the choice is made on; its hits are not kept, as settings may be many."""
        run = apply(self._pipelines[name], Run(queries=training.queries, session=self._session))
        if self._session.memo is not None:
            self._session.memo.pop(run.lineage, None)
        return training.evaluate(run, [self._measure])


def remark_on(measured: str, training: str | None, apart: str = "", left_out: Sequence[str] = ()) -> str:
    """What is to be said of the queries that settings are chosen by; empty if there is nothing.

    Args:
        measured: Id of the collection that is measured.
        training: Id of that which is chosen on; None for cross-validation among the queries that are measured.
        apart: How to name a split to tune on that the collection which is measured has besides; empty if it has none.
        left_out: Queries that were not chosen by, as they are measured.

    Example:
        >>> remark_on("scifact/test", "scifact/train")
        ''
        >>> remark_on("dl20", "dl19/test")
        'chosen on a test split, dl19/test: do not report its figures as well'
    """
    if training is not None:
        on_test = f"chosen on a test split, {training}: do not report its figures as well" if _is_test(training) else ""
        both = f"chosen without {len(left_out)} queries that are measured, such as {left_out[0]}" if left_out else ""
        return "; ".join(filter(None, [on_test, both]))
    if not _is_test(measured):
        return ""
    said = f"chosen by cross-validation on a test split, {measured}"
    return f"{said}; `{apart}` keeps it apart" if apart else said


def _to_tune_on(source: Source, folder: Path) -> str:
    """How a file names the split of a collection that settings can be chosen on; empty if there is none.

    Args:
        source: What is measured on: a name of the catalogue, a folder, or three files.
        folder: Where relative paths start.
    """
    if source.qrels is not None:
        path = find_beside(source.qrels, folder)
        split = next((one for one in _TO_TUNE_ON if path and path.with_name(f"{one}.tsv").is_file()), "")
        return f"qrels: {Path(source.qrels).with_name(f'{split}.tsv').as_posix()}" if split else ""
    found = find_path(source.name, source.split, folder)
    if found is not None:
        split = next((one for one in _TO_TUNE_ON if found.qrels.with_name(f"{one}.tsv").is_file()), "")
        return f"collection: {found.id.rpartition('/')[0]}:{split}" if split else ""
    asked = wanted(source.name, source.split)
    split = next((one for one in _TO_TUNE_ON if asked is not None and one in asked.record.splits), "")
    return f"collection: {asked.name}/{split}" if asked is not None and split else ""


def _is_test(collection: str) -> bool:
    """Whether a collection is a test split, going by its id."""
    return collection.replace(":", "/").rpartition("/")[2].removesuffix(".tsv") == "test"
