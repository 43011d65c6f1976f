"""Pipelines as a server builds them: over the indexes of a folder, or over documents that come with a request."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, ConfigError
from rankloom.pipeline import Pipeline
from rankloom.registry import stage_class
from rankloom.session import Session
from rankloom.stage import REWRITTEN, Retriever, Stage, Traits
from rankloom.stage_schema import inner_parameters
from rankloom.yaml_file import Locations, Place

#: What a run holds whose documents come with the request.
GIVEN: Traits = frozenset({"ranking", "text"})


class Indexes(Protocol):
    """Where retrievers find indexes that are there already."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the retrievers that it has an index for."""
        ...

    @property
    def only(self) -> bool:
        """Whether these are the only retrievers, because documents change."""
        ...

    def retriever(self, word: str, values: Mapping[str, Any]) -> Retriever:
        """A retriever over one of the indexes, with the parameters of a step."""
        ...


class ServedPipelines(PipelineBuilder):
    """Builds pipelines whose retrievers search the indexes of a folder, where it has them.

    Args:
        definitions: As for `PipelineBuilder`.
        locations: Likewise.
        indexes: The indexes; None if there are none.
    """

    def __init__(
        self,
        definitions: Mapping[str, Any],
        *,
        locations: Locations | None = None,
        indexes: Indexes | None = None,
    ) -> None:
        super().__init__(definitions, locations=locations)
        self.indexes = indexes

    def searches(self, spec: Any, *, at: Place) -> bool:
        """Check a pipeline, and say whether it searches rather than work on documents that come with a request.

        Args:
            spec: A step or a list of steps.
            at: Its place in the file.

        Raises:
            ConfigError: Something is not right.
        """
        try:
            sketch = Pipeline([self._stage(spec, at, (), corpus=None, session=None)])
            if "ranking" not in sketch.opening():
                self.check(spec, at=at)
                return True
            left = sketch.flow(GIVEN, after="the documents of the request")
        except CompositionError as error:
            raise ConfigError(f"{self.locations.where(at)}: {error}") from error
        if "ranking" not in left or left & REWRITTEN:
            raise ConfigError(f"{self.locations.where(at)}: the pipeline ends with new queries that nothing reads")
        return False

    def over(self, indexes: Indexes) -> Self:
        """The same builder over another state of the indexes; stages that read none, and their models, are shared."""
        other = copy.copy(self)
        other.indexes = indexes
        other._built = {key: stage for key, stage in self._built.items() if _reads_no_index(json.loads(key)[0])}  # noqa: SLF001  # ours
        return other

    def _over_corpus(
        self, word: str, values: dict[str, Any], at: Place, corpus: Corpus | None, session: Session
    ) -> Stage:
        """A stage over an index that is there, or else over one that is made of the corpus."""
        indexes = self.indexes
        if indexes is not None and word in indexes.words:
            return self._made(at, lambda: indexes.retriever(word, values))
        if indexes is not None and indexes.only and hasattr(stage_class(word), "for_corpus"):
            accepted = f"{', '.join(indexes.words)}, and stages that search nothing"
            raise self._error(at, f"{word} can not search documents that change", accepted=accepted)
        return super()._over_corpus(word, values, at, corpus, session)


def _reads_no_index(word: str) -> bool:
    """Whether a stage stays the same when indexes change."""
    return not hasattr(stage_class(word), "for_corpus") and not inner_parameters(word)
