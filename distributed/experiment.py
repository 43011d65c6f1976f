"""Experiments with a Ray cluster: workers fill the cache, the ordinary run finds it full."""

from __future__ import annotations

import logging

from rankloom.distributed.batch import cache_of, fill_cache
from rankloom.distributed.cluster import RayCluster
from rankloom.eval.experiment import Experiment
from rankloom.run import Run
from rankloom.session import Session

_log = logging.getLogger("rankloom")


def fill_for_experiment(experiment: Experiment, session: Session, *, cluster: RayCluster | None = None) -> None:
    """Compute on a cluster what `experiment.run` will look for in the cache.

    Indexes that are not there are built first, in this process. A pipeline that fails on a worker is carried out by
    `experiment.run`, and so are queries that only choose settings (`tune` with a collection of its own), and settings
    that are measured only if they are chosen.

    Args:
        experiment: The experiment.
        session: That of the run to come; must have a cache.
        cluster: Where; by default this machine.

    Raises:
        MissingExtraError: Ray, or a package that a stage needs, is not installed.
        UsageError: The session has no cache, or an index is in memory only.
        StageError: The cluster does not answer, or workers die again and again.
        NotFoundError: There is no such collection, or a model is not to be had.
    """
    cache_of(session)
    collection = experiment.load(session)
    pipelines, _ = experiment.build(collection, session)  # the run itself reports what can not be built
    pipelines = {name: one for name, one in pipelines.items() if name in experiment.config.measured}
    start = Run(queries=collection.queries, session=session)
    for name, error in fill_cache(pipelines, start, cluster=cluster).items():
        _log.warning("pipeline %s failed on a worker, and is carried out here: %s", name, error)
