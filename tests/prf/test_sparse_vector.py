"""Vector feedback over learned sparse vectors, against NumPy arrays over the whole vocabulary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Query, Run
from rankloom.config import PipelineBuilder
from rankloom.errors import CompositionError, ConfigError, UsageError
from rankloom.prf import SparseVectorPRF
from rankloom.retrieval import LearnedSparse
from rankloom.testing import StageConformance
from rankloom.weighted_terms import SparseEncoded
from tests.prf.fakes import FakeTerms

WORDS = ["aa", "bb", "cc", "dd", "ee"]
INDEX = LearnedSparse.of_terms(
    {"d1": {"aa": 1.0, "bb": 2.0}, "d2": {"bb": 1.0, "cc": 0.5}, "d3": {"dd": 3.0}, "d4": {"aa": 0.25, "ee": 1.5}}
)
DENSE = {"d1": (1, 2, 0, 0, 0), "d2": (0, 1, 0.5, 0, 0), "d3": (0, 0, 0, 3, 0), "d4": (0.25, 0, 0, 0, 1.5)}


class Words:
    """Each word of a query weighs 1."""

    def fingerprint(self):
        return "words"

    def encode(self, texts, *, role, session):  # noqa: ARG002
        none = np.zeros(len(texts), dtype=np.int64)
        return SparseEncoded([dict.fromkeys(text.split(), 1.0) for text in texts], none, none, 0)


def fed(hits, query, **parameters):
    """The run after feedback over one ranking."""
    scores = {"q": {one: -float(place) for place, one in enumerate(hits)}}
    run = Run.from_dict(scores, queries=[Query("q", "", terms=query)])
    return SparseVectorPRF(retriever=INDEX, **parameters).run(run)


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(["d1", "d2", "d3", "d4", "x"]),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 6),
    st.sampled_from(["average", "rocchio"]),
)
def test_brute_force(hits, docs, negatives, terms, method):
    query = np.array([1.0, 0.0, 0.5, 0.0, 0.0])
    weights = {"alpha": 0.5, "beta": 0.75, "gamma": 0.25 if negatives else 0.0, "negatives": negatives}
    best = [np.array(DENSE[one]) for one in hits[:docs] if one in DENSE]
    last = [np.array(DENSE[one]) for one in hits[max(docs, len(hits) - negatives) :] if one in DENSE]
    if not best:
        expected = query
    elif method == "average":
        expected = np.mean([query, *best], axis=0)
    else:
        expected = 0.5 * query + 0.75 * np.mean(best, axis=0) - (0.25 * np.mean(last, axis=0) if last else 0)
    after = fed(hits, {"aa": 1.0, "cc": 0.5}, docs=docs, terms=terms, method=method,
                **(weights if method == "rocchio" else {}))  # fmt: skip
    found = dict(after.queries[0].terms)
    heaviest = sorted((-weight, word) for word, weight in zip(WORDS, expected, strict=True) if weight > 1e-9)
    if best:
        assert len(found) == min(terms, len(heaviest))
        assert sorted(found.values(), reverse=True) == pytest.approx([-weight for weight, _ in heaviest[:terms]])
    assert found == pytest.approx({word: expected[WORDS.index(word)] for word in found})


def test_searches_by_the_new_query():
    index = INDEX.replace(queries=Words())
    hits = (index >> SparseVectorPRF(docs=1) >> index).run({"q": "aa"})["q"]
    # half of (aa 1) and of d1 (aa 1, bb 2): aa 1, bb 1
    assert dict(zip(hits.doc_ids, hits.scores, strict=True)) == {"d1": 3.0, "d2": 1.0, "d4": 0.25}


def test_tells_where_weights_come_from():
    index = INDEX.replace(queries=Words())
    run = (index >> SparseVectorPRF(docs=2) >> index).run({"q": "bb"})
    told = {one.term: (one.original, dict(one.documents)) for one in run.feedback("q").terms}
    assert told["bb"] == (pytest.approx(1 / 3), pytest.approx({"d1": 2 / 3, "d2": 1 / 3}))
    assert told["aa"] == (0.0, pytest.approx({"d1": 1 / 3}))


@pytest.mark.parametrize(
    ("hits", "query", "reason"),
    [
        ([], {"aa": 1.0}, "no document was found"),
        (["x"], {"aa": 1.0}, "the index holds none of the documents"),
        (["d1"], {}, "the query is empty"),
    ],
)
def test_without_feedback_the_query_stays_and_is_noted(hits, query, reason):
    after = fed(hits, query)
    assert dict(after.queries[0].terms) == query
    assert [note.detail for note in after.ledger.notes if note.kind == "no_feedback"] == [reason]


def test_nothing_above_zero_leaves_the_query_and_is_noted():
    after = fed(["d3", "d1", "d3x"], {"aa": 1.0}, method="rocchio", docs=1, alpha=0.1, beta=0, gamma=9, negatives=2)
    assert dict(after.queries[0].terms) == {"aa": 1.0}
    assert "no term of the mixture weighs more than 0" in {note.detail for note in after.ledger.notes}


def test_an_empty_document_is_left_out_and_noted():
    index = LearnedSparse.of_terms({"d1": {"aa": 2.0}, "d2": {}, "d3": {"aa": 2.0}})
    run = Run.from_dict({"q": {"d1": 3.0, "d2": 2.0, "d3": 1.0}}, queries=[Query("q", "", terms={"bb": 3.0})])
    after = SparseVectorPRF(retriever=index).run(run)
    assert dict(after.queries[0].terms) == pytest.approx(
        {"aa": 4 / 3, "bb": 1.0}
    )  # documents of equal terms count each
    assert [(note.kind, note.doc_id) for note in after.ledger.notes] == [("empty_document", "d2")]


class TestRefused:
    def test_counts_of_words(self):
        with pytest.raises(CompositionError, match=r"sparse_vector_prf.*counts words.*term_rocchio"):
            INDEX >> SparseVectorPRF() >> FakeTerms(texts={"d1": "aa"})

    def test_counts_of_words_in_yaml_before_an_index_is_built(self):
        with pytest.raises(ConfigError, match="counts words"):
            PipelineBuilder({}).check(["bm25", "sparse_vector_prf", "bm25"], at=())

    @pytest.mark.parametrize("wrong", [{"terms": 0}, {"alpha": 1.0}, {"negatives": 1}, {"method": "mean"}])
    def test_parameters(self, wrong):
        with pytest.raises(UsageError, match="sparse_vector_prf"):
            SparseVectorPRF(**wrong)


class TestContract(StageConformance):
    def make_stage(self):
        return SparseVectorPRF(docs=2, terms=3, retriever=INDEX.replace(queries=Words()))

    def make_run(self):
        scores = {"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d3": 2.0, "x": 1.0}, "q3": {}}
        return Run.from_dict(scores, queries={"q1": "aa bb", "q2": "cc", "q3": "dd"})
