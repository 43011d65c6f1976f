"""Lucene through pyjnius: what the worker process can be asked.

Documents are added in the order of their codes, by one thread, and merged in that order, so Lucene's own document
numbers are the codes. Lucene breaks ties by its numbers, the first first; this makes its order ours (score
descending, then id ascending), at the cut as well, and hits need no stored ids. The field names are Anserini's, so
pyserini can open the same folder.

Every crossing into Java costs microseconds, so hits cross as one string: Jackson, which is in the jar, writes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ID, CONTENTS = "id", "contents"  # Anserini's names
# pyjnius can not choose between these constructors by itself
_TEXT_FIELD = "(Ljava/lang/String;Ljava/lang/CharSequence;Lorg/apache/lucene/index/IndexableFieldType;)V"
_SEARCHER = "(Lorg/apache/lucene/index/IndexReader;)V"

Settings = Mapping[str, Any]


class DamagedError(Exception):
    """Lucene can not open an index."""


class Engine:
    """Indexes that are being built and indexes that are open. Every public method answers one kind of question."""

    def __init__(self) -> None:
        java = _java
        self._json = java("com.fasterxml.jackson.databind.ObjectMapper")()
        self._tokens = java("io.anserini.analysis.AnalyzerUtils")
        self._utils = java("io.anserini.index.IndexReaderUtils")
        self._term = java("org.apache.lucene.index.Term")
        self._query = java("org.apache.lucene.search.TermQuery")
        self._boost = java("org.apache.lucene.search.BoostQuery")
        self._builder = java("org.apache.lucene.search.BooleanQuery$Builder")
        self._should = java("org.apache.lucene.search.BooleanClause$Occur").SHOULD
        self._complete = java("org.apache.lucene.search.ScoreMode").COMPLETE
        self._similarity = java("org.apache.lucene.search.similarities.BM25Similarity")
        java("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(2**31 - 1)  # by default, 1,024 terms
        self._writers: dict[str, _Writer] = {}
        self._open: dict[str, tuple[str, Any, Any]] = {}
        self._analyzers: dict[str, Any] = {}

    def versions(self) -> dict[str, str]:
        """Which Java and which Lucene."""
        return {
            "java": _java("java.lang.System").getProperty("java.version"),
            "lucene": _java("org.apache.lucene.util.Version").LATEST.toString(),
        }

    # --- building --------------------------------------------------------------------------------------------

    def begin(self, path: str, analyzer: Settings, buffer_mb: float) -> None:
        """Start an index in a new folder; postings are written when there are so many megabytes of them."""
        self._writers[path] = _Writer(path, self._analyzer(analyzer), buffer_mb)

    def add(self, path: str, documents: Sequence[tuple[str, str]]) -> None:
        """Add documents, pairs of id and contents, in the order of their codes."""
        for doc_id, contents in documents:
            self._writers[path].add(doc_id, contents)

    def finish(self, path: str) -> int:
        """Merge, commit and close an index; returns how many documents it has."""
        return self._writers.pop(path).finish()

    def abandon(self, path: str) -> None:
        """Give up an index that is being built, if it is."""
        writer = self._writers.pop(path, None)
        if writer is not None:
            writer.abandon()

    # --- searching -------------------------------------------------------------------------------------------

    def search(
        self, index: Settings, queries: Sequence[str | Mapping[str, float]], k: int, k1: float, b: float
    ) -> list[dict[str, Any]]:
        """The best k documents of each query, which is a text or weighted terms.

        Returns:
            For each query: `terms`, how many it has, and `codes` and `scores` of its hits.
        """
        reader, searcher = self._opened(index)
        searcher.setSimilarity(self._similarity(k1, b))
        most = max(1, min(k, reader.maxDoc()))
        answers = []
        for query in queries:
            weights = self._weights(query, index) if isinstance(query, str) else query
            hits = self._top(searcher, weights, most) if weights else []
            codes, scores = [hit["doc"] for hit in hits], [hit["score"] for hit in hits]
            answers.append({"terms": len(weights), "codes": codes, "scores": scores})
        return answers

    def explain(
        self, index: Settings, query: str | Mapping[str, float], code: int, k1: float, b: float
    ) -> dict[str, Any]:
        """What Lucene says of the score of one document.

        Returns:
            `weights`, those of the query's terms; `parts`, for each term that the document holds its `part`, `idf` and
            `freq`; `dl` and `avgdl`, the length of the document and the average, if it holds any.
        """
        reader, searcher = self._opened(index)
        searcher.setSimilarity(self._similarity(k1, b))
        weights = self._weights(query, index) if isinstance(query, str) else query
        answer: dict[str, Any] = {"weights": weights, "parts": {}}
        segment = reader.leaves().get(0)  # there is one segment, see `_Writer.finish`
        for term, weight in weights.items():
            clause = self._boost(self._query(self._term(CONTENTS, _sound(term))), float(weight))
            told = self._read(searcher.createWeight(clause, self._complete, 1.0).explain(segment, code))
            if told["match"]:
                facts = dict(_named_numbers(told))
                answer["parts"][term] = {"part": told["value"], "idf": facts["idf"], "freq": facts["freq"]}
                answer.update(dl=facts["dl"], avgdl=facts["avgdl"])
        return answer

    def close(self, path: str) -> None:
        """Close an index, if it is open."""
        if path in self._open:
            self._open.pop(path)[1].close()

    # --- what term-based feedback reads ----------------------------------------------------------------------

    def analyze(self, analyzer: Settings, text: str) -> list[str]:
        """The terms of a text."""
        tokens: list[str] = self._read(self._tokens.analyze(self._analyzer(analyzer), _sound(text)))
        return tokens

    def term_vectors(self, index: Settings, doc_ids: Sequence[str]) -> list[dict[str, int]]:
        """Terms and frequencies of documents of the index."""
        reader, _ = self._opened(index)
        return [self._term_vector(reader, doc_id) for doc_id in doc_ids]

    def document_frequencies(self, index: Settings, terms: Sequence[str]) -> list[int]:
        """In how many documents each term occurs."""
        reader, _ = self._opened(index)
        return [reader.docFreq(self._term(CONTENTS, _sound(term))) for term in terms]

    def collection_frequencies(self, index: Settings, terms: Sequence[str]) -> list[int]:
        """How often each term occurs in all documents together."""
        reader, _ = self._opened(index)
        return [reader.totalTermFreq(self._term(CONTENTS, _sound(term))) for term in terms]

    def collection_length(self, index: Settings) -> int:
        """How many terms all documents have together; Lucene says -1 of a field that no document has."""
        reader, _ = self._opened(index)
        return max(0, int(reader.getSumTotalTermFreq(CONTENTS)))

    # --- inside ----------------------------------------------------------------------------------------------

    def _weights(self, text: str, index: Settings) -> Mapping[str, float]:
        """A text as Anserini's bag of words: a repeated term counts as often as it stands there."""
        return Counter(self.analyze(index["analyzer"], text))

    def _term_vector(self, reader: Any, doc_id: str) -> dict[str, int]:
        """Terms and frequencies of one document; for one without terms, Lucene stores no vector."""
        try:
            vector: dict[str, int] = self._read(self._utils.getDocumentVector(reader, doc_id))
        except Exception as error:
            if not str(getattr(error, "classname", "")).endswith("NotStoredException"):
                raise
            return {}
        return vector

    def _top(self, searcher: Any, weights: Mapping[str, float], most: int) -> list[dict[str, Any]]:
        """The best hits of one query."""
        builder = self._builder()
        for term, weight in weights.items():
            clause = self._boost(self._query(self._term(CONTENTS, _sound(term))), float(weight))
            builder.add(clause, self._should)
        hits: list[dict[str, Any]] = self._read(searcher.search(builder.build(), most))["scoreDocs"]
        return hits

    def _opened(self, index: Settings) -> tuple[Any, Any]:
        """Reader and searcher of an index; opened anew when the folder was replaced."""
        path, stamp = index["path"], index["stamp"]
        if path not in self._open or self._open[path][0] != stamp:
            self.close(path)
            try:
                reader = _java("org.apache.lucene.index.DirectoryReader").open(_directory(path))
            except Exception as error:  # whatever the reason, it is that of this folder
                raise DamagedError(str(error)) from error
            searcher = _java("org.apache.lucene.search.IndexSearcher")(reader, signature=_SEARCHER)
            self._open[path] = (stamp, reader, searcher)
        return self._open[path][1:]

    def _analyzer(self, settings: Settings) -> Any:
        """One of Lucene's analyzers, made once."""
        key = json.dumps(dict(settings), sort_keys=True)
        if key not in self._analyzers:
            if settings["language"] == "en":
                english = _java("io.anserini.analysis.DefaultEnglishAnalyzer")
                made = english.fromArguments(settings["stemmer"], not settings["stop_words"], None)
            else:
                made = _java("io.anserini.analysis.AnalyzerMap").getLanguageSpecificAnalyzer(settings["language"])
            self._analyzers[key] = made
        return self._analyzers[key]

    def _read(self, value: Any) -> Any:
        """A Java object as JSON values, in one crossing."""
        return json.loads(self._json.writeValueAsString(value))


