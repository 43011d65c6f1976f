import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Query, Run, Session
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.prf import RM3, VectorPRF
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors

RETRIEVER = FakeVectors(
    vectors={"d1": (1.0, 0.0, 0.0), "d2": (0.0, 2.0, 0.0), "d3": (0.0, 0.0, 4.0), "d4": (2.0, 2.0, 2.0)}
)
ALL = {"d1": 4.0, "d2": 3.0, "d3": 2.0, "d4": 1.0}


def move(scores, *, text="aab", vectors=None, **parameters):
    """The query's vector (None if it has none) and the notes after feedback over one ranking."""
    run = Run.from_dict({"q": scores}, queries=[Query("q", text, vectors=vectors or {})])
    after = VectorPRF(retriever=RETRIEVER, **parameters).run(run)
    vector = after.queries[0].vectors.get("letters")
    return None if vector is None else vector.tolist(), after.ledger.notes


class TestArithmetic:
    def test_average_counts_the_query_as_one_more(self):
        # a quarter of the query (2, 1, 0), and of d1, d2 and d3
        assert move(ALL)[0] == [0.75, 0.75, 1.0]

    def test_average_of_fewer_documents_than_asked_for(self):
        assert move({"d1": 1.0})[0] == [1.5, 0.5, 0.0]

    def test_rocchio(self):
        # .4 (2, 1, 0) + .6 mean of d1 and d2
        assert move(ALL, method="rocchio", docs=2)[0] == pytest.approx([0.8 + 0.3, 0.4 + 0.6, 0.0])

    def test_rocchio_with_negatives(self):
        # the query, plus d1, minus half the mean of d3 and d4
        moved, _ = move(ALL, method="rocchio", docs=1, alpha=1, beta=1, gamma=0.5, negatives=2)
        assert moved == pytest.approx([3 - 0.5, 1 - 0.5, -1.5])

    def test_no_document_is_both_best_and_last(self):
        moved, _ = move(ALL, method="rocchio", docs=3, alpha=0, beta=0, gamma=1, negatives=4)
        assert moved == [-2.0, -2.0, -2.0]
        moved, _ = move(ALL, method="rocchio", docs=4, alpha=1, beta=0, gamma=1, negatives=4)
        assert moved == [2.0, 1.0, 0.0]

    def test_rocchio_contains_the_average(self):
        average, _ = move(ALL, docs=3)
        rocchio, _ = move(ALL, docs=3, method="rocchio", alpha=0.25, beta=0.75)
        assert rocchio == pytest.approx(average)

    def test_no_renormalisation(self):
        assert np.linalg.norm(move(ALL)[0]) == pytest.approx(np.sqrt(0.75**2 * 2 + 1))

    def test_a_vector_of_the_query_comes_before_its_text(self):
        assert move({"d1": 1.0}, vectors={"letters": np.float32([3, 0, 0])})[0] == [2.0, 0.0, 0.0]

    def test_other_vectors_stay(self):
        other = np.float32([1, 2])
        run = Run.from_dict({"q": {"d1": 1.0}}, queries=[Query("q", "a", vectors={"other": other})])
        after = VectorPRF(retriever=RETRIEVER).run(run)
        assert after.queries[0].vectors["other"] is other
        assert after.queries[0].vectors["letters"].dtype == np.float32


