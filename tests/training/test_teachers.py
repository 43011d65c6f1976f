"""Examples from real stages over the mini collection."""

import pytest

from rankloom import Session
from rankloom.errors import UsageError
from rankloom.eval import load_collection
from rankloom.retrieval import BM25
from rankloom.training.teachers import teach


@pytest.fixture(scope="module")
def mini():
    return load_collection("mini")


@pytest.fixture(scope="module")
def bm25(mini):
    return BM25.for_corpus(mini.corpus, Session())


def test_scores_are_the_teachers_and_the_relevant_document_comes_first(mini, bm25):
    candidates = bm25.top(20).run(mini.queries[:10])
    examples = list(teach(candidates, {"bm25": bm25, "flat": bm25.replace(b=0.0)}, relevant=mini.qrels, documents=5))
    assert len(examples) == 10
    full = bm25.run(mini.queries[:10])
    for query, example in zip(mini.queries, examples, strict=False):
        by_text = {document.contents: document.id for document in candidates[query.id].documents()}
        drawn = [by_text[text] for text in example.texts]
        stored = full.to_dict()[query.id]
        assert example.scores["bm25"] == tuple(stored[doc_id] for doc_id in drawn)
        assert len(set(drawn)) == 5
        grades = mini.qrels[query.id]
        found = [grades.get(doc_id, 0) for doc_id in candidates[query.id].doc_ids]
        if max(found) > 0:
            assert grades[drawn[0]] == max(found)


def test_a_document_that_a_teacher_misses_scores_as_its_worst(mini, bm25):
    candidates = bm25.top(20).run(mini.queries[:3])
    for example in teach(candidates, {"short": bm25.replace(k=2)}, documents=20):
        assert sorted(example.scores["short"])[:-1] == [min(example.scores["short"])] * (len(example.texts) - 1)


def test_examples_do_not_depend_on_company_and_follow_the_seed(mini, bm25):
    alone = list(teach(bm25.top(20).run(mini.queries[2:3]), {"bm25": bm25}, documents=4))
    company = list(teach(bm25.top(20).run(mini.queries[:5]), {"bm25": bm25}, documents=4))
    assert company[2].texts == alone[0].texts
    other = list(teach(bm25.top(20).run(mini.queries[2:3]), {"bm25": bm25}, documents=4, seed=8))
    assert other[0].texts != alone[0].texts


def test_negatives_are_not_known_to_be_relevant(mini, bm25):
    query = mini.queries[0]
    candidates = bm25.top(6).run([query])
    first, second, third, *_ = candidates[query.id].doc_ids
    relevant = {query.id: {first: 1, second: 2, third: 0}}
    by_text = {document.contents: document.id for document in candidates[query.id].documents()}
    shown = {}
    for negatives in (True, False):
        (one,) = teach(candidates, {"bm25": bm25}, relevant=relevant, documents=6, negatives=negatives)
        shown[negatives] = [by_text[text] for text in one.texts]
    assert shown[True][0] == shown[False][0] == second
    assert set(shown[False]) - set(shown[True]) == {first}


def test_queries_without_candidates_are_passed_over_and_no_teachers_is_an_error(bm25):
    assert list(teach(bm25.run({"q1": "xyzzy"}), {"bm25": bm25})) == []
    with pytest.raises(UsageError, match="no teachers"):
        list(teach(bm25.run({"q1": "bees"}), {}))
    with pytest.raises(UsageError, match="documents"):
        list(teach(bm25.run({"q1": "bees"}), {"bm25": bm25}, documents=1))
