"""Reranking by stored token vectors against loops over made-up vectors."""

from dataclasses import replace

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Session
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.rerank import StoredTokenVectors
from rankloom.retrieval import MultiVector
from rankloom.sources import TokenVectorSource
from rankloom.stage import Retriever
from rankloom.testing import StageConformance
from rankloom.token_encoder import TokenEncoder, TokensEncoded
from rankloom.token_vectors import TokenVectors
from tests.tiny_models import tiny_colbert

SESSION = Session(offline=True, device="cpu")
QUERIES = {"q1": "one", "q2": "two", "blank": "  ", "none": "one", "mark": "?"}


def made_up(seed, rows):
    return np.random.default_rng(seed).standard_normal((rows, 5)).astype(np.float32)


DOCUMENTS = {f"d{number}": made_up(number, number) for number in range(8)}  # d0 has no vectors
ASKED = {"one": made_up(20, 3), "two": made_up(21, 4), "?": made_up(22, 0)}


class Stored(Retriever, TokenVectorSource):
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
        vectors = TokenVectors.of([ASKED.get(query.text, ASKED["one"]) for query in queries], 5)
        lengths = np.array([len(query.text) for query in queries], dtype=np.int64)
        read = np.minimum(lengths, 4)
        return TokensEncoded(vectors, read, lengths - read, int(len(queries) > 0))

    def document_token_vectors(self, doc_ids):
        held = np.array([doc_id in DOCUMENTS for doc_id in doc_ids], dtype=bool)
        return TokenVectors.of([DOCUMENTS.get(doc_id, made_up(0, 0)) for doc_id in doc_ids], 5), held


def candidates():
    one = {f"d{number}": 9.0 - number for number in range(6)} | {"lost": 7.5, "gone": 4.5}
    scores = {"q1": one, "q2": {"d7": 2.0, "d1": 1.0}, "blank": {"d3": 2.0, "d2": 1.0}, "none": {}, "mark": {"d1": 1.0}}
    return Run.from_dict(scores, queries=QUERIES, session=SESSION)


def looped(text, doc_id):
    return sum(max((float(np.dot(one, other)) for other in DOCUMENTS[doc_id]), default=0.0) for one in ASKED[text])


def by_maxsim(text, doc_ids):
    return sorted(doc_ids, key=lambda doc_id: (-looped(text, doc_id), doc_id))


@pytest.mark.parametrize("together", [1, 3, 256])
def test_hits_are_in_the_order_of_maxsim(monkeypatch, together):
    monkeypatch.setattr("rankloom.rerank.stored_token_vectors._TOGETHER", together)
    after = StoredTokenVectors(Stored()).run(candidates())
    assert after["q1"].doc_ids == [*by_maxsim("one", [f"d{number}" for number in range(6)]), "lost", "gone"]
    np.testing.assert_allclose(
        after["q1"].scores[:6], [looped("one", doc_id) for doc_id in after["q1"].doc_ids[:6]], atol=1e-5
    )
    assert after["q2"].doc_ids == by_maxsim("two", ["d1", "d7"])
    assert after["blank"].doc_ids == ["d3", "d2"]
    assert after.ranking.kind == ScoreKind.SIMILARITY
    assert after.ranking.scored.tolist() == [6, 2, 0, 0, 1]


def test_what_has_no_score_or_none_that_says_anything_is_noted():
    after = StoredTokenVectors(Stored(), depth=4).run(candidates())
    assert [(note.kind, note.query_id, note.doc_id, note.amount) for note in after.ledger.notes] == [
        ("unread_document", "q1", "lost", 1),
        ("no_vectors", "q1", "d0", 1),
        ("no_vectors", "mark", "d1", 1),
        ("not_reranked", "q1", "", 4),
        ("empty_query", "blank", "", 1),
    ]
    assert after.to_dict()["q1"]["d0"] == 0
    assert after.ledger.by_stage()["stored_token_vectors"].inputs == 6


def test_what_the_model_did_not_read_is_noted():
    run = Run.from_dict({"q1": {"d1": 1.0}}, queries={"q1": "one more"}, session=SESSION)
    after = StoredTokenVectors(Stored()).run(run)
    assert [(note.kind, note.query_id, note.amount) for note in after.ledger.notes] == [("truncated", "q1", 4)]
    (cost,) = after.ledger.costs
    assert (cost.inputs, cost.calls, cost.tokens) == (1, 1, 4)
    strict = Session(offline=True, device="cpu", on_truncate="error")
    with pytest.raises(DataError, match=r"stored_token_vectors.*longer than the model reads"):
        StoredTokenVectors(Stored()).run(replace(run, session=strict))


def test_without_vectors_it_can_not_work():
    with pytest.raises(CompositionError, match=r"no index to read vectors from.*TokenVectorSource"):
        StoredTokenVectors().run(candidates())
    with pytest.raises(UsageError, match="depth is out of range"):
        StoredTokenVectors(depth=0)


class TestConformance(StageConformance):
    def make_stage(self):
        return StoredTokenVectors(Stored(), depth=4)

    def make_run(self):
        return candidates()


# --- with a model and an index -------------------------------------------------------------------------------

