"""Small real stages: a retriever over words, feedback, a reranker, a pruner; each tells a log when it is called."""

import os
import re
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np

from rankloom.corpus import MemoryDocuments
from rankloom.ledger import Note
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Span
from rankloom.score_parts import ScoreExplainer, ScoreParts, TermPart, missing_terms, parts_in_order
from rankloom.sources import CountedTermSource, TermSource
from rankloom.stage import Feedback, Pruner, Reranker, Retriever, Stage

TEXTS = {
    "d1": "The sky is blue. Air scatters blue light.",
    "d2": "The sea is blue. It mirrors the sky.",
    "d3": "Grass is green.",
    "d4": "Tides follow the moon. The moon pulls the sea.",
    "d5": "The moon is grey.",
}
QUERIES = {"q1": "blue sky", "q2": "moon sea", "q3": "zebra", "q4": "green"}


class Calls:
    """A log of calls: the name of a stage and the queries it was given. It is no part of what a stage is."""

    def __init__(self):
        self.made = []
        self._lock = threading.Lock()

    def add(self, stage, run):
        with self._lock:
            self.made.append((stage.name, [query.id for query in run.queries]))

    def names(self):
        return [name for name, _ in self.made]

    def queries(self, name):
        return [query for stage, ids in self.made if stage == name for query in ids]

    def fingerprint(self):
        return "calls"


def some_documents(texts=TEXTS):
    return MemoryDocuments([Document(doc_id, text, title=f"About {doc_id}") for doc_id, text in texts.items()])


def words(text):
    return re.findall(r"\w+", text.lower())


class Words(Retriever, CountedTermSource, ScoreExplainer):
    """A document scores its query terms' weights times their frequencies."""

    name = "words"
    accepts = frozenset({"terms"})
    unit = 2

    def __init__(self, *, texts=TEXTS, k=1000, boost=1.0, calls=None):
        self.texts = texts
        self.k = k
        self.boost = boost
        self.calls = calls

    @property
    def documents(self):
        return some_documents(self.texts)

    def __call__(self, run):
        if self.calls:
            self.calls.add(self, run)
        found = [self._found(query) for query in run.queries]
        notes = [
            Note(self.name, "no_hits", query.id) for query, hits in zip(run.queries, found, strict=True) if not hits
        ]
        ranking = Ranking.from_lists(found, stage=self.name).top(self.k)
        return (
            replace(run, queries=tuple(replace(query, terms=None) for query in run.queries))
            .ranked(ranking)
            .noted(*notes)
        )

    def _found(self, query):
        terms = self._terms(query)
        vectors = {doc_id: Counter(words(text)) for doc_id, text in self.texts.items()}
        scores = {d: self.boost * sum(w * vector[t] for t, w in terms.items()) for d, vector in vectors.items()}
        return [(doc_id, score) for doc_id, score in scores.items() if score]

    def score_parts(self, query, doc_id, _session):
        if doc_id not in self.texts:
            return None
        terms, vector = self._terms(query), Counter(words(self.texts[doc_id]))
        parts = parts_in_order(
            TermPart(t, w, vector[t], None, self.boost * w * vector[t]) for t, w in terms.items() if vector[t]
        )
        return ScoreParts(self.name, doc_id, sum(one.part for one in parts), parts, missing_terms(terms, parts))

    def _terms(self, query):
        return Counter(words(query.text)) if query.terms is None else query.terms

    @property
    def document_count(self):
        return len(self.texts)

    def analyze(self, text):
        return words(text)

    def term_vectors(self, doc_ids):
        return [Counter(words(self.texts[doc_id])) for doc_id in doc_ids]

    def document_frequencies(self, terms):
        return np.array([sum(term in words(text) for text in self.texts.values()) for term in terms])

    def collection_frequencies(self, terms):
        return np.array([sum(words(text).count(term) for text in self.texts.values()) for term in terms])

    @property
    def collection_length(self):
        return sum(len(words(text)) for text in self.texts.values())


class OtherWords(Words):
    """The same under another name."""

    name = "other_words"


class Deaf(Words):
    """Reads texts only."""

    name = "deaf"
    accepts = frozenset()


class SlowWords(Words):
    """Takes as long for each call as the environment says."""

    name = "slow_words"

    def __call__(self, run):
        time.sleep(float(os.environ.get("RANKLOOM_TEST_SECONDS", "0")))
        return super().__call__(run)


class NoTexts(Words):
    """Knows ids and no texts."""

    name = "no_texts"
    documents = None


class Expand(Feedback):
    """Adds the terms of the best document, at some weight."""

    name = "expand"
    provides = frozenset({"terms"})
    accepts = frozenset({"terms"})
    reads = TermSource

    def __init__(self, *, weight=0.5, retriever=None, calls=None):
        self.weight = weight
        self.retriever = retriever
        self.calls = calls

    def __call__(self, run):
        if self.calls:
            self.calls.add(self, run)
        queries, notes = [], []
        for number, query in enumerate(run.queries):
            terms = Counter(self.retriever.analyze(query.text))
            best = run.hits(stage=self.name).doc_ids(number)[:1]
            if not best:
                notes.append(Note(self.name, "no_feedback", query.id))
            for vector in self.retriever.term_vectors(best):
                for term, count in vector.items():
                    terms[term] += self.weight * count
            queries.append(query.with_terms(terms).with_vector("some-encoder", np.float32([number, 1])))
        return run.rewritten([replace(query, vectors={}) for query in queries]).noted(*notes)