class TestWithoutFeedback:
    @pytest.mark.parametrize(
        ("scores", "text", "expected", "reasons"),
        [
            ({}, "aab", [2, 1, 0], [("", "no document was found")]),
            ({"d1": 1.0}, " ", None, [("", "the query is empty")]),
            (
                {"x": 1.0},
                "aab",
                [2, 1, 0],
                [("x", "the index does not hold it"), ("", "the index holds none of the documents")],
            ),
        ],
    )
    def test_the_vector_stays_and_is_noted(self, scores, text, expected, reasons):
        vector, notes = move(scores, text=text)
        assert vector == expected
        assert [(note.doc_id, note.detail) for note in notes] == reasons
        assert {(note.stage, note.query_id) for note in notes} == {("vector_prf", "q")}
        kinds = ["unread_document" if doc_id else "no_feedback" for doc_id, _ in reasons]
        assert [note.kind for note in notes] == kinds

    def test_unknown_documents_are_left_out_and_noted(self):
        vector, notes = move({"x": 9.0, "d1": 1.0})
        assert vector == [1.5, 0.5, 0.0]
        assert [(note.kind, note.doc_id) for note in notes] == [("unread_document", "x")]

    def test_unknown_negatives_are_left_out_and_noted(self):
        parameters = {"method": "rocchio", "docs": 1, "gamma": 0.5, "negatives": 1}
        vector, notes = move({"d1": 2.0, "x": 1.0}, **parameters)
        assert vector == pytest.approx([0.8 + 0.6, 0.4, 0.0])
        assert [note.doc_id for note in notes] == ["x"]

    def test_a_blank_query_between_others(self):
        run = Run.from_dict(
            {"q1": {"d1": 1.0}, "q2": {"d1": 1.0}, "q3": {"d2": 1.0}}, queries={"q1": "a", "q2": "", "q3": "b"}
        )
        after = VectorPRF(retriever=RETRIEVER).run(run)
        moved = [query.vectors.get("letters") for query in after.queries]
        assert [None if vector is None else vector.tolist() for vector in moved] == [[1, 0, 0], None, [0, 1.5, 0]]
        assert [note.query_id for note in after.ledger.notes] == ["q2"]


class TestSpending:
    def test_what_the_model_read_is_counted_and_what_it_did_not_is_noted(self):
        brought = Query("q4", "a", vectors={"letters": np.float32([1, 0, 0])})
        queries = [Query("q1", "abc"), Query("q2", "aaaaaaaaaabc"), Query("q3", " "), brought]
        run = Run.from_dict({query.id: {"d1": 1.0} for query in queries}, queries=queries)
        after = VectorPRF(retriever=RETRIEVER).run(run)
        (cost,) = after.ledger.costs
        assert (cost.inputs, cost.calls, cost.tokens, cost.model) == (4, 1, 3 + 10, "letters-10")
        assert [(note.stage, note.kind, note.query_id, note.amount) for note in after.ledger.notes] == [
            ("vector_prf", "truncated", "q2", 2),
            ("vector_prf", "no_feedback", "q3", 1),
        ]

    def test_a_cut_query_is_an_error_where_the_session_says_so(self):
        run = Run.from_dict({"q": {"d1": 1.0}}, queries={"q": "aaaaaaaaaabc"}, session=Session(on_truncate="error"))
        with pytest.raises(DataError, match=r"vector_prf.*longer than the model reads"):
            VectorPRF(retriever=RETRIEVER).run(run)


class TestParameters:
    def test_published_settings_are_the_defaults(self):
        average, rocchio = VectorPRF(), VectorPRF(method="rocchio")
        assert (average.docs, average.alpha, average.beta) == (3, None, None)
        assert (rocchio.docs, rocchio.alpha, rocchio.beta, rocchio.gamma, rocchio.negatives) == (5, 0.4, 0.6, 0, 0)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"method": "mean"},
            {"docs": 0},
            {"alpha": 0.5},
            {"beta": 0.5},
            {"method": "rocchio", "alpha": -1},
            {"method": "rocchio", "alpha": 0, "beta": 0},
            {"method": "rocchio", "beta": float("inf")},
            {"method": "rocchio", "gamma": 0.1},
            {"method": "rocchio", "negatives": 1},
            {"gamma": 0.1, "negatives": 1},
        ],
    )
    def test_refuses_what_would_be_ignored_or_senseless(self, wrong):
        with pytest.raises(UsageError, match="vector_prf"):
            VectorPRF(**wrong)


