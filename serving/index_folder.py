"""The indexes of a folder that `rankloom index` has made, as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankloom.corpus import BESIDE, Corpus
from rankloom.errors import ConfigError, NotFoundError
from rankloom.retrieval.analyzers import analyzer_of
from rankloom.stage import Retriever

WORDS = ("bm25", "dense", "multi_vector")


class IndexFolder:
    """A folder with a corpus and indexes over it, which nobody changes.

    Args:
        folder: The folder.

    Raises:
        NotFoundError: There is no such folder, or no corpus in it.
        DamagedIndexError: The corpus is damaged.
    """

    only = False

    def __init__(self, folder: Path) -> None:
        if not (folder / BESIDE).is_dir():
            fix = "make one with `rankloom index`"
            raise NotFoundError("this is no folder of indexes", stage="serve", value=str(folder), fix=fix)
        self.folder, self.corpus = folder, Corpus.open(folder / BESIDE)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the indexes that are there."""
        return tuple(word for word in WORDS if (self.folder / word).is_dir())

    def retriever(self, word: str, values: Mapping[str, Any]) -> Retriever:
        """A retriever over one of the indexes.

        Args:
            word: Which.
            values: The parameters of the step; those that a build is told are refused.

        Raises:
            DamagedIndexError: The index is damaged.
            ConfigError: A parameter is for building.
        """
        place = self.folder / word
        if word == "bm25":
            from rankloom.retrieval.bm25 import BM25

            return BM25.open(place, corpus=self.corpus, **bm25_parameters(values))
        if word == "dense":
            from rankloom.retrieval.dense import Dense

            return Dense.open(place, self.corpus, **values)
        from rankloom.retrieval.multi_vector import MultiVector

        return MultiVector.open(place, corpus=self.corpus, **values)


def bm25_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a `bm25` step as those of `BM25`.

    Raises:
        ConfigError: A parameter is for building.
    """
    parameters = dict(values)
    if parameters.pop("term_vectors", None) is not None:
        raise ConfigError("term_vectors belongs to the building of an index", stage="bm25", fix="leave it out")
    if "analyzer" in parameters:
        parameters["analyzer"] = analyzer_of(parameters["analyzer"])
    return parameters
