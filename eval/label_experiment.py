"""Silver labels for the questions of an experiment's collection, over what one of its pipelines finds."""

from __future__ import annotations

from pathlib import Path

from rankloom.config import PipelineBuilder
from rankloom.errors import UsageError
from rankloom.eval.experiment import Experiment
from rankloom.eval.labelled_sentences.own import ENDING
from rankloom.execution import apply
from rankloom.pipeline import Pipeline
from rankloom.rerank.pruning import CitationPruner, SilverLabels, write_silver_labels
from rankloom.run import Run
from rankloom.session import Session

_STAGE = "label"


def label_experiment(experiment: Experiment, pipeline: str, path: str | Path, *, session: Session) -> SilverLabels:
    """Label the sentences of what a pipeline finds, by the `citation_pruner` at its end; see `write_silver_labels`.

    Args:
        experiment: The experiment.
        pipeline: Name of one of its pipelines.
        path: The file of labels. Its name ends in `.labelled.jsonl`, by which `read_labelled`, collections and recipes
            know it.
        session: How to carry it out; with a cache.

    Raises:
        UsageError: There is no such pipeline, it ends with another stage, the file has another ending, or the session
            has no cache.
        RankloomError: The pipeline can not be built, or a stage failed.
    """
    if not Path(path).name.endswith(ENDING):
        raise UsageError("nobody would know what the file is", stage=_STAGE, value=str(path), accepted=f"NAME{ENDING}")
    experiment.check_pipeline(pipeline, stage=_STAGE)
    experiment.preflight(offline=session.offline).raise_problems()
    session = session.remembering()
    collection = experiment.load(session)
    define, locations = experiment.config.define, experiment.locations
    builder = PipelineBuilder(define, locations=locations, labels=collection.labels)
    built = builder.build(
        experiment.config.pipelines[pipeline], corpus=collection.corpus, session=session, at=("pipelines", pipeline)
    )
    *before, last = built.stages
    if not isinstance(last, CitationPruner):
        accepted = f"pipelines that end with {CitationPruner.name}"
        raise UsageError("the pipeline cites no sentences at its end", stage=_STAGE, value=pipeline, accepted=accepted)
    run = apply(Pipeline(before).pushed_down(), Run(queries=collection.queries, session=session))
    return write_silver_labels(run, last, path)
