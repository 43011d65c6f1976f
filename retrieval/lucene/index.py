"""A Lucene index in a folder, with our manifest beside Lucene's files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rankloom.corpus import Corpus
from rankloom.errors import DamagedIndexError, DataError, RankloomError, StageError
from rankloom.files import Manifest, atomic_path
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.order import Codes, Scores
from rankloom.retrieval.lucene.analyzer import LuceneAnalyzer
from rankloom.retrieval.lucene.process import LuceneProcess, lucene_process
from rankloom.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "rankloom-lucene-index"
VERSION = 2
_IDS = "ids.arrow"
_STEP = 256  # documents in one message to the process
_BATCH = 64  # queries in one message
_BUFFER_MB = 256.0  # of postings in memory before Lucene writes a segment
_HEAVIEST = float(np.finfo(np.float32).max)

Question = str | Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """What Lucene finds for one query.

    Args:
        codes: Documents, best first; int32 of shape (hits,).
        scores: float32 of shape (hits,).
        terms: How many distinct terms the query has after analysis.
    """

    codes: Codes
    scores: Scores
    terms: int


class LuceneIndex:
    """An index that Lucene searches in a process of its own, which starts on first use.

    Use `build`, `of` or `open`, not the constructor. The folder holds a plain Lucene index with Anserini's field
    names, so pyserini opens it as well.

    Args:
        directory: The folder.
        ids: Document ids; the code of an id is Lucene's number of the document.
        analyzer: What the index was made with.
        corpus: Fingerprint of the corpus it was made from.
        stamp: Digest of the files.
        lucene: The version of Lucene that wrote it.
    """

    def __init__(
        self, directory: Path, ids: DocIds, *, analyzer: LuceneAnalyzer, corpus: str, stamp: str, lucene: str
    ) -> None:
        self.directory, self.ids, self.analyzer, self.corpus = directory, ids, analyzer, corpus
        self._stamp, self._lucene = stamp, lucene
        self._process: LuceneProcess | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        directory: str | Path,
        *,
        analyzer: LuceneAnalyzer | None = None,
        session: Session | None = None,
    ) -> Self:
        """Index a corpus into a folder, which appears whole or not at all, and open it.

        Args:
            corpus: The documents; `Document.contents` is what is indexed.
            directory: Where the index shall live; an existing one is replaced.
            analyzer: What makes terms of texts; by default Anserini's English.
            session: Shows progress.

        Raises:
            MissingExtraError: Java or pyserini is missing.
            StageError: Lucene fails.
        """
        analyzer, process = analyzer or LuceneAnalyzer(), lucene_process()
        with atomic_path(Path(directory).absolute()) as temporary:
            temporary.mkdir()
            _write_index(process, temporary, corpus, analyzer, session or Session())
            _write_ids(temporary / _IDS, corpus.ids)
            fields = {
                "documents": len(corpus),
                "corpus": corpus.fingerprint(),
                "analyzer": analyzer.settings(),
                "lucene": process.versions["lucene"],
            }
            Manifest.write(temporary, format=FORMAT, version=VERSION, fields=fields)
        index = cls.open(directory)
        index._process = process  # noqa: SLF001  # it is running already
        return index

    @classmethod
    def of(cls, corpus: Corpus, *, analyzer: LuceneAnalyzer | None = None, session: Session | None = None) -> Self:
        """Index a corpus into a temporary folder, which goes when the index does."""
        folder = tempfile.TemporaryDirectory(prefix="rankloom-lucene-")
        index = cls.build(corpus, Path(folder.name) / "index", analyzer=analyzer, session=session)
        index._folder = folder  # noqa: SLF001  # an index of this class
        return index

    @classmethod
    def open(cls, directory: str | Path, *, verify: bool = False) -> Self:
        """Open an index that `build` has written; Lucene itself opens it on the first search.

        Args:
            directory: Where the index lives.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: It holds no index of ours, one of another version, or a damaged one.
        """
        import pyarrow as pa

        path = Path(directory).absolute()
        manifest = Manifest.read(path, format=FORMAT, version=VERSION, verify=verify)
        try:
            ids = DocIds(pa.ipc.open_file(pa.memory_map(str(path / _IDS))).get_batch(0).column("value"))
            analyzer = LuceneAnalyzer(**manifest.fields["analyzer"])
            corpus, lucene = str(manifest.fields["corpus"]), str(manifest.fields["lucene"])
            whole = len(ids) == manifest.fields["documents"]
        except (pa.ArrowInvalid, OSError, KeyError, TypeError, RankloomError) as error:
            raise _damaged(path, str(error)) from error
        if not whole:
            raise _damaged(path, "the number of ids is not the one in the manifest")
        stamp = digest(dict(manifest.checksums))
        return cls(path, ids, analyzer=analyzer, corpus=corpus, stamp=stamp, lucene=lucene)

    # --- what it is ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Its size and place."""
        return f"<LuceneIndex of {len(self)} documents in {self.directory}>"

    def fingerprint(self) -> str:
        """A digest of corpus, analyzer and version of Lucene, which decide the results; the bytes of a build do not."""
        return digest(FORMAT, VERSION, self.corpus, self.analyzer, self._lucene)

    # --- asking ----------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Start the process and open the index."""
        self.search(["warm up"], k=1, k1=0.9, b=0.4)

    def search(self, queries: Sequence[Question], *, k: int, k1: float, b: float) -> list[Found]:
        """The best k documents of each query by BM25, ties by id.

        Args:
            queries: Texts, or weights by term of the index; terms of weight 0 add nothing.
            k: How many at most.
            k1: How soon more occurrences of a term stop to matter.
            b: How much long documents are discounted.

        Raises:
            DataError: A weight is negative or not finite; Lucene knows no such queries.
            StageError: The process ended or failed.
            DamagedIndexError: Lucene can not read the index.
        """
        found: list[Found] = []
        for start in range(0, len(queries), _BATCH):
            asked = [_checked(query) for query in queries[start : start + _BATCH]]
            answers = self._ask("search", index=self._named(), queries=asked, k=k, k1=k1, b=b)
            found.extend(
                Found(np.array(one["codes"], np.int32), np.array(one["scores"], np.float32), one["terms"])
                for one in answers
            )
        return found

    def explain(self, query: Question, code: int, *, k1: float, b: float) -> dict[str, Any]:
        """What Lucene says of the score of one document; see `Engine.explain`, and `search` for the rest.

        Args:
            query: A text, or weights by term of the index.
            code: The document's code.
            k1: As for `search`.
            b: As for `search`.
        """
        told: dict[str, Any] = self._ask("explain", index=self._named(), query=_checked(query), code=code, k1=k1, b=b)
        return told

    def analyze(self, text: str) -> list[str]:
        """The index's terms of a text, repeated as they occur."""
        return list(self._ask("analyze", analyzer=self.analyzer.settings(), text=text))

    def term_vectors(self, doc_ids: Sequence[str]) -> list[Mapping[str, float] | None]:
        """Terms and their frequencies, for each document; None for one that the index does not hold."""
        held = self.ids.codes(doc_ids) >= 0
        known = [doc_id for doc_id, there in zip(doc_ids, held.tolist(), strict=True) if there]
        vectors = iter(self._ask("term_vectors", index=self._named(), doc_ids=known))
        return [next(vectors) if there else None for there in held.tolist()]

    def document_frequencies(self, terms: Sequence[str]) -> list[int]:
        """In how many documents each term occurs."""
        return list(self._ask("document_frequencies", index=self._named(), terms=list(terms)))

    def collection_frequencies(self, terms: Sequence[str]) -> list[int]:
        """How often each term occurs in all documents together."""
        return list(self._ask("collection_frequencies", index=self._named(), terms=list(terms)))

    @property
    def collection_length(self) -> int:
        """How many terms all documents have together, repeated as they occur."""
        return int(self._ask("collection_length", index=self._named()))

    def close(self) -> None:
        """Let Lucene close the index; the process ends with the last index that uses it."""
        process, self._process = self._process, None
        if process is not None and process.running:
            process.ask("close", path=str(self.directory))

    def _ask(self, question: str, **arguments: Any) -> Any:
        """Put a question to the process, which this index keeps alive from now on."""
        self._process = lucene_process()
        return self._process.ask(question, **arguments)

    def _named(self) -> dict[str, Any]:
        """How the process knows this index; a process that was started anew needs no more to open it again."""
        return {"path": str(self.directory), "stamp": self._stamp, "analyzer": self.analyzer.settings()}


