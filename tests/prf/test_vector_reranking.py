"""Vector feedback for reranking: the ranking stays, and a reranker by stored vectors scores it with the new ones."""

import numpy as np
import pytest

from rankloom import Document, Query, Run, Session, interpolate
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, ConfigError, UsageError
from rankloom.pipeline import Pipeline, Top
from rankloom.prf import VectorPRF
from rankloom.rerank import BiEncoder, StoredTokenVectors, StoredVectors
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors

VECTORS = {"d1": (1.0, 0.0, 0.0), "d2": (0.0, 2.0, 0.0), "d3": (0.0, 0.0, 4.0), "d4": (2.0, 2.0, 2.0)}
DENSE = FakeVectors(vectors=VECTORS)
TERMS = FakeTerms(texts={"d1": "b a", "d2": "b b b", "d3": "b b c", "d4": "x"})
CORPUS = Corpus.of(
    [
        Document("d1", "Tides follow the moon, which pulls the sea."),
        Document("d2", "The moon has no air."),
        Document("d3", "Bread needs yeast."),
    ]
)
OFFLINE = Session(offline=True, device="cpu")


def by_hand(text, found, docs):
    """Scores of the documents found, by the mean of the query's vector and those of the best documents."""
    vectors = [np.array([text.count(letter) for letter in "abc"]), *(np.array(VECTORS[one]) for one in found[:docs])]
    moved = np.mean(vectors, axis=0)
    return {one: pytest.approx(float(moved @ np.array(VECTORS[one]))) for one in found}


class TestComposition:
    def test_what_was_found_is_scored_by_the_moved_vector(self):
        pipeline = TERMS >> VectorPRF(docs=2, then="rerank") >> StoredVectors(DENSE)
        after = pipeline.run({"q1": "b", "q2": "c b"})
        found = TERMS.run({"q1": "b", "q2": "c b"})
        assert after.to_dict() == {
            "q1": by_hand("b", found["q1"].doc_ids, 2),
            "q2": by_hand("c b", found["q2"].doc_ids, 2),
        }
        assert not any(query.vectors for query in after.queries)

    def test_feedback_reads_from_the_index_of_the_reranker(self):
        pipeline = TERMS >> VectorPRF(then="rerank") >> StoredVectors(DENSE)
        assert pipeline.stages[1].retriever is DENSE

    def test_another_index_can_be_named(self):
        other = FakeVectors(vectors={"d2": (9.0, 0.0, 0.0)})
        pipeline = TERMS >> VectorPRF(docs=1, then="rerank", retriever=other) >> StoredVectors(DENSE)
        assert pipeline.run({"q": "b"}).to_dict()["q"]["d1"] == 4.5  # half of (0, 1, 0) and of (9, 0, 0), times d1

    def test_a_cut_may_stand_between(self):
        pipeline = TERMS >> VectorPRF(docs=2, then="rerank", retriever=DENSE) >> Top(1) >> StoredVectors(DENSE)
        assert pipeline.run({"q": "b"})["q"].doc_ids == ["d2"]

    def test_vectors_without_a_text_are_compared(self):
        run = Run.from_dict({"q": {"d1": 1.0, "d2": 0.5}}, queries=[Query("q", "", vectors={"letters": np.ones(3)})])
        assert StoredVectors(DENSE).run(run).to_dict() == {"q": {"d2": 2.0, "d1": 1.0}}

    def test_interpolated_with_the_first_ranking(self):
        before = TERMS >> VectorPRF(docs=2, then="rerank", retriever=DENSE)
        both = (before >> interpolate(StoredVectors(DENSE), Top(10))).run({"q": "b"}).to_dict()["q"]
        first, second = TERMS.run({"q": "b"}).to_dict()["q"], (before >> StoredVectors(DENSE)).run({"q": "b"})
        expected = {one: pytest.approx((score + second.to_dict()["q"][one]) / 2) for one, score in first.items()}
        assert both == expected


class TestRefused:
    @pytest.mark.parametrize(
        ("compose", "message"),
        [
            (lambda: TERMS >> VectorPRF(then="rerank", retriever=DENSE) >> BiEncoder(), "can not read the vectors"),
            (lambda: TERMS >> VectorPRF(then="rerank") >> BiEncoder(), "writes queries that bi_encoder can not read"),
            (lambda: TERMS >> VectorPRF(then="rerank") >> StoredTokenVectors(), "writes queries that stored_token_vec"),
            (lambda: TERMS >> VectorPRF() >> StoredVectors(DENSE), r"does not leave.*then='rerank'"),
            (lambda: TERMS >> VectorPRF(then="rerank") >> DENSE, r"throw away.*let the feedback be then='retrieve'"),
            (
                lambda: Pipeline([interpolate(TERMS, TERMS >> VectorPRF(then="rerank", retriever=DENSE))]),
                "ends with rewritten queries that nothing reads",
            ),
        ],
    )
    def test_what_would_ignore_the_new_vectors(self, compose, message):
        with pytest.raises(CompositionError, match=message):
            compose()

    def test_a_search_whose_new_vectors_nothing_reads(self):
        with pytest.raises(CompositionError, match="rewritten queries that nothing reads"):
            (TERMS >> VectorPRF(then="rerank", retriever=DENSE)).search("b")

    def test_an_unknown_word(self):
        with pytest.raises(UsageError, match=r"then.*retrieve"):
            VectorPRF(then="score")


class TestYaml:
    def test_checked_and_built(self):
        spec = [{"bm25": {"k": 3}}, {"vector_prf": {"docs": 1, "then": "rerank"}}, "stored_vectors"]
        builder = PipelineBuilder({})
        builder.check(spec, at=())
        pipeline = builder.build(spec, corpus=CORPUS, session=OFFLINE)
        assert pipeline.stages[1].retriever is pipeline.stages[2].retriever
        hits = pipeline.run({"q": "the moon and the sea"}, session=OFFLINE)["q"]
        assert hits.doc_ids[0] == "d1"
        assert (
            hits[0].score
            > StoredVectors(pipeline.stages[1].retriever)
            .run(pipeline.stages[0].run({"q": "the moon and the sea"}), session=OFFLINE)["q"][0]
            .score
        )  # the query has moved towards its best document

    @pytest.mark.parametrize(
        ("after", "message"),
        [
            (["stored_token_vectors"], "can not read"),
            (["bi_encoder"], "can not read"),
            ([], "nothing reads"),
            (["dense"], "throw away"),
        ],
    )
    def test_problems_are_found_before_an_index_is_built(self, after, message):
        word = {after[0]: {"model": "no such model"}} if after == ["stored_token_vectors"] else None
        spec = ["bm25", {"vector_prf": {"then": "rerank"}}, *([word] if word else after)]
        with pytest.raises(ConfigError, match=message):
            PipelineBuilder({}).check(spec, at=())


class TestContract(StageConformance):
    def make_stage(self):
        return VectorPRF(method="rocchio", docs=2, then="rerank", retriever=DENSE)

    def make_run(self):
        scores = {"q1": {"d1": 4.0, "d2": 3.0, "d3": 2.0}, "q2": {"d2": 2.0, "x": 1.0}, "q3": {}}
        return Run.from_dict(scores, queries={"q1": "aab", "q2": "b", "q3": "c"}, documents=DENSE.documents)
