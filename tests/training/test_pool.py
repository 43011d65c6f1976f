"""Held-out queries: what is in their pool, and that the measures are this project's."""

import pytest
from sentence_transformers import SentenceTransformer

from rankloom import Corpus, Document, Query, Session
from rankloom.encoders import SentenceEncoder
from rankloom.eval import evaluate
from rankloom.retrieval import Dense
from rankloom.training.pairs import SourceTexts
from rankloom.training.pool import Pool, measured, prompts_of
from rankloom.training.recipe_config import TrainingSource
from tests.tiny_models import WORDS, tiny_encoder

SESSION = Session(offline=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder that wants something before queries and documents."""
    return tiny_encoder(tmp_path_factory.mktemp("tiny"), prompts={"query": "query : ", "passage": "why is "})


def source(grades):
    documents = [Document(f"d{n:02}", f"{WORDS[n % 10]} {WORDS[(n * 3 + 1) % 10]} {n}") for n in range(30)]
    queries = tuple(Query(query_id, f"{WORDS[number]} {WORDS[number + 2]}") for number, query_id in enumerate(grades))
    told = TrainingSource(name="own", licence="CC0", collection="own/train")
    return SourceTexts(told, Corpus.of(documents), (), queries, grades, ())


def test_prompts_are_those_that_search_puts_before_texts(folder):
    model, encoder = SentenceTransformer(str(folder)), SentenceEncoder(str(folder))
    prompts = prompts_of(model)
    assert prompts == {"query": "query : ", "document": "why is "}
    for role, prompt in prompts.items():
        searched = encoder.encode(["the sky"], role=role, session=SESSION).vectors
        assert searched == pytest.approx(model.encode([f"{prompt}the sky"]), abs=1e-5)


def test_a_query_brings_its_best_relevant_documents_and_candidates():
    grades = {"q": {f"d{n:02}": 1 + (n == 13) for n in range(14)}, "r": {"d20": 1, "gone": 1}}
    texts = source(grades)
    pool = Pool()
    pool.add(texts, "q", ["d12", "d25", "d00"])
    pool.add(texts, "r", ["d20"])
    best = {"d13", *(f"d{n:02}" for n in range(9))}
    assert {key.split("\t")[1] for key in pool.documents} == {*best, "d12", "d25", "d20"}
    relevant = {key.split("\t")[1]: {one.split("\t")[1] for one in ids} for key, ids in pool.relevant.items()}
    assert relevant == {"q": {*best, "d12"}, "r": {"d20"}}


def test_what_another_query_brings_is_relevant_all_the_same():
    grades = {"q": {f"d{n:02}": 1 for n in range(12)}, "r": {"d20": 1}}
    pool = Pool()
    pool.add(source(grades), "q", [])
    pool.add(source(grades), "r", ["d10"])
    assert pool.relevant["own\tq"] == {f"own\td{n:02}" for n in range(10)}
    assert pool.relevant_among_all() == {"own\tq": {f"own\td{n:02}" for n in range(11)}, "own\tr": {"own\td20"}}


def test_the_measures_are_those_of_the_evaluation(folder):
    grades = {f"q{n}": {f"d{n * 5:02}": 1, f"d{n + 20:02}": 1} for n in range(5)}
    texts = source(grades)
    pool = Pool()
    for query in texts.held_out:
        pool.add(texts, query.id, texts.corpus.ids)
    model = SentenceTransformer(str(folder))
    found = measured(model, pool)
    run = Dense.for_corpus(texts.corpus, SESSION, model=str(folder)).run(texts.held_out, session=SESSION)
    means = evaluate(run, grades, ["nDCG@10", "RR@10", "R@10"]).means
    assert found == {
        name: pytest.approx(means[ours], abs=2e-4)
        for name, ours in (("nDCG@10", "nDCG@10"), ("MRR@10", "RR@10"), ("R@10", "R@10"))
    }
    assert 0 < found["nDCG@10"] < 1
    assert measured(model, Pool()) == {}
