"""Rocchio over terms, against NumPy arrays over the whole vocabulary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Run
from rankloom.errors import UsageError
from rankloom.prf import TermRocchio
from rankloom.testing import StageConformance
from tests.prf.brute_force import CORPORA, heaviest, texts_of
from tests.prf.fakes import FakeTerms


def unit(vector):
    length = np.sqrt((vector**2).sum())
    return vector / length if length else vector


def cut(vector, words, size):
    """The largest entries alone."""
    kept = heaviest({place: value for place, value in enumerate(vector) if value}, size)
    return np.array([kept.get(place, 0.0) for place in range(len(words))])


def rocchio(texts, ranked, query, *, docs, terms, alpha, beta, gamma, negatives):
    words = sorted({word for text in texts.values() for word in text.split()} | set(query.split()))
    count = lambda text: unit(np.array([float(text.split().count(word)) for word in words]))  # noqa: E731
    best, last = ranked[:docs], ranked[max(docs, len(ranked) - negatives) :]
    moved = alpha * count(query) + beta * unit(cut(sum(count(texts[one]) for one in best) / len(best), words, terms))
    if last:
        moved -= gamma * unit(cut(sum(count(texts[one]) for one in last) / len(last), words, terms))
    return {word: weight for word, weight in zip(words, moved, strict=True) if weight > 1e-9}


@settings(max_examples=60, deadline=None)
@given(CORPORA, st.integers(1, 4), st.integers(0, 3), st.integers(2, 7))
def test_brute_force(corpus, docs, negatives, terms):
    texts = texts_of(corpus)
    ranked = list(texts)
    run = Run.from_dict({"q": {one: -float(place) for place, one in enumerate(ranked)}}, queries={"q": "aa bb aa zz"})
    weights = {"alpha": 0.8, "beta": 0.7, "gamma": 0.3 if negatives else 0.0}
    stage = TermRocchio(
        docs=docs, terms=terms, negatives=negatives, max_df=1, retriever=FakeTerms(texts=texts), **weights
    )
    found = {term: weight for term, weight in stage.run(run).queries[0].terms.items() if weight > 1e-9}
    expected = rocchio(texts, ranked, "aa bb aa zz", docs=docs, terms=terms, negatives=negatives, **weights)
    assert found == pytest.approx(expected)


def test_two_documents_by_hand():
    # d1 (3, 4)/5 of sea and sun, d2 sun alone: mean (.3, .9), cut to sun, of length 1
    texts = {"d1": "sea sea sea sun sun sun sun", "d2": "sun", "d3": "sky"}
    run = Run.from_dict({"q": {"d1": 2.0, "d2": 1.0}}, queries={"q": "sky sky"})
    stage = TermRocchio(terms=1, max_df=1, retriever=FakeTerms(texts=texts))
    assert dict(stage.run(run).queries[0].terms) == pytest.approx({"sky": 1.0, "sun": 0.75})


def test_equal_weights_are_taken_in_ascending_order():
    run = Run.from_dict({"q": {"d1": 2.0, "d2": 1.0}}, queries={"q": "moon"})
    stage = TermRocchio(terms=2, max_df=1, retriever=FakeTerms(texts={"d1": "cc bb", "d2": "bb aa cc aa"}))
    assert list(stage.run(run).queries[0].terms) == ["moon", "bb", "cc"]


def test_terms_that_the_last_documents_outweigh_are_left_out_of_the_query():
    texts = {"d1": "sea", "d2": "sky"}
    run = Run.from_dict({"q": {"d1": 2.0, "d2": 1.0}}, queries={"q": "sky sea"})
    stage = TermRocchio(docs=1, gamma=2.0, negatives=5, max_df=1, retriever=FakeTerms(texts=texts))
    after = stage.run(run)
    assert after.queries[0].terms.keys() == {"sea"}
    assert dict(after.feedback("q").terms[0].documents) == {"d1": 0.75}


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1}, {"beta": float("inf")}, {"gamma": 0.1}, {"negatives": 3}, {"max_df": 2}, {"terms": 0}]
)
def test_parameters_out_of_range(wrong):
    with pytest.raises(UsageError, match=f"term_rocchio: {next(iter(wrong))}|term_rocchio: gamma"):
        TermRocchio(**wrong)


class TestContract(StageConformance):
    def make_stage(self):
        texts = {"d1": "sky blue", "d2": "sky rayleigh light", "d3": "sea green", "empty": ""}
        return TermRocchio(docs=2, terms=3, gamma=0.2, negatives=1, max_df=0.9, retriever=FakeTerms(texts=texts))

    def make_run(self):
        scores = {
            "q1": {"d1": 3.0, "d2": 1.0, "d3": 0.5},
            "q2": {"d3": 2.0, "nobody": 1.0},
            "q3": {},
            "q4": {"empty": 1.0},
        }
        return Run.from_dict(scores, queries={"q1": "sky", "q2": "sea", "q3": "moon", "q4": "nothing"})
