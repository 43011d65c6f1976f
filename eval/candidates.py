"""Stored first-stage hits: a file of queries, hits, scores and texts in place of a retriever."""

from __future__ import annotations

from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from rankloom.checks import whole
from rankloom.corpus import MemoryDocuments
from rankloom.eval import sources
from rankloom.files import checksum
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.lines import bad_line, json_lines
from rankloom.parameter_kinds import NamesPath
from rankloom.ranking import Ranking
from rankloom.records import Document, Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Retriever

_STAGE = "candidates"
_ACCEPTED = "query_id, query, and hits of doc_id, score and text"


class Candidates(Retriever):
    """A retriever that looks stored hits up by query id; to rerank what another system has found.

    Args:
        source: YEAR/FIRST_STAGE under `candidates/` of RANKLOOM_DATA, such as `dl19/bm25`, or the path of a
            `.jsonl` file: one line for each query with `query_id`, `query` and `hits` of `doc_id`, `score`, `text`.
        k: How many hits at most.

    Raises:
        UsageError: k is not a positive whole number.
        NotFoundError: There are no such candidates (found on first use).
        DataError: A malformed line (found on first use).
    """

    name = "candidates"
    grain = "none"  # a lookup by query id, while the cache knows queries by their content

    def __init__(self, source: Annotated[str, NamesPath(or_name=True)], *, k: int = 1000) -> None:
        self.source = str(source)
        self.k = whole(k, least=1, stage=self.name, parameter="k")

    @property
    def documents(self) -> MemoryDocuments:
        """The texts of all stored hits."""
        documents = self._stored.texts(stage=self.name)
        return documents if isinstance(documents, MemoryDocuments) else MemoryDocuments([])

    def fingerprint(self) -> str:
        """A digest of the file's content and k."""
        return digest(self.name, self.version, checksum(self._path), self.k)

    def __call__(self, run: Run) -> Run:
        """The stored hits of each query; a query that is not in the file has none, and a note says so."""
        stored, ranking = self._stored, self._stored.hits(stage=self.name).top(self.k)
        places = {query.id: place for place, query in enumerate(stored.queries)}
        nowhere = len(ranking)  # one more query, without hits
        padded = Ranking(
            ranking.ids, np.append(ranking.offsets, ranking.offsets[-1]), ranking.codes, ranking.scores, ranking.kind
        )
        numbers = [places.get(query.id, nowhere) for query in run.queries]
        found = padded.select(numbers)
        notes = [
            Note(self.name, "no_hits", query.id, detail="" if number != nowhere else "not in the stored candidates")
            for query, number, count in zip(run.queries, numbers, found.counts().tolist(), strict=True)
            if not count
        ]
        return run.ranked(found).noted(*notes)

    @cached_property
    def _path(self) -> Path:
        """The file."""
        path = Path(self.source)
        return path if path.suffix == ".jsonl" else sources.find_candidates(self.source)[0]

    @cached_property
    def _stored(self) -> Run:
        """All stored hits."""
        return read_candidates(self._path)


def read_candidates(path: str | Path, *, session: Session | None = None) -> Run:
    """Read stored hits with their texts.

    Args:
        path: A JSON Lines file: `query_id`, `query`, and `hits` of `doc_id`, `score`, `text` and perhaps `title`.
            Hits are ordered by score and document id; a stored rank is not read.
        session: How later stages are carried out.

    Returns:
        A run with a ranking and texts.

    Raises:
        NotFoundError: There is no such file.
        DataError: A malformed line, a query that stands twice, or a document with two texts; names file and line.
    """
    file = Path(path)
    queries: dict[str, Query] = {}
    texts: dict[str, Document] = {}
    query_ids: list[str] = []
    doc_ids: list[str] = []
    scores: list[float] = []
    for number, record in json_lines(file, stage=_STAGE):
        try:
            query = Query(record["query_id"], record["query"])
            hits = [(str(hit["doc_id"]), float(hit["score"]), _document(hit)) for hit in record["hits"]]
        except (KeyError, TypeError, ValueError) as error:
            reason = f"not a query with hits ({type(error).__name__}: {error})"
            raise bad_line(file, number, reason, stage=_STAGE, accepted=_ACCEPTED) from error
        if query.id in queries:
            raise bad_line(file, number, f"the query {query.id!r} stands twice", stage=_STAGE)
        if len({doc_id for doc_id, _, _ in hits}) < len(hits):
            raise bad_line(file, number, "a document stands twice among the hits", stage=_STAGE)
        if not all(isfinite(score) for _, score, _ in hits):
            raise bad_line(file, number, "a score is NaN or infinite", stage=_STAGE)
        queries[query.id] = query
        for doc_id, score, document in hits:
            if texts.setdefault(doc_id, document) != document:
                raise bad_line(file, number, f"the document {doc_id!r} has two texts", stage=_STAGE)
            doc_ids.append(doc_id)
            scores.append(score)
        query_ids.extend([query.id] * len(hits))
    documents = MemoryDocuments(texts.values())
    return Run.from_columns(
        query_ids, doc_ids, scores, queries=tuple(queries.values()), documents=documents, session=session
    )


def _document(hit: dict[str, Any]) -> Document:
    """The document of one stored hit."""
    return Document(str(hit["doc_id"]), hit["text"], hit.get("title") or "")
