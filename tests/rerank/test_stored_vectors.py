"""Reranking by stored vectors against brute force: made-up vectors first, the real model of the extra `mini` last."""

from dataclasses import replace

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Session, Span
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.encoders import Encoded, SentenceEncoder
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.rerank import StoredVectors
from rankloom.retrieval import Dense
from rankloom.sources import VectorSource
from rankloom.stage import Retriever
from rankloom.testing import StageConformance

SESSION = Session(offline=True, device="cpu")
QUERIES = {"q1": "one", "q2": "two", "blank": "  ", "none": "one"}
VECTORS = {f"d{number}": np.random.default_rng(number).standard_normal(5).astype(np.float32) for number in range(8)}
ASKED = {"one": np.arange(5, dtype=np.float32), "two": -np.ones(5, dtype=np.float32)}


class Stored(Retriever, VectorSource):
    """Vectors that were made up; it finds nothing."""

    name = "stored"

    def __init__(self, *, k=1):
        self.k = k

    def __call__(self, run):
        raise NotImplementedError

    @property
    def space(self):
        return "made up"

    def encode_queries(self, queries, session):  # noqa: ARG002
        """As a model that reads four letters, each of them a token, all texts in one call."""
        vectors = np.array([ASKED.get(query.text, ASKED["one"]) for query in queries]).reshape(-1, 5)
        lengths = np.array([len(query.text) for query in queries], dtype=np.int64)
        read = np.minimum(lengths, 4)
        return Encoded(vectors, read, lengths - read, int(len(queries) > 0))

    def document_vectors(self, doc_ids):
        held = np.array([doc_id in VECTORS for doc_id in doc_ids], dtype=bool)
        found = [VECTORS.get(doc_id, np.zeros(5)) for doc_id in doc_ids]
        return np.array(found, dtype=np.float32).reshape(-1, 5), held


def candidates():
    one = {f"d{number}": 9.0 - number for number in range(6)} | {"lost": 7.5, "gone": 4.5}
    scores = {"q1": one, "q2": {"d7": 2.0, "d1": 1.0}, "blank": {"d3": 2.0, "d2": 1.0}, "none": {}}
    return Run.from_dict(scores, queries=QUERIES, session=SESSION)


def product(text, doc_id):
    return np.float32(np.dot(ASKED[text].astype(np.float64), VECTORS[doc_id].astype(np.float64)))


def by_product(text, doc_ids):
    return sorted(doc_ids, key=lambda doc_id: (-product(text, doc_id), doc_id))


def test_hits_are_in_the_order_of_their_inner_products():
    after = StoredVectors(Stored()).run(candidates())
    assert after["q1"].doc_ids == [*by_product("one", [f"d{number}" for number in range(6)]), "lost", "gone"]
    assert after["q1"].scores[:6] == [product("one", doc_id) for doc_id in after["q1"].doc_ids[:6]]
    assert after["q2"].doc_ids == by_product("two", ["d1", "d7"])
    assert after.ranking.kind == ScoreKind.SIMILARITY
    assert after.ranking.scored.tolist() == [6, 2, 0, 0]


def test_what_is_below_the_depth_stays_below():
    after = StoredVectors(Stored(), depth=4).run(candidates())
    assert after["q1"].doc_ids == [*by_product("one", ["d0", "d1", "d2"]), "lost", "d3", "d4", "gone", "d5"]
    assert all(np.diff(after["q1"].scores) < 0)
    assert after.ledger.by_stage()["stored_vectors"].inputs == 5


def test_what_has_no_score_is_noted():
    notes = StoredVectors(Stored(), depth=4).run(candidates()).ledger.notes
    assert [(note.kind, note.query_id, note.doc_id, note.amount) for note in notes] == [
        ("unread_document", "q1", "lost", 1),
        ("not_reranked", "q1", "", 4),
        ("empty_query", "blank", "", 1),
    ]


