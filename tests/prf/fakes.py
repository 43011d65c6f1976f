"""Small retrievers over terms and over vectors, transparent enough to compute with by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np

from rankloom.corpus import MemoryDocuments
from rankloom.encoders import Encoded
from rankloom.ledger import Note
from rankloom.ranking import Ranking
from rankloom.records import Document
from rankloom.sources import CountedTermSource, VectorSource
from rankloom.stage import Retriever

STOP_WORDS = frozenset({"the", "of"})


class FakeRetriever(Retriever):
    """Ranks the documents by inner product; a subclass says what a query is."""

    def _ranked(self, run, scored, empty):
        notes = [Note(self.name, "empty_query", query.id) for query in run.queries if query.id in empty]
        hits = [sorted(one.items(), key=lambda hit: (-hit[1], hit[0]))[: self.k] for one in scored]
        queries = tuple(replace(query, terms=None, vectors={}) for query in run.queries)
        return replace(run, queries=queries).ranked(Ranking.from_lists(hits, stage=self.name)).noted(*notes)


class FakeTerms(FakeRetriever, CountedTermSource):
    """Texts by document id; a document scores its query terms' weights times their frequencies."""

    name = "fake_terms"
    accepts = frozenset({"terms"})

    def __init__(self, *, texts, k=1000):
        self.texts = texts
        self.k = k

    @property
    def documents(self):
        return MemoryDocuments([Document(doc_id, text) for doc_id, text in self.texts.items()])

    def __call__(self, run):
        wanted = [Counter(self.analyze(q.text)) if q.terms is None else q.terms for q in run.queries]
        vectors = dict(zip(self.texts, self.term_vectors(list(self.texts)), strict=True))
        scored = [
            {
                doc_id: sum(weight * vector[term] for term, weight in terms.items() if term in vector)
                for doc_id, vector in vectors.items()
                if vector.keys() & terms.keys()
            }
            for terms in wanted
        ]
        empty = {query.id for query, terms in zip(run.queries, wanted, strict=True) if not terms}
        return self._ranked(run, scored, empty)

    @property
    def document_count(self):
        return len(self.texts)

    def analyze(self, text):
        return [word for word in text.lower().split() if word not in STOP_WORDS]

    def term_vectors(self, doc_ids):
        return [Counter(self.analyze(self.texts[i])) if i in self.texts else None for i in doc_ids]

    def document_frequencies(self, terms):
        held = [set(self.analyze(text)) for text in self.texts.values()]
        return np.array([sum(term in words for words in held) for term in terms], dtype=np.int64)

    def collection_frequencies(self, terms):
        counts = Counter(word for text in self.texts.values() for word in self.analyze(text))
        return np.array([counts[term] for term in terms], dtype=np.int64)

    @property
    def collection_length(self):
        return sum(len(self.analyze(text)) for text in self.texts.values())


class FakeVectors(FakeRetriever, VectorSource):
    """Vectors by document id; a query's vector counts its letters a, b and c."""

    name = "fake_vectors"
    accepts = frozenset({"vectors"})
    space = "letters"
    model_name = "letters-10"

    def __init__(self, *, vectors, k=1000):
        self.vectors = vectors
        self.k = k

    @property
    def documents(self):
        return MemoryDocuments([Document(doc_id, f"text of {doc_id}") for doc_id in self.vectors])

    def __call__(self, run):
        empty = {query.id for query in run.queries if query.blank}
        scored = [
            {} if query.id in empty else {i: float(vector @ np.array(v)) for i, v in self.vectors.items()}
            for query, vector in zip(run.queries, self.query_vectors(run.queries, run.session), strict=True)
        ]
        return self._ranked(run, scored, empty)

    def encode_queries(self, queries, session):  # noqa: ARG002
        """As a model that reads ten letters, each of them a token, all texts in one call."""
        rows = [q.vectors.get(self.space, [q.text.count(letter) for letter in "abc"]) for q in queries]
        lengths = np.array([0 if q.vectors else len(q.text) for q in queries], dtype=np.int64)
        read = np.minimum(lengths, 10)
        return Encoded(np.array(rows, dtype=np.float32).reshape(-1, 3), read, lengths - read, int(lengths.any()))

    def document_vectors(self, doc_ids):
        rows = [self.vectors.get(doc_id, (0.0, 0.0, 0.0)) for doc_id in doc_ids]
        held = np.array([doc_id in self.vectors for doc_id in doc_ids], dtype=np.bool_)
        return np.array(rows, dtype=np.float32).reshape(-1, 3), held
