import math

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import CompositionError, ConfigError, UsageError
from rankloom.eval.measures import evaluate, parse_measure
from rankloom.run import Run

NAMES = [
    "nDCG@10",
    "nDCG",
    "AP",
    "RR",
    "RR@3",
    "P@5",
    "R@100",
    "Success@1",
    "Rprec",
    "P(rel=2)@3",
    "Judged@10",
    "Bpref",
]
DOCS = st.sampled_from([f"d{n}" for n in range(9)])
QRELS = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]), st.dictionaries(DOCS, st.integers(0, 3), min_size=1), min_size=1
)
# Few different scores: most hits are tied.
SCORED = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3", "unjudged"]), st.dictionaries(DOCS, st.sampled_from([0.0, 1.0, 1e-3, -5.0]))
)


@given(SCORED, QRELS)
@settings(deadline=None, max_examples=80)
def test_values_are_those_of_ir_measures_for_our_order(
    scored: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]
) -> None:
    run = Run.from_dict(scored)
    ranked = {
        query_id: {doc_id: -float(place) for place, doc_id in enumerate(hits.doc_ids)}
        for query_id, hits in run.items()
        if hits and query_id in qrels
    }
    measures = [ir_measures.parse_measure(name) for name in NAMES]
    wanted = {(str(m.measure), m.query_id): m.value for m in ir_measures.iter_calc(measures, qrels, ranked)}
    found = evaluate(run, qrels, NAMES)
    for name in NAMES:
        assert list(found.per_query[name]) == list(qrels)
        for query_id, value in found.per_query[name].items():
            assert value == pytest.approx(wanted[found.exact[name], query_id])
        assert found.means[name] == pytest.approx(sum(found.per_query[name].values()) / len(qrels))
    assert set(found.missing) == {query_id for query_id in qrels if not scored.get(query_id)}
    assert set(found.unjudged_queries) == set(scored) - set(qrels)
    assert [note.query_id for note in found.notes] == list(found.missing)


def test_values_by_hand() -> None:
    run = Run.from_dict({"q1": {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.5}})
    qrels = {"q1": {"b": 3, "d": 1, "e": 1}, "q2": {"a": 1}}
    found = evaluate(run, qrels, ["nDCG@10", "AP", "RR", "P@2", "R@3"])
    gain = 3 / math.log2(3) + 1 / math.log2(5)
    ideal = 3 + 1 / math.log2(3) + 1 / math.log2(4)
    wanted = {"nDCG@10": gain / ideal, "AP": (1 / 2 + 2 / 4) / 3, "RR": 1 / 2, "P@2": 1 / 2, "R@3": 1 / 3}
    for name, value in wanted.items():
        assert found.per_query[name] == {"q1": pytest.approx(value), "q2": 0.0}
        assert found.means[name] == pytest.approx(value / 2)
    assert found.missing == ("q2",)
    assert found.notes[0].kind == "missing_query"


def test_ties_are_ours_and_not_the_evaluators() -> None:
    scored = {"q": {"a": 1.0, "m": 1.0, "z": 1.0}}
    naive = pytrec_eval.RelevanceEvaluator({"q": {"a": 1}}, {"recip_rank"}).evaluate(scored)
    assert naive["q"]["recip_rank"] == pytest.approx(1 / 3)
    assert evaluate(Run.from_dict(scored), {"q": {"a": 1}}, ["RR", "RR@10"]).means == {"RR": 1.0, "RR@10": 1.0}


@pytest.mark.parametrize("score", [0.0, 1e-38, 1.0, 1e30, -7.25])
def test_long_ties_hold_at_any_size_of_score(score: float) -> None:
    doc_ids = [f"{n:04}" for n in range(1000)]
    run = Run.from_columns(["q"] * 1000, doc_ids, np.full(1000, score))
    for rank in (1, 2, 500, 1000):
        assert evaluate(run, {"q": {doc_ids[rank - 1]: 1}}, ["RR"]).means["RR"] == pytest.approx(1 / rank)