def test_what_the_model_read_is_counted_and_what_it_did_not_is_noted():
    queries = {"q1": "one", "q2": "two tides"}
    run = Run.from_dict({"q1": {"d1": 1.0}, "q2": {"d2": 1.0}}, queries=queries, session=SESSION)
    after = StoredVectors(Stored()).run(run)
    (cost,) = after.ledger.costs
    assert (cost.inputs, cost.calls, cost.tokens) == (2, 1, 3 + 4)
    assert [(note.stage, note.kind, note.query_id, note.amount) for note in after.ledger.notes] == [
        ("stored_vectors", "truncated", "q2", 5)
    ]
    strict = Session(offline=True, device="cpu", on_truncate="error")
    with pytest.raises(DataError, match=r"stored_vectors.*longer than the model reads"):
        StoredVectors(Stored()).run(replace(run, session=strict))


def test_vectors_are_read_in_blocks(monkeypatch):
    whole = StoredVectors(Stored()).run(candidates())
    sizes = []

    class Watched(Stored):
        def document_vectors(self, doc_ids):
            sizes.append(len(doc_ids))
            return super().document_vectors(doc_ids)

    monkeypatch.setattr("rankloom.rerank.stored_vectors._GATHERED", 3 * 5, raising=False)
    blocks = StoredVectors(Watched()).run(candidates())
    assert max(sizes) == 3
    assert sum(sizes) == 10  # eight hits of the first query, two of the second; no other has both text and hits
    assert blocks.to_dict() == whole.to_dict()
    assert blocks.ledger.notes == whole.ledger.notes


def test_a_blank_query_keeps_its_order():
    assert StoredVectors(Stored()).run(candidates())["blank"].doc_ids == ["d3", "d2"]


def test_spans_move_with_their_hits():
    run = candidates()
    spans = tuple((Span(0, place, 0.5, kept=True, reason=""),) for place in range(len(run.ranking.codes)))
    pruned = run.ranked(replace(run.ranking, spans=spans))
    of_hit = dict(zip(run["q1"].doc_ids, spans[:8], strict=True))
    after = StoredVectors(Stored()).run(pruned)
    assert [hit.spans for hit in after["q1"]] == [of_hit[hit.doc_id] for hit in after["q1"]]


def test_without_vectors_it_can_not_work():
    with pytest.raises(CompositionError, match="no index to read vectors from"):
        StoredVectors().run(candidates())
    with pytest.raises(UsageError, match="depth is out of range"):
        StoredVectors(depth=0)


class TestConformance(StageConformance):
    def make_stage(self):
        return StoredVectors(Stored(), depth=4)

    def make_run(self):
        return candidates()


# --- with a model --------------------------------------------------------------------------------------------

TEXTS = {"sky": "The sky is blue because air scatters light.", "tides": "Tides follow the moon.", "bread": "Yeast."}
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


def test_scores_are_those_of_dense_retrieval():
    dense = Dense.of(CORPUS, session=SESSION)
    run = dense.run({"q1": "why is the sky blue", "q2": "what moves the sea"}, session=SESSION)
    lists = {query: dict.fromkeys(TEXTS, 1.0) for query in run}
    mixed = Run.from_dict(lists, queries=run.queries, documents=CORPUS, session=SESSION)
    assert StoredVectors(dense).run(mixed).to_dict() == run.to_dict()


def test_yaml_names_a_model(tmp_path, monkeypatch):
    SentenceEncoder().load(SESSION)
    texts = []
    encode = SentenceEncoder.encode

    def counting(self, some, **options):
        texts.extend(some)
        return encode(self, some, **options)

    monkeypatch.setattr(SentenceEncoder, "encode", counting)
    session = Session(offline=True, device="cpu", cache=tmp_path)
    steps = ["bm25", {"stored_vectors": {"model": "all-MiniLM-L6-v2", "depth": 2}}]
    for _ in range(2):
        builder = PipelineBuilder({})
        builder.check(steps, at=())
        run = builder.build(steps, corpus=CORPUS, session=session).run("the moon makes the sky blue", session=session)
        assert run["q1"][0].doc_id == "sky"
    assert sorted(texts) == sorted([*TEXTS.values(), "the moon makes the sky blue"])  # nothing twice
