"""ColBERT-PRF: by hand over made-up vectors, and over a small ColBERT with its tokenizer."""

import math
from collections import Counter

import numpy as np
import pytest

from rankloom import Document, Query, Run, Session
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, ConfigError, DataError, UsageError
from rankloom.prf import ColBERTPRF
from rankloom.prf.token_vector import likely_tokens
from rankloom.rerank import StoredTokenVectors
from rankloom.retrieval import MultiVector
from rankloom.sources import TokenSource
from rankloom.stage import Retriever
from rankloom.testing import StageConformance
from rankloom.token_encoder import TokensEncoded
from rankloom.token_vectors import TokenVectors, maxsim
from tests.prf.fakes import FakeVectors
from tests.tiny_models import tiny_colbert

SESSION = Session(offline=True, device="cpu")
# two vectors of `sky` that lie close together, one of `sea` far away; `the` is in every document
DOCUMENTS = {
    "d1": [("the", (0, 0, 1)), ("sky", (1, 0, 0)), ("sky", (1, 0.5, 0))],
    "d2": [("the", (0, 0, 1)), ("sea", (0, 4, 0))],
    "d3": [("the", (0, 0, 1)), ("sea", (0, 4, 1))],
    "d4": [("the", (0, 0, 1))],
    "d5": [],
}
IDF = {"the": math.log(6 / 5), "sky": math.log(6 / 2), "sea": math.log(6 / 3)}


class FakeTokens(Retriever, TokenSource):
    """Token vectors by document id; a query has one vector."""

    name = "fake_tokens"
    accepts = frozenset({"vectors"})
    space = "three"
    model_name = "tokens"

    def __init__(self, *, tokens=DOCUMENTS, k=10):
        self.tokens, self.k = tokens, k

    def __call__(self, run):
        raise NotImplementedError

    def encode_queries(self, queries, session):  # noqa: ARG002
        rows = [query.vectors.get(self.space, np.ones((1, 3), dtype=np.float32)) for query in queries]
        none = np.zeros(len(queries), dtype=np.int64)
        return TokensEncoded(TokenVectors.of(rows, 3), none, none, int(len(queries) > 0))

    def document_token_vectors(self, doc_ids):
        rows = [
            np.array([vector for _, vector in self.tokens.get(one, [])], dtype=np.float32).reshape(-1, 3)
            for one in doc_ids
        ]
        return TokenVectors.of(rows, 3), np.array([one in self.tokens for one in doc_ids], dtype=np.bool_)

    @property
    def document_count(self):
        return len(self.tokens)

    def document_tokens(self, doc_ids, session):  # noqa: ARG002
        return [[token for token, _ in self.tokens.get(one, [])] for one in doc_ids]

    def token_document_frequencies(self, tokens, session):  # noqa: ARG002
        held = Counter(token for own in self.tokens.values() for token in {token for token, _ in own})
        return np.array([held[token] for token in tokens], dtype=np.int64)


def fed(doc_ids, **parameters):
    run = Run.from_dict({"q": {one: -float(n) for n, one in enumerate(doc_ids)}}, queries={"q": "text"})
    after = ColBERTPRF(retriever=FakeTokens(), **parameters).run(run)
    return after.queries[0].vectors["three"], [(note.kind, note.doc_id) for note in after.ledger.notes]


class TestByHand:
    def test_every_vector_a_cluster(self):
        vectors, notes = fed(["d1"], clusters=5)
        sky = math.log(3)
        expected = [(1, 1, 1), (sky, 0, 0), (sky, sky / 2, 0), (0, 0, IDF["the"])]
        assert vectors == pytest.approx(np.array(expected), abs=1e-6)
        assert notes == []

    def test_means_of_clusters_in_the_order_of_idf(self):
        vectors, _ = fed(["d1", "d2"], docs=2, clusters=3, beta=0.5)
        expected = [
            (1, 1, 1),
            *(0.5 * IDF[token] * np.array(mean) for token, mean in [("sky", (1, 0.25, 0)), ("sea", (0, 4, 0))]),
            (0, 0, 0.5 * IDF["the"]),
        ]
        assert vectors == pytest.approx(np.array(expected), abs=1e-6)

    def test_only_the_heaviest_are_added(self):
        assert len(fed(["d1", "d2"], clusters=3, vectors=1)[0]) == 2

    def test_only_the_best_documents_are_read(self):
        assert fed(["d1", "d2"], docs=1, clusters=5)[0].tolist() == fed(["d1"], clusters=5)[0].tolist()

    def test_the_token_of_most_members_and_of_as_many_the_first(self):
        rows = np.array([(0, 0), (0, 1), (0, 2), (9, 9), (9, 8)], dtype=np.float32)
        means = np.array([(0, 1), (9, 8.5)], dtype=np.float32)
        assert likely_tokens(rows, ["b", "a", "b", "d", "c"], means) == ["b", "c"]

    def test_the_length_of_a_vector_is_its_weight(self):
        documents = TokenVectors.of([np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)], 3)
        own, added = np.float32([[1, 0, 0]]), np.float32([[0, 1, 2]])
        weighted = maxsim(own, documents) + 2.5 * maxsim(added, documents)
        assert maxsim(np.concatenate([own, np.float32(2.5) * added]), documents) == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize(
    ("doc_ids", "parameters", "notes"),
    [
        ([], {}, [("no_feedback", "")]),
        (["x"], {}, [("unread_document", "x"), ("no_feedback", "")]),
        (["d5"], {}, [("empty_document", "d5"), ("no_feedback", "")]),
        (["d1"], {"beta": 0}, [("no_feedback", "")]),
    ],
)
def test_without_feedback_the_query_stays_and_is_noted(doc_ids, parameters, notes):
    vectors, said = fed(doc_ids, **parameters)
    assert vectors.tolist() == [[1, 1, 1]]
    assert said == notes