class Embed(Feedback):
    """Writes a vector into the query."""

    name = "embed"
    provides = frozenset({"vectors"})
    reads = Retriever

    def __init__(self, *, retriever=None, calls=None):
        self.retriever = retriever
        self.calls = calls

    def __call__(self, run):
        if self.calls:
            self.calls.add(self, run)
        counts = run.hits(stage=self.name).counts()
        return run.rewritten(
            query.with_vector("space", np.array([count, 0.1, -0.0], np.float32))
            for query, count in zip(run.queries, counts, strict=True)
        )


class Lengths(Reranker):
    """Scores the best `depth` hits by the length of their text; the rest keeps its order below."""

    name = "lengths"
    unit = 2

    def __init__(self, *, depth=2, limit=1000, calls=None):
        self.depth = depth
        self.limit = limit
        self.calls = calls

    def __call__(self, run):
        if self.calls:
            self.calls.add(self, run)
        ranking, texts = run.hits(stage=self.name), run.texts(stage=self.name)
        lists, notes, scored = [], [], []
        for number, query in enumerate(run.queries):
            doc_ids = ranking.doc_ids(number)
            best, rest = doc_ids[: self.depth], doc_ids[self.depth :]
            lengths = [len(document.text) for document in texts.get(best)]
            notes += [
                Note(self.name, "truncated", query.id, doc_id, length - self.limit)
                for doc_id, length in zip(best, lengths, strict=True)
                if length > self.limit
            ]
            hits = [(doc_id, float(length)) for doc_id, length in zip(best, lengths, strict=True)]
            lists.append(hits + [(doc_id, -1.0 - place) for place, doc_id in enumerate(rest)])
            scored.append(len(best))
        after = Ranking.from_lists(lists, stage=self.name, kind=ScoreKind.LOGIT)
        if any(count > depth for count, depth in zip(ranking.counts(), scored, strict=True)):
            after = replace(after, scored=np.array(scored))
        after = replace(after, spans=self._spans(run, after))
        return run.ranked(after).noted(*notes).counted(inputs=sum(scored), calls=1, tokens=10)

    def _spans(self, run, after):
        """What a pruner before has said of the documents, for the documents in their new order."""
        before = run.hits(stage=self.name)
        if before.spans is None:
            return None
        known = [dict(zip(before.doc_ids(n), before.slice(n, n + 1).spans, strict=True)) for n in range(len(run))]
        return tuple(known[number][doc_id] for number in range(len(run)) for doc_id in after.doc_ids(number))


class Sentences(Pruner):
    """Keeps the sentences that hold a word of the query; ranking and scores stay."""

    name = "sentences"
    unit = 2

    def __init__(self, *, threshold=0.5, calls=None):
        self.threshold = threshold
        self.calls = calls

    def __call__(self, run):
        if self.calls:
            self.calls.add(self, run)
        ranking, texts = run.hits(stage=self.name), run.texts(stage=self.name)
        spans = []
        for number, query in enumerate(run.queries):
            documents = texts.get(ranking.doc_ids(number))
            spans += [tuple(self._judged(words(query.text), document.text)) for document in documents]
        return run.ranked(replace(ranking, spans=tuple(spans)))

    def _judged(self, wanted, text):
        for sentence in re.finditer(r"[^.]+\.", text):
            start = sentence.start() + len(sentence[0]) - len(sentence[0].lstrip())
            probability = len(set(wanted) & set(words(sentence[0]))) / max(1, len(set(wanted)))
            yield Span(start, sentence.end(), probability, probability >= self.threshold, "counted")


class Returns(Stage):
    """Returns what a function makes of the run."""

    name = "returns"

    def __init__(self, make):
        self.make = make

    def __call__(self, run):
        return self.make(run)

    def fingerprint(self):
        return f"returns {id(self.make)}"


def pieces(run):
    """Everything a run holds about its queries and hits, for comparison by ==; arrays as bytes."""
    found = []
    for number, query in enumerate(run.queries):
        vectors = {name: (vector.dtype.str, vector.tobytes()) for name, vector in query.vectors.items()}
        one = [query.id, query.text, query.terms and dict(query.terms), vectors]
        if run.ranking is not None:
            start, end = run.ranking.bounds(number)
            hits = run[query.id]
            one += [hits.doc_ids, run.ranking.scores[start:end].tobytes(), run.ranking.kind]
            one.append([hit.reranked for hit in hits])
            one.append(None if run.ranking.spans is None else run.ranking.spans[start:end])
        found.append(one)
    return found, run.ledger.notes
