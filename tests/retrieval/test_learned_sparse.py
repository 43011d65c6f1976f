"""Learned sparse retrieval against a brute-force scorer, and end to end on tiny checkpoints."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Corpus, Document, Query, Run, Session
from rankloom.errors import DataError, UsageError
from rankloom.eval import Experiment
from rankloom.retrieval import BM25, ImpactIndex
from rankloom.retrieval import learned_sparse as module
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from rankloom.retrieval.learned_sparse import SCALE, LearnedSparse
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.retrieval.sparse_vectors import SparseVectors
from rankloom.retrieval.stored_terms import StoredTerms
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_splade, tiny_tokenizer

SESSION = Session(offline=True, device="cpu")
DOCUMENTS = [
    Document("d1", "why is the sky blue"),
    Document("d2", "the tide and the moon", title="sea"),
    Document("d3", "bread"),
    Document("d4", ""),
]
WORDS = st.sampled_from(["sky", "blue", "sea", "##s", "moon"])
TERMS = st.dictionaries(WORDS, st.floats(0.0078125, 20.0, allow_nan=False, width=32), max_size=5)


def brute_force(documents, query, k):
    """Sums of query weight times rounded document weight, best first, ties by id; without a shared term left out."""
    scored = []
    for doc_id, terms in documents.items():
        shared = terms.keys() & query.keys()
        if shared:
            score = sum(query[term] * max(1, round(terms[term] * SCALE)) / SCALE for term in shared)
            scored.append((doc_id, score))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]


@given(documents=st.lists(TERMS, max_size=12), query=TERMS, k=st.integers(1, 12))
@settings(deadline=None, max_examples=150)
def test_scores_are_brute_force_s(documents, query, k):
    held = {f"d{number:02}": terms for number, terms in enumerate(documents)}
    stage = LearnedSparse.of_terms(held, k=k)
    hits = stage.run([Query("q", "", terms=query)])["q"]
    expected = brute_force(held, query, len(held))
    scores = dict(expected)
    assert len(hits) == min(k, len(expected))
    assert hits.scores == pytest.approx([score for _, score in expected[:k]], rel=1e-5)
    assert all(hit.score == pytest.approx(scores[hit.doc_id], rel=1e-5) for hit in hits)


@given(documents=st.lists(TERMS, max_size=12), query=TERMS)
@settings(deadline=None, max_examples=60)
def test_parts_are_those_of_the_score_to_the_last_bit(documents, query):
    held = {f"d{number:02}": terms for number, terms in enumerate(documents)}
    stage = LearnedSparse.of_terms(held)
    for hit in stage.run([Query("q", "", terms=query)])["q"]:
        told, terms = hit.explain(), held[hit.doc_id]
        assert told.score == hit.score
        assert {one.term: (one.weight, one.value) for one in told.terms} == {
            term: (query[term], max(1, round(terms[term] * SCALE)) / SCALE) for term in terms.keys() & query.keys()
        }
        assert all(one.part == pytest.approx(one.weight * one.value, rel=1e-6) for one in told.terms)
        assert sum(one.part for one in told.terms) == pytest.approx(hit.score, rel=1e-6)
        assert {*told.missing} == query.keys() - terms.keys()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_splade(tmp_path_factory.mktemp("splade"), two_logs=True)


@pytest.fixture(scope="module")
def corpus():
    return Corpus.of(DOCUMENTS)


@pytest.mark.parametrize("where", ["memory", "disk", "cache"])
def test_a_corpus_is_encoded_and_searched(folder, corpus, tmp_path, where):
    encoder = SparseEncoder(str(folder))
    if where == "cache":
        session = Session(offline=True, device="cpu", cache=tmp_path)
        stage = LearnedSparse.for_corpus(corpus, session, model=str(folder))
        again = LearnedSparse.for_corpus(corpus, session, model=str(folder))
        assert again.fingerprint() == stage.fingerprint()
    elif where == "disk":
        LearnedSparse.build(corpus, tmp_path / "index", encoder, session=SESSION)
        assert not (tmp_path / "index.shards").exists()
        stage = LearnedSparse.open(tmp_path / "index", queries=encoder, corpus=corpus)
    else:
        stage = LearnedSparse.of(corpus, encoder, session=SESSION)
    contents = {document.id: document.contents for document in corpus}
    documents = dict(
        zip(contents, encoder.encode(list(contents.values()), role="document", session=SESSION).terms, strict=True)
    )
    query = encoder.encode(["blue sky"], role="query", session=SESSION).terms[0]
    hits = stage.search("blue sky", 3, session=SESSION)
    assert [(hit.doc_id, hit.score) for hit in hits] == [
        (doc_id, pytest.approx(score, rel=1e-5)) for doc_id, score in brute_force(documents, query, 3)
    ]
    assert hits[0].text == contents[hits[0].doc_id].removeprefix("sea ")
    assert stage.index_bytes > 0


def test_a_killed_build_goes_on(folder, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("rankloom.retrieval.sparse_shards.SHARD_SIZE", 2)
    encoder = SparseEncoder(str(folder))
    read = []
    encode = encoder.encode

    def failing(texts, **options):
        read.append(texts)
        if len(read) == 2:
            raise KeyboardInterrupt
        return encode(texts, **options)

    encoder.encode = failing
    with pytest.raises(KeyboardInterrupt):
        LearnedSparse.build(corpus, tmp_path / "index", encoder, session=SESSION)
    built = LearnedSparse.build(corpus, tmp_path / "index", encoder, session=SESSION)
    assert [len(texts) for texts in read] == [2, 2, 2]  # the first part was not read again
    whole = LearnedSparse.of(corpus, SparseEncoder(str(folder)), session=SESSION)
    assert built.search("blue sky", session=SESSION).scores == whole.search("blue sky", session=SESSION).scores


def test_what_was_cut_is_told(folder):
    long = Corpus.of([*DOCUMENTS, Document("d5", "sea " * 100)])
    stage = LearnedSparse.of(long, SparseEncoder(str(folder)), session=SESSION)
    (note,) = stage.index_ledger.notes
    assert (note.kind, note.amount, note.detail) == ("truncated", 70, "the ends of 1 documents were not read")
    with pytest.raises(DataError, match="longer than the model reads"):
        LearnedSparse.of(long, SparseEncoder(str(folder)), session=Session(offline=True, on_truncate="error"))
    assert not LearnedSparse.of(Corpus.of(DOCUMENTS), SparseEncoder(str(folder)), session=SESSION).index_ledger.notes


def test_queries_can_bring_their_terms(folder, corpus, tmp_path):
    encoder = SparseEncoder(str(folder))
    stage = LearnedSparse.of(corpus, encoder, session=SESSION)
    term, weight = next(
        iter(encoder.encode(["why is the sky blue"], role="document", session=SESSION).terms[0].items())
    )
    (tmp_path / "queries.tsv").write_text(f"q1\t{term} {term}\n")
    run = (StoredTerms(tmp_path / "queries.tsv") >> stage).run({"q1": "anything"}, session=SESSION)
    scores = dict(zip(run["q1"].doc_ids, run["q1"].scores, strict=True))
    assert scores["d1"] == pytest.approx(2 * round(weight * SCALE) / SCALE)
    assert run.ledger.costs[-1].calls == 0
    with pytest.raises(UsageError, match="nothing makes terms"):
        LearnedSparse(stage.index).search("sky")


def test_queries_need_no_model(tmp_path):
    tiny_tokenizer(tmp_path, max_length=8)
    (tmp_path / "idf.json").write_text(json.dumps({"sky": 2.0, "blue": 0.5}))
    held = {"d1": {"sky": 1.0, "blue": 1.0}, "d2": {"blue": 2.0}}
    stage = LearnedSparse.of_terms(held, queries=InferenceFreeEncoder(tmp_path))
    run = stage.run({"q1": "the sky sky is blue"})
    assert run.to_dict() == {"q1": {"d1": 2.5, "d2": 1.0}}
    assert (run.ledger.costs[-1].calls, run.ledger.costs[-1].model) == (0, "")


def test_a_source_of_terms():
    held = {"d1": {"sky": 1.5, "##s": 0.25}, "d2": {"sky": 2.0}, "d3": {}}
    stage = LearnedSparse.of_terms(held)
    assert stage.document_count == 3
    assert stage.term_vectors(["d2", "nobody", "d3", "d1"]) == [held["d2"], None, {}, held["d1"]]
    assert stage.document_frequencies(["sky", "##s", "zebra"]).tolist() == [2, 1, 0]
    queries = [Query("q1", "", terms={"sky": 2.0}), Query("q2", " ")]
    assert stage.query_terms(queries, SESSION).terms == [{"sky": 2.0}, {}]
    with pytest.raises(UsageError, match="nothing makes terms of query texts"):
        stage.query_terms([Query("q3", "sky")], SESSION)


def test_an_index_of_something_else_is_refused(corpus):
    bm25 = BM25.of(corpus)
    with pytest.raises(UsageError, match="holds no impacts"):
        LearnedSparse(bm25.index)
    index = ImpactIndex.of(["d1"], [{"sky": 1}], linear=True, about={"scale": "64", "corpus": "other"})
    with pytest.raises(UsageError, match="another corpus"):
        LearnedSparse(index, corpus=corpus)
    with pytest.raises(DataError, match="weight of 'sky' is out of range"):
        LearnedSparse.of_terms({"d1": {"sky": float("nan")}})
    with pytest.raises(UsageError, match="reach"):
        LearnedSparse.of_terms({"d1": {"sky": 1.0}}, reach=1.5)


def test_a_smaller_reach_still_fills_the_list():
    held = {f"d{number:04}": {"sky": 1.0 + number % 7, "sea": 0.5 + number % 3} for number in range(3000)}
    exact, fast = (LearnedSparse.of_terms(held, k=10, reach=reach) for reach in (1.0, 0.3))
    query = [Query("q", "", terms={"sky": 1.0, "sea": 1.0})]
    best, found = exact.run(query)["q"], fast.run(query)["q"]
    assert best.scores == pytest.approx([score for _, score in brute_force(held, query[0].terms, 10)])
    assert len(found) == 10
    assert max(found.scores) <= max(best.scores)
    (note,) = fast.run(query).ledger.notes
    assert (note.kind, note.query_id, note.detail) == ("approximate", "q", "reach is 0.3, below 1")
    assert not exact.run(query).ledger.notes


def test_vectors_in_columns_are_documents_in_dictionaries(tmp_path):
    words = ["sky", "blue", "sea", "unused"]
    batches = [
        SparseVectors(["d1", "d3"], words, np.array([0, 2, 2]), np.array([1, 0]), np.array([0.5, 1.5])),
        SparseVectors(["d2"], words, np.array([0, 2]), np.array([2, 1]), np.array([1.0, 0.001])),
    ]
    held = {"d1": {"sky": 1.5, "blue": 0.5}, "d2": {"sea": 1.0, "blue": 0.001}, "d3": {}}
    stages = [
        LearnedSparse.of_terms(held),
        LearnedSparse.of_vectors(batches),
        LearnedSparse.build_vectors(tmp_path / "index", batches),
        LearnedSparse.open(tmp_path / "index"),
    ]
    query = [Query("q", "", terms={"blue": 2.0, "sky": 1.0})]
    for stage in stages:
        assert stage.run(query).to_dict() == {"q": {"d1": 2.5, "d2": 2 / SCALE}}
    with pytest.raises(DataError, match="weight of 'blue' is out of range"):
        LearnedSparse.of_vectors([batches[0]._replace(weights=np.array([-0.5, 1.0]))])


def test_the_session_s_policy_holds_for_an_index_that_is_there(folder, tmp_path):
    long = Corpus.of([*DOCUMENTS, Document("d5", "sea " * 100)])
    options = {"offline": True, "device": "cpu", "cache": tmp_path}
    LearnedSparse.for_corpus(long, Session(**options), model=str(folder))
    with pytest.raises(DataError, match="longer than the model reads"):
        LearnedSparse.for_corpus(long, Session(**options, on_truncate="error"), model=str(folder))


def test_queries_are_never_pruned_and_of_the_documents_model(folder, corpus, tmp_path_factory):
    session = Session(offline=True, device="cpu")
    pruned = LearnedSparse.of(corpus, SparseEncoder(str(folder), top_terms=2), session=session)
    built = LearnedSparse.for_corpus(corpus, session, model=str(folder), top_terms=2)
    assert pruned.search("why is the sky blue").scores == built.search("why is the sky blue").scores
    other = SparseEncoder(str(tiny_splade(tmp_path_factory.mktemp("other"), seed=2, two_logs=True)))
    with pytest.raises(UsageError, match="another model"):
        LearnedSparse(pruned.index, queries=other)


def test_stored_queries_can_be_warmed_up_and_scales_are_checked():
    stage = LearnedSparse.of_terms({"d1": {"sky": 1.0}})
    stage.warm_up()
    with pytest.raises(UsageError, match="scale"):
        LearnedSparse.of_terms({"d1": {"sky": 1.0}}, scale=0)
    with pytest.raises(UsageError, match="prune_ratio"):
        SparseEncoder("naver/splade-v3", prune_ratio=1.0)


@pytest.mark.slow
def test_an_experiment_in_yaml_words(folder, tmp_path):
    experiment = Experiment.from_dict(
        {
            "collection": "mini",
            "measures": ["nDCG@10", "index_bytes"],
            "pipelines": {
                "sparse": [{"learned_sparse": {"model": str(folder), "top_terms": 16}}],
                "german": [{"bm25": {"analyzer": "german", "variant": "bm25+"}}],
            },
            "output": str(tmp_path / "out"),
        }
    )
    result = experiment.run(experiment.session(cache=tmp_path / "cache", offline=True))
    assert not result.failures
    (cost,) = result.outcomes["sparse"].ledger.costs
    assert cost.model == str(folder) == experiment.plan().stages[0].model
    assert result.index_ledgers()["learned_sparse"].counts() == {"truncated": 1}


def test_impacts_of_usual_weights_fit_one_byte():
    assert module.SCALE * 3.98 < 255


class TestLearnedSparse(StageConformance):
    own_process = False

    def make_stage(self):
        held = {"d1": {"why": 1.0, "sky": 2.0, "blue": 0.5}, "d2": {"moon": 1.0, "blue": 0.25}, "d3": {"a": 1.0}}
        return LearnedSparse.of_terms(held, queries=InferenceFreeEncoder(self.folder), k=100)

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory):
        self.folder = tmp_path_factory.mktemp("free")
        tiny_tokenizer(self.folder, max_length=8)
        (self.folder / "idf.json").write_text(json.dumps({"sky": 2.0, "blue": 1.0}))

    def make_run(self):
        return Run.start({"q1": "why blue", "q2": "the moon is blue"})
