"""Indexing a corpus in parts, which several processes may do: what each has made is then merged by the ordinary build.

A part is an index of consecutive batches of the corpus, on a fixed grid, in a folder beside the index to be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankloom.corpus import Corpus
from rankloom.corpus_build import BATCH_ROWS
from rankloom.errors import DamagedIndexError, NotFoundError
from rankloom.files import atomic_path
from rankloom.retrieval.analysis import Analyzer
from rankloom.retrieval.index.buffer import Texts
from rankloom.retrieval.index.commit import read_commit
from rankloom.retrieval.index.fields import about_fields
from rankloom.retrieval.index.writer import ImpactIndexWriter

#: Batches of a corpus in one part: 131,072 documents, some seconds of work.
PART_BATCHES = 128


@dataclass(frozen=True, slots=True)
class BM25Parts:
    """The parts of one index to be.

    Args:
        corpus: The documents.
        analyzer: What makes terms of texts.
        fields: Names of fields, in order; none for titles and texts as one. Some document has each of them.
        term_vectors: As for `BM25.build`.
        folder: Where the parts live.
        size: Batches of the corpus in one part.
    """

    corpus: Corpus
    analyzer: Analyzer
    fields: Sequence[str]
    term_vectors: bool
    folder: Path
    size: int

    @classmethod
    def beside(
        cls, directory: str | Path, corpus: Corpus, analyzer: Analyzer, *, fields: Sequence[str], term_vectors: bool
    ) -> BM25Parts:
        """The parts of an index that shall live in a directory."""
        target = Path(directory)
        folder = target.with_name(f"{target.name}.parts")
        return cls(corpus, analyzer, fields, term_vectors, folder, PART_BATCHES)

    def __len__(self) -> int:
        """How many parts there are."""
        return math.ceil(len(self.corpus) / (self.size * BATCH_ROWS))

    @property
    def about(self) -> dict[str, str]:
        """What an index of the whole corpus is made of."""
        return made_of_corpus(self.corpus, self.analyzer)

    def kept(self, number: int) -> Path | None:
        """Where a part lives, if it is there, whole, and made of the same things."""
        path = self._path(number)
        try:
            there = read_commit(path)
        except (NotFoundError, DamagedIndexError):
            return None
        same = there.term_vectors == self.term_vectors and there.about == self._about(number)
        return path if same else None

    def index(self, number: int) -> None:
        """Index a part into its folder, unless it is there; it appears whole or not at all."""
        if self.kept(number) is not None:
            return
        with (
            atomic_path(self._path(number)) as temporary,
            ImpactIndexWriter(
                temporary,
                analyzer=self.analyzer,
                fields=self.fields,
                term_vectors=self.term_vectors,
                about=self._about(number),
            ) as writer,
        ):
            for doc_ids, texts in self.columns(number):
                writer.add_columns(doc_ids, texts)
            writer.merge()

    def columns(self, number: int) -> Iterator[tuple[list[str], Texts]]:
        """Ids and contents of the documents of a part, or their fields, a batch at a time."""
        batches = range(number * self.size, (number + 1) * self.size)
        columns: Iterator[Texts] = (
            self.corpus.fields(self.fields, batches) if self.fields else self.corpus.contents(batches)
        )
        start = batches.start * BATCH_ROWS
        for texts in columns:
            size = len(next(iter(texts.values())) if isinstance(texts, Mapping) else texts)
            yield self.corpus.ids.array.slice(start, size).to_pylist(), texts
            start += size

    def _path(self, number: int) -> Path:
        """The folder of a part."""
        return self.folder / f"{number:06d}"

    def _about(self, number: int) -> dict[str, str]:
        """What a part is made of."""
        return {**self.about, **about_fields(self.fields), "part": f"{number} of {len(self)}"}


def made_of_corpus(corpus: Corpus, analyzer: Analyzer) -> dict[str, str]:
    """What an index of a corpus is made of."""
    return {"corpus": corpus.fingerprint(), "analyzer": analyzer.fingerprint()}