TEXTS = {"sky": "The sky is blue.", "tides": "The moon moves the sea.", "bread": "Yeast!", "empty": ""}
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module")
def colbert(tmp_path_factory):
    return str(tiny_colbert(tmp_path_factory.mktemp("tiny")))


def test_scores_are_those_of_multi_vector_retrieval(colbert):
    retriever = MultiVector.of(CORPUS, model=colbert, reduction="C2x3", storage="int8", session=SESSION)
    run = retriever.run({"q1": "why is the sky blue", "q2": "tide"}, session=SESSION)
    lists = {query: dict.fromkeys(TEXTS, 1.0) for query in run}
    mixed = Run.from_dict(lists, queries=run.queries, documents=CORPUS, session=SESSION)
    after = StoredTokenVectors(retriever).run(mixed)
    for query, scores in run.to_dict().items():
        assert after[query].doc_ids == run[query].doc_ids
        assert after.to_dict()[query] == scores


def test_a_copy_ties_with_its_original_whatever_else_is_scored(colbert):
    """257 hits are scored in two blocks; the copy stands alone in the second."""
    texts = [f"the moon moves {number} seas and the sky is blue" for number in range(256)]
    corpus = Corpus.of([Document(f"d{number:03}", text) for number, text in enumerate([*texts, texts[0]])])
    retriever = MultiVector.of(corpus, model=colbert, session=SESSION)
    found = retriever.run({"q1": "why is the sky blue", "q2": "tide"}, session=SESSION)
    lists = {query: dict.fromkeys(corpus.ids, 1.0) for query in found}
    after = StoredTokenVectors(retriever).run(
        Run.from_dict(lists, queries=found.queries, documents=corpus, session=SESSION)
    )
    for query, scores in after.to_dict().items():
        assert scores["d000"] == scores["d256"]
        assert scores == found.to_dict()[query]


def test_yaml_names_a_model_and_searches_the_index_that_multi_vector_has_built(colbert, tmp_path, monkeypatch):
    texts = []
    encode = TokenEncoder.encode

    def counting(self, some, **options):
        texts.extend(some)
        return encode(self, some, **options)

    monkeypatch.setattr(TokenEncoder, "encode", counting)
    session = Session(offline=True, device="cpu", cache=tmp_path)
    options = {"model": colbert, "reduction": "C2x3", "storage": "int8"}
    for steps in ([{"multi_vector": options}], ["bm25", {"stored_token_vectors": {**options, "depth": 2}}]):
        builder = PipelineBuilder({})
        builder.check(steps, at=())
        pipeline = builder.build(steps, corpus=CORPUS, session=session)
        assert len(pipeline.run("the moon and the sky", session=session)["q1"]) >= 2
    assert sorted(texts) == sorted([*TEXTS.values(), *["the moon and the sky"] * 2])  # no document twice


LAYOUT = {
    "reduction": "C2x3",
    "query_tokens": 9,
    "document_tokens": 7,
    "expand_queries": True,
    "skip_punctuation": False,
    "query_prefix": "why ",
    "document_prefix": "so ",
    "precision": "float32",
}


def test_one_layout_serves_retriever_and_both_rerankers(colbert, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    question = "the moon and the sky"
    options = {"model": colbert, **LAYOUT}
    ranked = {}
    for steps in (
        [{"multi_vector": options}],
        [{"multi_vector": options}, {"stored_token_vectors": options}],
        ["bm25", {"late_interaction": options}],
    ):
        builder = PipelineBuilder({})
        builder.check(steps, at=())
        run = builder.build(steps, corpus=CORPUS, session=session).run(question, session=session)
        ranked[len(ranked)] = run.to_dict()["q1"]
    assert ranked[1] == ranked[0]
    for doc_id, score in ranked[2].items():
        assert score == pytest.approx(ranked[0][doc_id], rel=2e-3)  # float16 there
    assert len(list((tmp_path / "indexes").glob("multi_vector-*"))) == 1


def test_an_index_that_is_only_read_keeps_nothing_but_vectors(colbert, tmp_path, monkeypatch):
    monkeypatch.setattr("rankloom.retrieval.token_index.exact_search.SMALL", 0)
    session = Session(offline=True, device="cpu", cache=tmp_path)
    read = StoredTokenVectors.for_corpus(CORPUS, session, model=colbert).retriever
    held = read.index.contents
    assert (held.search.kind, held.search.nbytes) == ("none", 0)
    assert list((read.index.path / "search").iterdir()) == []
    with pytest.raises(UsageError, match="to be read, not to be searched"):
        read.run("the moon", session=session)
    searched = MultiVector.for_corpus(CORPUS, session, model=colbert)
    assert searched.index.contents.search.nbytes > 0
    for search, found in ((None, searched), ("exact", searched), ("none", read)):
        again = StoredTokenVectors.for_corpus(CORPUS, session, model=colbert, search=search).retriever
        assert again.index.path == found.index.path
    in_memory = StoredTokenVectors.for_corpus(CORPUS, SESSION, model=colbert).retriever
    assert in_memory.index.contents.search.kind == "none"
    with pytest.raises(UsageError, match="unknown search"):
        MultiVector.for_corpus(CORPUS, session, model=colbert, search="none")
    with pytest.raises(UsageError, match="none has no nprobe"):
        MultiVector(read.index, nprobe=3)
