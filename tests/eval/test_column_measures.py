from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError, NotFoundError
from rankloom.eval import sources
from rankloom.eval.collections import load_collection
from rankloom.eval.column_measures import compute, supports
from rankloom.eval.measures import Evaluation, evaluate
from rankloom.eval.relevant_hits import RelevantHits
from rankloom.qrels import Qrels, read_qrels
from rankloom.ranking import Ranking
from rankloom.retrieval.bm25 import BM25
from rankloom.run import Run

NAMES = [
    *("nDCG", "nDCG@1", "nDCG@3", "nDCG@10", "nDCG@1000", "nDCG(dcg='log2')@5", "nDCG(judged_only=False)@2"),
    *("AP", "AP@1", "AP@4", "AP(rel=2)", "AP(rel=3)@10", "RR", "RR@2", "RR@10", "RR(rel=2)", "RR(rel=2)@3"),
    *("R@1", "R@5", "R@100", "R(rel=2)@5", "P@1", "P@5", "P@100", "P(rel=2)@5", "Success@1", "Success(rel=3)@5"),
    *("Rprec", "Rprec(rel=2)", "NumRet", "NumRet(rel=1)", "NumRet(rel=2)", "NumRelRet", "NumQ"),
]
MEASURES = [ir_measures.parse_measure(name) for name in NAMES]
DOCS = [f"d{n}" for n in range(25)]


def data_folder() -> Path | None:
    try:
        return sources.data_folder()
    except NotFoundError:
        return None


needs_data = pytest.mark.skipif(data_folder() is None, reason="RANKLOOM_DATA is not there")


@st.composite
def scored_and_judged(draw: st.DrawFn) -> tuple[dict[str, dict[str, float]], Qrels]:
    """A run full of ties, and judgements in another order of queries; either may know queries the other does not."""
    seed = draw(st.integers(0, 2**32))
    lowest, highest = draw(st.sampled_from([(-2, 4), (0, 1), (1, 1), (0, 3), (-1, 60)]))
    rng = np.random.default_rng(seed)
    run: dict[str, dict[str, float]] = {}
    qrels: Qrels = {}
    for number in range(int(rng.integers(1, 7))):
        found = rng.choice(DOCS, rng.integers(0, len(DOCS)), replace=False)
        if rng.random() < 0.85:
            run[f"q{number}"] = {str(doc): float(rng.integers(-2, 3)) for doc in found}
        judged = rng.choice([*DOCS, "never found", "nor this"], rng.integers(0, 20), replace=False)
        # At least one grade of 0: with only negative ones in a query, pytrec_eval 0.5.11 may never return.
        qrels[f"q{number}"] = {str(doc): int(rng.integers(lowest, highest + 1)) for doc in judged} | {"filler": 0}
    return run, dict(reversed(qrels.items()))


def assert_as_ir_measures(run: Run, qrels: Qrels) -> Evaluation:
    """Values and means of all supported measures equal those of ir-measures for the same order of hits."""
    assert [str(measure) for measure in MEASURES if not supports(measure)] == []
    in_our_order = {
        query_id: {doc_id: -float(place) for place, doc_id in enumerate(hits.doc_ids)}
        for query_id, hits in run.items()
        if hits and query_id in qrels
    }
    wanted = ir_measures.calc(MEASURES, qrels, in_our_order)
    values = {(str(one.measure), one.query_id): one.value for one in wanted.per_query}
    found = evaluate(run, qrels, NAMES)
    for name in NAMES:
        assert list(found.per_query[name]) == list(qrels)
        expected = [values[found.exact[name], query_id] for query_id in qrels]
        assert list(found.per_query[name].values()) == pytest.approx(expected, rel=1e-12, abs=1e-15), name
        mean = wanted.aggregated[ir_measures.parse_measure(name)]
        assert found.means[name] == pytest.approx(mean, rel=1e-12, abs=1e-15), name
    return found


@given(scored_and_judged())
@settings(deadline=None, max_examples=150)
def test_random_runs(both: tuple[dict[str, dict[str, float]], Qrels]) -> None:
    run, qrels = both
    assert_as_ir_measures(Run.from_dict(run), qrels)


@pytest.mark.parametrize("hits_of_a_block", [1, 7, 64])
def test_blocks_change_nothing(hits_of_a_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    run = Run.from_dict({f"q{n}": dict(zip(DOCS, rng.normal(size=n % 25), strict=False)) for n in range(40)})
    qrels = {f"q{n}": {str(doc): int(rng.integers(0, 3)) for doc in rng.choice(DOCS, 9)} for n in range(45)}
    whole = assert_as_ir_measures(run, qrels)
    assert whole.means["nDCG"] > 0.1
    monkeypatch.setattr("rankloom.order._BLOCK_HITS", hits_of_a_block)
    assert evaluate(run, qrels, NAMES) == whole


@needs_data
@pytest.mark.parametrize(
    ("year", "first_stage", "ndcg"),
    [
        ("dl19", "bm25", 0.5058),
        ("dl19", "bm25-rm3", 0.5216),
        ("dl19", "tasb", 0.7210),
        ("dl19", "splade-pp-ed", 0.7308),
        ("dl21", "bm25", 0.4458),
        ("dl21", "splade-pp-ed", 0.6839),
    ],
)
def test_stored_candidates(year: str, first_stage: str, ndcg: float) -> None:
    data = data_folder()
    assert data is not None
    collection = load_collection(f"candidates/{year}/{first_stage}")
    assert collection.candidates is not None
    found = assert_as_ir_measures(collection.candidates, read_qrels(data / "candidates" / year / "qrels.txt"))
    assert round(found.means["nDCG@10"], 4) == ndcg


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["scifact", "nfcorpus"])
def test_real_runs(name: str) -> None:
    collection = load_collection(name)
    run = BM25.of(collection.corpus).run(collection.queries)
    found = assert_as_ir_measures(run, {query_id: dict(grades) for query_id, grades in collection.qrels.items()})
    assert found.means["nDCG@10"] > 0.3