def test_self_hits_and_excluded_documents_go_before_the_cut() -> None:
    run = Run.from_dict({"q1": {"q1": 9.0, "x": 8.0, "good": 7.0}, "q2": {"q1": 1.0}, "q3": {"q3": 1.0}})
    qrels = {"q1": {"good": 1}, "q2": {"q1": 1}, "q3": {"good": 1}}
    assert evaluate(run, qrels, ["P@1"]).per_query["P@1"] == {"q1": 0.0, "q2": 1.0, "q3": 0.0}
    found = evaluate(run, qrels, ["P@1"], drop_self_hits=True, excluded={"q1": {"x", "unknown"}})
    assert found.per_query["P@1"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}
    assert found.removed_hits == 3
    assert found.missing == ()  # q3 was answered, if only with itself


def test_the_relevance_level_goes_to_binary_measures_that_name_none() -> None:
    run = Run.from_dict({"q": {"a": 3.0, "b": 2.0}})
    qrels = {"q": {"a": 1, "b": 2}}
    found = evaluate(run, qrels, ["RR", "RR(rel=1)", "nDCG@10", "R@1", "NumRet"], relevance_level=2)
    assert found.exact == {
        "RR": "RR(rel=2)",
        "RR(rel=1)": "RR",
        "nDCG@10": "nDCG@10",
        "R@1": "R(rel=2)@1",
        "NumRet": "NumRet",
    }
    assert found.means["RR"] == 0.5
    assert found.means["RR(rel=1)"] == 1.0
    assert found.means["R@1"] == 0.0
    assert found.means["NumRet"] == 2.0


def test_queries_that_nothing_answers_count_and_are_named() -> None:
    run = Run.from_dict({"q1": {"a": 1.0}, "q2": {"a": 1.0}})
    found = evaluate(run, {"q1": {"a": 1}, "q2": {"a": 0}}, ["RR"])
    assert (found.means["RR"], found.unanswerable) == (0.5, ("q2",))
    assert evaluate(run, {"q1": {"a": 1}}, ["nDCG@10"], relevance_level=2).unanswerable == ("q1",)


def test_counts_are_summed() -> None:
    run = Run.from_dict({"q1": {"a": 3.0, "b": 2.0}, "q2": {"a": 1.0}})
    assert evaluate(run, {"q1": {"a": 1}, "q2": {"b": 1}}, ["NumRet"]).means["NumRet"] == 3.0


def test_many_queries_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.from_dict({f"q{n}": {"a": 1.0, "b": 2.0} for n in range(10)})
    qrels = {f"q{n}": {"a": 1} for n in reversed(range(10))}
    names = ["RR", "Judged@1", "Bpref"]  # the first is computed on columns, the others by ir-measures
    whole = evaluate(run, qrels, names)
    monkeypatch.setattr("rankloom.eval.measures._QUERIES_AT_A_TIME", 3)
    assert evaluate(run, qrels, names) == whole
    assert list(whole.per_query["RR"]) == [f"q{n}" for n in reversed(range(10))]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nDGC@10", "'nDCG@10'"),
        ("ndcg@10", "'nDCG@10'"),
        ("map", "'MAP'"),
        ("nDCG@", "nDCG@"),
        ("P", "cutoff"),
        ("nDCG(rle=2)@10", "rle"),
        ("nDCG@ten", "ten"),
        ("nDCG@0", "below 1"),
        ("P(rel=2)@0", "below 1"),
        ("alpha_nDCG@10", "nothing installed"),
        ("", "malformed"),
    ],
)
def test_unknown_measures_name_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        parse_measure(name)


def test_what_can_not_be_measured() -> None:
    with pytest.raises(CompositionError):
        evaluate(Run.start("q"), {"q1": {"a": 1}}, ["RR"])
    for qrels in ({}, {"q": {}}):
        with pytest.raises(UsageError, match="no judgements"):
            evaluate(Run.from_dict({"q": {"a": 1.0}}), qrels, ["RR"])
