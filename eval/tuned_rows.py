"""The tuned rows of an experiment: for each a setting is chosen, and what that gave takes a pipeline's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rankloom.errors import StageError
from rankloom.eval.collections import Collection
from rankloom.eval.experiment_config import ExperimentConfig
from rankloom.eval.measures import Evaluation
from rankloom.eval.results import Outcome
from rankloom.eval.tuning import Tuning, chosen_elsewhere, cross_validated, put_together
from rankloom.execution import apply
from rankloom.pipeline import Pipeline
from rankloom.run import Run
from rankloom.session import Session

_FOLDS = 5  # where the file names neither folds nor a collection


class Tuner:
    """Chooses the tuned rows of an experiment.

    Args:
        config: The experiment; it has `tune`.
        collection: What is measured on.
        training: What is chosen on, if it is another collection.
        pipelines: The pipelines over the training collection.
        session: How they are carried out there.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        collection: Collection,
        training: Collection | None,
        pipelines: Mapping[str, Pipeline],
        session: Session,
    ) -> None:
        self._config, self._collection, self._training = config, collection, training
        self._pipelines, self._session = pipelines, session

    def row(self, name: str, outcomes: Mapping[str, Outcome]) -> tuple[Outcome, Tuning]:
        """One tuned row, and how it was chosen.

        Its costs, and the pipeline it shows, are those of the setting to use from now on.

        Args:
            name: The row.
            outcomes: Pipeline -> what it gave on the collection that is measured on.

        Raises:
            StageError: A setting that it is chosen from has failed.
        """
        among = self._config.tuned_rows[name]
        if failed := [one for one in among if one not in outcomes]:
            raise StageError(
                f"{len(failed)} of the {len(among)} settings to choose from have failed", stage="tune", value=failed[0]
            )
        evaluations = {one: outcomes[one].evaluation for one in among}
        tuning = self._choose(among, evaluations)
        run = put_together({one: outcomes[one].run for one in among}, tuning)
        evaluation = self._collection.evaluate(run, self._config.effectiveness)
        return replace(outcomes[tuning.chosen], run=run, evaluation=evaluation), tuning

    def _choose(self, among: Sequence[str], evaluations: Mapping[str, Evaluation]) -> Tuning:
        """The choice among evaluated settings."""
        tune = self._config.tune
        folds, seed, measure = _FOLDS, self._session.seed, self._config.effectiveness[0]
        if tune is not None:
            folds = tune.folds or folds
            seed = seed if tune.seed is None else tune.seed
            measure = tune.measure or measure
        if self._training is None:
            return cross_validated(evaluations, measure, folds=folds, seed=seed, collection=self._collection.id)
        training = {one: self._trained(self._training, one, measure) for one in among}
        return chosen_elsewhere(training, evaluations, measure, collection=self._training.id)

    def _trained(self, training: Collection, name: str, measure: str) -> Evaluation:
        """One setting on the collection that the choice is made on."""
        run = apply(self._pipelines[name], Run(queries=training.queries, session=self._session))
        return training.evaluate(run, [measure])