def _write_index(
    process: LuceneProcess, folder: Path, corpus: Corpus, analyzer: LuceneAnalyzer, session: Session
) -> None:
    """Let Lucene write its files."""
    process.ask("begin", path=str(folder), analyzer=analyzer.settings(), buffer_mb=_BUFFER_MB)
    try:
        for documents in _shown(corpus, session):
            process.ask("add", path=str(folder), documents=documents)
        count = process.ask("finish", path=str(folder))
    except BaseException:
        with suppress(RankloomError):  # the first error is the one to tell
            if process.running:
                process.ask("abandon", path=str(folder))
        raise
    if count != len(corpus):
        raise StageError(f"Lucene holds {count} of {len(corpus)} documents", stage="lucene", fix="build it again")


def _shown(corpus: Corpus, session: Session) -> Iterator[list[tuple[str, str]]]:
    """Ids and contents in the order of codes, in messages; reports progress."""
    with session.progress.task("lucene index", len(corpus)) as advance:
        for start in range(0, len(corpus), _STEP):
            documents = corpus.slice(start, start + _STEP)
            yield [(document.id, document.contents) for document in documents]
            advance(len(documents))


def _checked(query: Question) -> str | dict[str, float]:
    """A query that Lucene takes."""
    if isinstance(query, str):
        return query
    for term, weight in query.items():
        if not 0 <= weight <= _HEAVIEST:
            raise DataError(
                "the weight of a query term is negative, or no finite float32",
                stage="lucene",
                value={term: weight},
                accepted="weights of 0 and more, which is what Lucene's BoostQuery takes",
                fix="search with bm25, or let the feedback write no negative weights",
            )
    return {term: float(weight) for term, weight in query.items() if np.float32(weight)}


def _write_ids(path: Path, ids: DocIds) -> None:
    """Write the ids as an Arrow file of one batch."""
    import pyarrow as pa

    batch: pa.RecordBatch = pa.record_batch([ids.array], names=["value"])
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)


def _damaged(path: Path, reason: str) -> DamagedIndexError:
    """The error for a folder that is not what its manifest says."""
    return DamagedIndexError(
        f"the Lucene index can not be read ({reason})",
        stage="lucene",
        value=str(path),
        fix="delete the directory and build it again",
    )
