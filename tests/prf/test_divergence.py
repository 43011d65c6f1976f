"""Bo1 and KL, against their formulas over the texts."""

from collections import Counter
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Run
from rankloom.errors import UsageError
from rankloom.prf import KL, Bo1
from rankloom.testing import StageConformance
from tests.prf.brute_force import CORPORA, heaviest, texts_of
from tests.prf.fakes import FakeTerms


def bo1(tf, cf, facts):
    mean = cf / facts["documents"]
    return (tf * log((1 + mean) / mean) + log(1 + mean)) / log(2)


def kl(tf, cf, facts):
    inside, outside = tf / facts["inside"], cf / facts["outside"]
    return inside * log(inside / outside) / log(2) if inside > outside else 0.0


def kl_bound(tf, facts):
    return tf * log(facts["outside"] / facts["inside"]) / (log(2) * facts["inside"])


METHODS = {Bo1: (bo1, lambda tf, facts: bo1(tf, tf, facts)), KL: (kl, kl_bound)}


def expanded(method, texts, best, query, *, terms, min_docs, beta):
    """The new query by the formulas."""
    everywhere = Counter(word for text in texts.values() for word in text.split())
    bags = [Counter(texts[one].split()) for one in best]
    together = sum(bags, Counter())
    facts = {"documents": len(texts), "outside": everywhere.total(), "inside": together.total()}
    own = {word: count / max(Counter(query.split()).values()) for word, count in Counter(query.split()).items()}
    weigh, bound = METHODS[method]
    least = min_docs if len(best) >= min_docs else 1
    weights = {
        word: weigh(tf, everywhere[word], facts)
        for word, tf in together.items()
        if word in own or sum(word in bag for bag in bags) >= least
    }
    if max(weights.values(), default=0) <= 1e-12:
        return own
    top = next(iter(heaviest(weights, 1)))
    factor = beta / weights[top] if beta else 1 / bound(together[top], facts)
    new = Counter(own)
    for word, weight in heaviest(weights, max(terms, len(own))).items():
        new[word] += weight * factor
    return {word: weight for word, weight in new.items() if weight > 1e-9}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@settings(max_examples=60, deadline=None)
@given(
    CORPORA,
    st.integers(1, 4),
    st.fixed_dictionaries(
        {"terms": st.integers(1, 6), "min_docs": st.integers(1, 3), "beta": st.sampled_from([None, 0.4])}
    ),
)
def test_brute_force(method, corpus, docs, parameters):
    texts = texts_of(corpus)
    ranked = list(texts)
    run = Run.from_dict({"q": {one: -float(place) for place, one in enumerate(ranked)}}, queries={"q": "aa bb aa zz"})
    found = method(docs=docs, retriever=FakeTerms(texts=texts), **parameters).run(run).queries[0].terms
    assert dict(found) == pytest.approx(expanded(method, texts, ranked[:docs], "aa bb aa zz", **parameters))


TEXTS = {"d1": "sky blue blue", "d2": "sky blue sea", "d3": "sea", "d4": "sun sun sun"}


def weights(stage, text="sky", scores=None):
    run = Run.from_dict({"q": scores or {"d1": 2.0, "d2": 1.0}}, queries={"q": text})
    return stage.replace(retriever=FakeTerms(texts=TEXTS)).run(run).queries[0].terms


def test_bo1_by_hand():
    # blue: f 3, F 3 of 4 documents, P .75: 3 log2(7/3) + log2(7/4), which is its own bound: 1. sky: f 2, F 2, P .5
    sky = (2 * log(3) + log(1.5)) / (3 * log(7 / 3) + log(7 / 4))
    assert dict(weights(Bo1())) == pytest.approx({"sky": 1 + sky, "blue": 1.0})


def test_kl_by_hand():
    # 6 terms of 10; blue 3/6 against 3/10, bound 3/6 log2(10/6): 1. sky 2/6 against 2/10: 2/3 of that
    assert dict(weights(KL())) == pytest.approx({"sky": 1 + 2 / 3, "blue": 1.0})


def test_equal_weights_are_taken_in_ascending_order():
    run = Run.from_dict({"q": {"d1": 2.0, "d2": 1.0}}, queries={"q": "moon"})
    twice = FakeTerms(texts={"d1": "bb cc aa", "d2": "cc bb aa", "d3": "sky"})
    assert list(Bo1(terms=2, retriever=twice).run(run).queries[0].terms) == ["aa", "bb", "moon"]


def test_terms_of_one_document_are_no_feedback():
    assert "sea" not in weights(Bo1())
    assert "sea" in weights(Bo1(min_docs=1))
    assert "sea" in weights(Bo1(), text="sea sky")  # in the query
    assert "blue" in weights(Bo1(), scores={"d1": 1.0})  # there is but one


def test_no_term_in_enough_documents_is_noted():
    run = Run.from_dict({"q": {"d3": 2.0, "d4": 1.0}}, queries={"q": "sky"})
    after = Bo1(retriever=FakeTerms(texts=TEXTS)).run(run)
    assert dict(after.queries[0].terms) == {"sky": 1.0}
    assert [note.detail for note in after.ledger.of("no_feedback")] == ["no term is in 2 (min_docs) of the documents"]


def test_the_whole_collection_diverges_from_nothing():
    run = Run.from_dict({"q": dict.fromkeys(TEXTS, 1.0)}, queries={"q": "sky"})
    after = KL(docs=4, min_docs=1, retriever=FakeTerms(texts=TEXTS)).run(run)
    assert dict(after.queries[0].terms) == {"sky": 1.0}
    said = ["no term is more frequent in the documents than in the collection"]
    assert [note.detail for note in after.ledger.of("no_feedback")] == said


def test_as_many_terms_as_the_query_has():
    assert weights(Bo1(terms=1), text="moon sun").keys() == {"moon", "sun", "blue", "sky"}
    assert weights(Bo1(terms=1), text="moon").keys() == {"moon", "blue"}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("wrong", [{"docs": 0}, {"terms": 0}, {"min_docs": 0}, {"beta": -0.1}])
def test_parameters_out_of_range(method, wrong):
    with pytest.raises(UsageError, match=f"{method.name}: {next(iter(wrong))}"):
        method(**wrong)


class Contract(StageConformance):
    method: type

    def make_stage(self):
        return self.method(docs=2, terms=3, retriever=FakeTerms(texts={**TEXTS, "empty": ""}))

    def make_run(self):
        scores = {"q1": {"d1": 3.0, "d2": 1.0}, "q2": {"d3": 2.0, "nobody": 1.0}, "q3": {}, "q4": {"empty": 1.0}}
        return Run.from_dict(scores, queries={"q1": "sky", "q2": "sea", "q3": "moon", "q4": "nothing"})


class TestBo1(Contract):
    method = Bo1


class TestKL(Contract):
    method = KL