class _Writer:
    """An index being built; one document and its fields are used again for each."""

    def __init__(self, path: str, analyzer: Any, buffer_mb: float) -> None:
        config = _java("org.apache.lucene.index.IndexWriterConfig")(analyzer)
        config.setMergePolicy(_java("org.apache.lucene.index.LogDocMergePolicy")())  # keeps documents in order
        config.setRAMBufferSizeMB(buffer_mb)
        self._path, self._directory = path, _directory(path)
        self._writer = _java("org.apache.lucene.index.IndexWriter")(self._directory, config)
        self._bytes = _java("org.apache.lucene.util.BytesRef")
        package = "org.apache.lucene.document."
        self._document = _java(package + "Document")()
        self._id = _java(package + "StringField")(ID, "", _java(package + "Field$Store").YES)
        self._sorting = _java(package + "BinaryDocValuesField")(ID, self._bytes(b"-"))
        self._contents = _java(package + "Field")(CONTENTS, "", _text_type(), signature=_TEXT_FIELD)
        for field in (self._id, self._sorting, self._contents):
            self._document.add(field)

    def add(self, doc_id: str, contents: str) -> None:
        """Add a document."""
        self._id.setStringValue(doc_id)
        self._sorting.setBytesValue(self._bytes(doc_id.encode()))
        self._contents.setStringValue(_sound(contents))
        self._writer.addDocument(self._document)

    def finish(self) -> int:
        """Make one segment of all, and close."""
        self._writer.forceMerge(1)
        self._writer.commit()
        count: int = self._writer.getDocStats().maxDoc
        self._writer.close()
        self._directory.close()
        (Path(self._path) / "write.lock").unlink(missing_ok=True)
        return count

    def abandon(self) -> None:
        """Close without keeping anything."""
        self._writer.rollback()
        self._directory.close()


def _named_numbers(told: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers in one of Lucene's explanations, each with the name that its description begins with."""
    yield str(told["description"]).partition(",")[0], float(told["value"])
    for detail in told["details"]:
        yield from _named_numbers(detail)


def _java(name: str) -> Any:
    """A Java class. The first call starts the virtual machine."""
    from jnius import autoclass

    return autoclass(name)


def _directory(path: str) -> Any:
    """A folder as Lucene opens it."""
    return _java("org.apache.lucene.store.FSDirectory").open(_java("java.io.File")(path).toPath())


def _text_type() -> Any:
    """How contents are indexed: frequencies for BM25, term vectors for feedback, no positions and no stored text."""
    field_type = _java("org.apache.lucene.document.FieldType")()
    field_type.setIndexOptions(_java("org.apache.lucene.index.IndexOptions").DOCS_AND_FREQS)
    field_type.setStoreTermVectors(True)
    field_type.freeze()
    return field_type


def _sound(text: str) -> str:
    """The text with lone surrogates replaced; Java would take them, and lose the text around them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