def test_queries_that_nothing_answers_score_0() -> None:
    run = Run.from_dict({"negative": {"a": 2.0, "b": 1.0}, "zero": {"a": 1.0}, "answered": {"a": 1.0}})
    qrels = {"negative": {"a": -1, "b": -2}, "zero": {"a": 0}, "answered": {"a": 1}, "missing": {"a": 1}}
    found = evaluate(run, qrels, ["nDCG", "AP", "RR", "R@1", "P@1", "Success@1", "Rprec", "NumRelRet", "NumQ"])
    for name in ("nDCG", "AP", "RR", "R@1", "P@1", "Success@1", "Rprec", "NumRelRet"):
        assert found.per_query[name] == {"negative": 0.0, "zero": 0.0, "answered": 1.0, "missing": 0.0}
    assert found.per_query["NumQ"] == {"negative": 1.0, "zero": 1.0, "answered": 1.0, "missing": 0.0}


def test_relevant_hits_by_brute_force() -> None:
    rng = np.random.default_rng(11)
    lists = [list(zip(DOCS, rng.normal(size=n), strict=False)) for n in (25, 0, 3, 20)]
    ranking = Ranking.from_lists(lists, stage="test")
    rows = [3, -1, 1, 0]  # judged queries in another order, one of them not in the ranking
    judgements = [{str(doc): int(rng.integers(-1, 4)) for doc in rng.choice([*DOCS, "other"], 12)} for _ in rows]
    found = RelevantHits.match(ranking, np.array(rows), judgements)
    wanted = [
        (number, rank, judgements[number][doc_id])
        for number, row in enumerate(rows)
        if row >= 0
        for rank, doc_id in enumerate(ranking.doc_ids(row), start=1)
        if judgements[number].get(doc_id, 0) > 0
    ]
    assert len(wanted) > 5
    assert list(zip(found.queries.tolist(), found.ranks.tolist(), found.grades.tolist(), strict=True)) == wanted
    assert found.retrieved.tolist() == [20, 0, 0, 25]
    assert found.judged_grades.tolist() == [
        grade for one in judgements for grade in sorted(one.values(), reverse=True) if grade > 0
    ]
    assert found.at_level(2).grades.tolist() == [grade for _, _, grade in wanted if grade >= 2]


def test_values_by_hand() -> None:
    ranking = Ranking.from_lists([[("a", 5.0), ("b", 4.0), ("c", 3.0), ("d", 2.0)]], stage="test")
    relevant = RelevantHits.match(ranking, np.array([0]), [{"b": 3, "d": 1, "never found": 2}])
    wanted = {
        "nDCG@3": (3 / np.log2(3)) / (3 + 2 / np.log2(3) + 1 / 2),
        "AP": (1 / 2 + 2 / 4) / 3,
        "AP(rel=2)@3": (1 / 2) / 2,
        "RR@1": 0.0,
        "RR": 1 / 2,
        "Rprec": 1 / 3,
        "R@4": 2 / 3,
        "P@8": 2 / 8,
    }
    for name, value in wanted.items():
        assert compute(ir_measures.parse_measure(name), relevant).tolist() == [pytest.approx(value)]


@pytest.mark.parametrize(
    "name",
    [
        "nDCG(dcg='exp-log2')@10",
        "nDCG(gains={1:5})@10",
        "nDCG(judged_only=True)@10",
        "AP(judged_only=True)",
        "P(rel=0)@5",
        "RR(rel=0)@5",
        "Bpref",
        "Judged@10",
        "ERR@10",
        "SetP",
    ],
)
def test_what_is_left_to_ir_measures(name: str) -> None:
    assert not supports(ir_measures.parse_measure(name))


def test_both_ways_at_once() -> None:
    run = Run.from_dict({"q": {"a": 3.0, "b": 2.0, "c": 1.0}})
    found = evaluate(run, {"q": {"b": 1, "c": 2}}, ["nDCG@10", "nDCG(gains={1:3,2:0})@10", "Judged@2", "AP"])
    assert found.means == {
        "nDCG@10": pytest.approx((1 / np.log2(3) + 2 / 2) / (2 + 1 / np.log2(3))),
        "nDCG(gains={1:3,2:0})@10": pytest.approx(1 / np.log2(3)),
        "Judged@2": 0.5,
        "AP": pytest.approx((1 / 2 + 2 / 3) / 2),
    }


@pytest.mark.parametrize("grade", [0.5, "1", None, 2**80])
def test_grades_that_are_no_whole_numbers(grade: object) -> None:
    with pytest.raises(DataError, match="whole number"):
        evaluate(Run.from_dict({"q": {"a": 1.0}}), {"q": {"b": 1, "a": grade}}, ["AP"])  # type: ignore[dict-item]
