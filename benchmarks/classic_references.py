"""The BM25 references of the classic collections: BM25 with exact document lengths, on tokens of two letters or more.

    python benchmarks/classic_references.py      (needs RANKLOOM_DATA)

`rankloom.retrieval.BM25` follows Lucene, which splits words by Unicode's rules, keeps single letters, makes -log of
-logi, and stores the length of a document in one byte. The figures that are handed on with the collections come from a
BM25 that does none of this, as the package bm25s (method `lucene`, stemmer `porter`). This script scores as that does,
to show that these choices, the queries that are averaged over, and the order of equal scores are all that lies between
the figures. Columns: the mean over all judged queries; over those with a relevant document; over all, with equal scores
in descending order of ids.
"""

import math
import re
from collections import Counter, defaultdict

import snowballstemmer

from rankloom import Document, Run
from rankloom.eval import load_collection
from rankloom.retrieval.analysis import STOP_WORDS

REFERENCES = {
    "adi": 0.475,
    "cacm": 0.485,
    "cisi": 0.369,
    "cranfield": 0.344,
    "liveqa-med": 0.556,
    "npl": 0.441,
    "trec-dl19-mini": 0.426,
    "trec-dl21-mini": 0.396,
    "xquad-r-passage": 0.964,
    "xquad-r-sentence": 0.847,
}
K1, B, DEPTH = 0.9, 0.4, 100
TOKEN = re.compile(r"\b\w\w+\b")
STEMMER = snowballstemmer.stemmer("porter")  # unlike Lucene's, it does not make -log of -logi


def tokens(text: str) -> list[str]:
    """Words of two or more characters, without Lucene's stop words, stemmed by Porter's algorithm."""
    return STEMMER.stemWords([word for word in TOKEN.findall(text.lower()) if word not in STOP_WORDS])


def indexed(documents: list[Document]) -> dict[str, dict[str, float]]:
    """Term -> document id -> score of one occurrence in a query."""
    counts = {document.id: Counter(tokens(f"{document.title} {document.text}")) for document in documents}
    lengths = {doc_id: sum(terms.values()) for doc_id, terms in counts.items()}
    average = sum(lengths.values()) / len(lengths)
    postings: dict[str, dict[str, int]] = defaultdict(dict)
    for doc_id, terms in counts.items():
        for term, frequency in terms.items():
            postings[term][doc_id] = frequency
    scores = {}
    for term, found in postings.items():
        idf = math.log(1 + (len(counts) - len(found) + 0.5) / (len(found) + 0.5))
        scores[term] = {
            doc_id: idf * frequency / (frequency + K1 * (1 - B + B * lengths[doc_id] / average))
            for doc_id, frequency in found.items()
        }
    return scores


def searched(query: str, scores: dict[str, dict[str, float]], *, backwards: bool = False) -> dict[str, float]:
    """The best documents of a query and the negatives of their ranks; equal scores by id, perhaps backwards."""
    totals: dict[str, float] = defaultdict(float)
    for term in tokens(query):
        for doc_id, score in scores.get(term, {}).items():
            totals[doc_id] += score
    by_id = sorted(totals, reverse=backwards)
    best = sorted(by_id, key=lambda doc_id: -totals[doc_id])[:DEPTH]
    return {doc_id: -float(place) for place, doc_id in enumerate(best)}


def main() -> None:
    """A line for each collection."""
    print(f"{'collection':18} {'reference':>9} {'all':>7} {'answerable':>10} {'backwards':>9}")
    for name, reference in REFERENCES.items():
        collection = load_collection(name)
        scores = indexed(list(collection.corpus))
        means = {}
        for backwards in (False, True):
            hits = {query.id: searched(query.text, scores, backwards=backwards) for query in collection.queries}
            found = collection.evaluate(Run.from_dict(hits), ["nDCG@10"])
            means[backwards] = found.means["nDCG@10"]
        queries = len(found.per_query["nDCG@10"])
        answerable = means[False] * queries / (queries - len(found.unanswerable))
        print(f"{name:18} {reference:9.3f} {means[False]:7.4f} {answerable:10.4f} {means[True]:9.4f}", flush=True)


if __name__ == "__main__":
    main()