class TestComposition:
    def test_finds_by_the_moved_vector(self):
        pipeline = RETRIEVER >> VectorPRF(docs=1) >> RETRIEVER
        assert pipeline.stages[1].retriever is RETRIEVER
        assert pipeline.search("c").doc_ids[0] == "d3"
        assert (
            dict(zip(*[getattr(pipeline.search("c"), name) for name in ("doc_ids", "scores")], strict=True))["d3"]
            == 10.0
        )

    def test_refuses_a_retriever_over_terms(self):
        with pytest.raises(CompositionError, match=r"vector_prf.*fake_terms.*VectorSource"):
            RETRIEVER >> VectorPRF() >> FakeTerms(texts={"d1": "a"})

    def test_terms_do_not_reach_a_retriever_over_vectors(self):
        with pytest.raises(CompositionError, match="rm3"):
            RETRIEVER >> RM3(retriever=FakeTerms(texts={"d1": "a"})) >> RETRIEVER

    def test_refuses_to_work_unbound(self):
        with pytest.raises(CompositionError, match="pass retriever="):
            VectorPRF().run(Run.from_dict({"q": {"d1": 1.0}}, queries={"q": "a"}))


class TestAverageContract(StageConformance):
    def make_stage(self):
        return VectorPRF(docs=2, retriever=RETRIEVER)

    def make_run(self):
        scores = {"q1": ALL, "q2": {"d2": 2.0, "x": 1.0}, "q3": {}}
        return Run.from_dict(scores, queries={"q1": "aab", "q2": "b", "q3": "c"}, documents=RETRIEVER.documents)


class TestRocchioContract(TestAverageContract):
    def make_stage(self):
        return VectorPRF(method="rocchio", docs=2, gamma=0.1, negatives=1, retriever=RETRIEVER)


class CountedReads(FakeVectors):
    """Remembers what it was asked for."""

    def document_vectors(self, doc_ids):
        self.__dict__.setdefault("asked", []).append(list(doc_ids))
        return super().document_vectors(doc_ids)


class TestManyQueries:
    def test_documents_are_read_once_and_together(self):
        retriever = CountedReads(vectors=RETRIEVER.vectors)
        run = Run.from_dict({f"q{n}": ALL for n in range(9)}, queries={f"q{n}": "a" for n in range(9)})
        VectorPRF(docs=2, retriever=retriever).run(run)
        assert retriever.asked == [["d1", "d2"]]

    @given(st.data())
    def test_as_one_query_after_the_other_by_hand(self, data):
        found = data.draw(
            st.lists(st.lists(st.sampled_from(["d1", "d2", "d3", "d4", "x", "y"]), unique=True), min_size=1, max_size=5)
        )
        docs, negatives = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
        together = data.draw(st.integers(1, 20))
        scores = {f"q{n}": {one: -float(place) for place, one in enumerate(hits)} for n, hits in enumerate(found)}
        run = Run.from_dict(scores, queries=dict.fromkeys(scores, "ab"))
        stage = VectorPRF(
            docs=docs, method="rocchio", alpha=0.5, beta=1, gamma=0.25, negatives=negatives, retriever=RETRIEVER
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rankloom.prf.vector._TOGETHER", together)
            after = stage.run(run)
        for query, hits in zip(after.queries, found, strict=True):
            best, last = hits[:docs], hits[docs:][-negatives:]
            held = [[RETRIEVER.vectors[one] for one in some if one in RETRIEVER.vectors] for some in (best, last)]
            expected = np.array([1.0, 1.0, 0.0])
            if held[0]:
                expected = 0.5 * expected + np.mean(held[0], axis=0)
                expected -= 0.25 * np.mean(held[1], axis=0) if held[1] else 0
            assert query.vectors["letters"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)

    def test_duplicates_count_each(self):
        twins = FakeVectors(vectors={"d1": (1.0, 0.0, 0.0), "d2": (1.0, 0.0, 0.0)})
        run = Run.from_dict({"q": {"d1": 2.0, "d2": 1.0}}, queries={"q": "b"})
        moved = VectorPRF(retriever=twins).run(run).queries[0].vectors["letters"]
        assert moved.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