def test_vectors_without_their_tokens_are_an_error():
    class Changed(FakeTokens):
        def document_tokens(self, doc_ids, session):
            return [own[1:] for own in super().document_tokens(doc_ids, session)]

    run = Run.from_dict({"q": {"d1": 1.0}}, queries={"q": "text"})
    with pytest.raises(DataError, match="d1 has 3 vectors and 2 tokens"):
        ColBERTPRF(retriever=Changed()).run(run)


class TestComposition:
    def test_refuses_one_vector_a_document(self):
        with pytest.raises(CompositionError, match=r"colbert_prf.*fake_vectors.*TokenSource"):
            FakeVectors(vectors={}) >> ColBERTPRF() >> FakeVectors(vectors={})

    def test_refused_in_yaml_before_an_index_is_built(self):
        with pytest.raises(ConfigError, match="can not read"):
            PipelineBuilder({}).check(["bm25", {"colbert_prf": {"then": "rerank"}}, "stored_vectors"], at=())

    def test_yaml(self):
        model = {"model": "anything"}
        for after in ({"multi_vector": model}, {"stored_token_vectors": model}):
            then = "rerank" if "stored_token_vectors" in after else "retrieve"
            PipelineBuilder({}).check(["bm25", {"colbert_prf": {"then": then}}, after], at=())

    @pytest.mark.parametrize("wrong", [{"docs": 0}, {"clusters": 0}, {"vectors": 0}, {"beta": -1}, {"then": "both"}])
    def test_parameters(self, wrong):
        with pytest.raises(UsageError, match="colbert_prf"):
            ColBERTPRF(**wrong)


CORPUS = Corpus.of(
    [
        Document("d1", "the sky, the blue sky!"),
        Document("d2", "the sea is blue"),
        Document("d3", "why is the sea"),
        Document("d4", "a cloud"),
    ]
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    model = tiny_colbert(tmp_path_factory.mktemp("model"))
    return MultiVector.of(CORPUS, model=str(model), reduction="none", session=SESSION)


class TestOverAModel:
    def test_each_vector_has_its_token(self, index):
        tokens = index.document_tokens([*CORPUS.ids, "x"], SESSION)
        assert [len(own) for own in tokens] == [*index.document_token_vectors(list(CORPUS.ids))[0].lengths.tolist(), 0]
        assert "," not in tokens[0]
        assert "!" not in tokens[0]
        assert [token for token in tokens[1] if not token.startswith("[")] == ["the", "sea", "is", "blue"]

    def test_frequencies_by_hand(self, index):
        tokens = index.document_tokens(list(CORPUS.ids), SESSION)
        counted = [sum(one in own for own in tokens) for one in ("the", "sea", "[CLS]", "unknown")]
        assert index.token_document_frequencies(["the", "sea", "[CLS]", "unknown"], SESSION).tolist() == counted

    def test_retrieves_and_reranks_alike(self, index):
        retrieved = (index >> ColBERTPRF(docs=2, clusters=4) >> index).run({"q": "blue sky"}, session=SESSION)
        reranked = (index >> ColBERTPRF(docs=2, clusters=4, then="rerank") >> StoredTokenVectors(index)).run(
            {"q": "blue sky"}, session=SESSION
        )
        assert reranked["q"].doc_ids == retrieved["q"].doc_ids
        assert reranked["q"].scores == pytest.approx(retrieved["q"].scores, rel=1e-4)
        plain = index.run({"q": "blue sky"}, session=SESSION)
        assert retrieved["q"].scores[0] > plain["q"].scores[0]

    def test_means_of_tokens_have_no_token(self, index):
        reduced = MultiVector.of(CORPUS, model=index.index.encoder.model, reduction="C2x2", session=SESSION)
        with pytest.raises(UsageError, match="stands for several tokens"):
            (reduced >> ColBERTPRF() >> reduced).run({"q": "sky"}, session=SESSION)


class TestContract(StageConformance):
    def make_stage(self):
        return ColBERTPRF(docs=2, clusters=3, vectors=2, retriever=FakeTokens())

    def make_run(self):
        scores = {"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d3": 2.0, "x": 1.0}, "q3": {"d5": 1.0}}
        queries = [Query(one, "text") for one in scores]
        return Run.from_dict(scores, queries=queries)
