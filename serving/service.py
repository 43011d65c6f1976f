"""A service: all that one configuration serves, its models in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from rankloom.errors import ConfigError, NotFoundError, UsageError, nearest
from rankloom.pipeline import Pipeline
from rankloom.serving.batching import Batcher
from rankloom.serving.config import ServeConfig, ServeFile
from rankloom.serving.index_folder import IndexFolder
from rankloom.serving.keys import KeyRing
from rankloom.serving.live_index import LiveIndex
from rankloom.serving.metrics import Metrics
from rankloom.serving.pipelines import GIVEN, ServedPipelines
from rankloom.serving.tracing import Tracing
from rankloom.session import Session
from rankloom.stage import NO_TRAITS, Reranker

#: What a pipeline is asked for: hits of an index, or the order or the sentences of given documents.
Use = Literal["search", "rerank", "prune"]


class Service:
    """Pipelines, built and warm, each behind a batcher. Use `open`.

    Args:
        config: What is served.
        batchers: Pipelines by name.
        keys: Who is served; None for everybody.
        builder: Builds pipelines anew when documents change.
        session: How they are carried out.
        live: The documents that may change; None if there are none.
        tracing: Begins spans.
    """

    def __init__(
        self,
        config: ServeConfig,
        batchers: dict[str, Batcher],
        *,
        keys: KeyRing | None,
        builder: ServedPipelines,
        session: Session,
        live: LiveIndex | None,
        tracing: Tracing,
    ) -> None:
        self.config, self.batchers, self.keys, self.live, self.tracing = config, batchers, keys, live, tracing
        self._builder, self._session = builder, session

    @classmethod
    def open(
        cls,
        file: ServeFile,
        *,
        metrics: Metrics,
        cache: Path | None = None,
        offline: bool | None = None,
        live: LiveIndex | None = None,
    ) -> Service:
        """Build what a configuration says, and load its models; takes as long as that takes.

        Args:
            file: The configuration.
            metrics: Counts.
            cache: Folder for the indexes of a `collection`; results are not kept in it.
            offline: As for `Session`.
            live: The live index of the service before this one, which has its folder.

        Raises:
            ConfigError: It is not valid.
            NotFoundError: A folder, a collection or a model is not there.
        """
        config = file.config
        session = Session(cache=cache, offline=offline, **config.session.model_dump())
        keys = None if config.keys is None else KeyRing.read(config.keys, file)
        if config.live:
            live = cls._live(file, session, live)
        folder = None if config.index is None or config.live else IndexFolder(file.path(config.index, key="index"))
        indexes = live if config.live else folder
        builder = ServedPipelines(config.define, locations=file.locations, indexes=indexes)
        searching = {name: builder.searches(spec, at=("pipelines", name)) for name, spec in config.pipelines.items()}
        if any(searching.values()) and config.index is None and config.collection is None:
            name = next(name for name, searches in searching.items() if searches)
            where = file.locations.where(("pipelines", name))
            raise ConfigError(f"{where}: {name!r} searches; fix: name an `index` or a `collection`")
        corpus = None if folder is None else folder.corpus
        if config.collection is not None:
            from rankloom.eval.collections import load_collection

            corpus = load_collection(config.collection, session=session, folder=file.locations.folder).corpus
        build = partial(builder.build, corpus=corpus, session=session)
        pipelines = {name: build(spec, at=("pipelines", name)) for name, spec in config.pipelines.items()}
        running, tracing = session.uncached(), Tracing(on=config.tracing)
        made = partial(
            Batcher,
            session=running,
            batching=config.batching,
            on_failure=config.on_failure,
            metrics=metrics,
            tracing=tracing,
        )
        batchers = {name: made(name, one, searches=searching[name]) for name, one in pipelines.items()}
        for pipeline in pipelines.values():
            pipeline.warm_up(running)
        live = live if config.live else None
        return cls(config, batchers, keys=keys, builder=builder, session=session, live=live, tracing=tracing)

    @staticmethod
    def _live(file: ServeFile, session: Session, before: LiveIndex | None) -> LiveIndex:
        """The live index of a folder; the one that is open already, if it is of that folder."""
        folder = file.locations.folder / Path(str(file.config.index)).expanduser()
        if before is not None and before.folder.resolve() == folder.resolve():
            return before
        return LiveIndex.open(folder, session=session)

    def batcher(self, name: str | None, use: Use) -> Batcher:
        """The pipeline of a name, or the first one for a use.

        Raises:
            NotFoundError: There is no such pipeline, or none for the use.
            UsageError: It is for another use.
        """
        fitting = [one for one, batcher in self.batchers.items() if use in uses(batcher)]
        if name is None:
            if not fitting:
                raise NotFoundError(f"no pipeline of this server is for: {use}", stage=use)
            return self.batchers[fitting[0]]
        if name not in self.batchers:
            close = nearest(name, fitting)
            raise NotFoundError(
                "there is no such pipeline",
                stage=use,
                value=name,
                accepted=", ".join(fitting),
                fix=f"did you mean {close!r}?" if close else None,
            )
        if name not in fitting:
            raise UsageError(f"the pipeline is not for: {use}", stage=use, value=name, accepted=", ".join(fitting))
        return self.batchers[name]

    def renewed(self) -> dict[str, Pipeline]:
        """All pipelines over the live index as it is now; their models are those of before."""
        if self.live is None:
            return {}
        self._builder = self._builder.over(self.live)
        return {
            name: self._builder.build(spec, corpus=None, session=self._session, at=("pipelines", name))
            for name, spec in self.config.pipelines.items()
        }

    async def drained(self) -> None:
        """Wait until every request has its answer."""
        for batcher in self.batchers.values():
            await batcher.drained()

    def close(self) -> None:
        """Free the models."""
        for batcher in self.batchers.values():
            batcher.plan.pipeline.close()


def uses(batcher: Batcher) -> tuple[Use, ...]:
    """What a pipeline can be asked for."""
    if batcher.searches:
        return ("search",)
    pipeline = batcher.plan.pipeline
    reranks = any(isinstance(stage, Reranker) and getattr(stage, "rerank", True) for stage in pipeline.stages)
    prunes = "spans" in pipeline.flow(GIVEN | NO_TRAITS, after="the documents of the request")
    return (*(("rerank",) if reranks else ()), *(("prune",) if prunes else ()))
