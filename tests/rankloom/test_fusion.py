"""Fusion against definitions written out in plain Python, one query and one document at a time."""

import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Fuser, Run, ScoreKind, Session, fuse, fuse_runs, interpolate, rrf
from rankloom.corpus import MemoryDocuments
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.fusion import joined_documents
from rankloom.fusion_methods import METHODS, RANK_METHODS
from rankloom.ledger import Note
from rankloom.pool import NORMS, normalise
from rankloom.ranking import Ranking
from tests.rankloom.stages_for_tests import QUERIES, Expand, Lengths, NoTexts, OtherWords, Words, some_documents

SCORES = st.sampled_from([0.0, 1.0, -1.0, 2.0]) | st.floats(-100, 100, width=32)
LIST = st.dictionaries(st.sampled_from("abcdefg"), SCORES, max_size=7)
WEIGHTS = [0.0, 0.25, 0.5, 1.0, 2.0]


@st.composite
def runs_and_weights(draw, min_runs=1, max_runs=4):
    """Runs of overlapping queries, and a weight for each or none."""
    count = draw(st.integers(min_runs, max_runs))
    runs = [draw(st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), LIST, max_size=3)) for _ in range(count)]
    weights = draw(st.none() | st.lists(st.sampled_from(WEIGHTS), min_size=count, max_size=count))
    return runs, weights


# --- the definitions ------------------------------------------------------------------------------------------------


def normalised(hits, norm):
    """One list's scores on a common scale."""
    if not hits or norm == "none":
        return dict(hits)
    values = list(hits.values())
    low, high = min(values), max(values)
    if low == high:
        return dict.fromkeys(hits, 1.0 if norm == "minmax" else 0.0)
    if norm == "minmax":
        return {doc: (score - low) / (high - low) for doc, score in hits.items()}
    if norm == "centred":
        return {doc: (score - (low + high) / 2) / (high - low) for doc, score in hits.items()}
    mean, spread = statistics.fmean(values), statistics.pstdev(values)
    return {doc: (score - mean) / spread for doc, score in hits.items()}


def ranked(hits):
    """Rank from 1, by score descending and id ascending."""
    order = sorted(hits, key=lambda doc: (-hits[doc], doc))
    return {doc: place for place, doc in enumerate(order, start=1)}


#: From the weighted scores of one document in the lists that hold it.
OF_SCORES = {
    "combsum": sum,
    "combmnz": lambda scores: sum(scores) * len(scores),
    "combanz": lambda scores: sum(scores) / len(scores),
    "combmax": max,
    "combmin": min,
    "combmed": statistics.median,
}
#: From the weights and ranks of one document in the lists that hold it, and the constant of RRF.
OF_RANKS = {
    "rrf": lambda places, k: sum(weight / (k + rank) for weight, rank in places),
    "isr": lambda places, _: len(places) * sum(weight / rank**2 for weight, rank in places),
    "log_isr": lambda places, _: math.log(len(places)) * sum(weight / rank**2 for weight, rank in places),
}


def by_definition(method, lists, weights, *, norm="none", missing="zero", rrf_k=60.0):
    """Document -> fused score, for one query."""
    scaled = [normalised(hits, norm) for hits in lists]
    ranks = [ranked(hits) for hits in lists]
    pool = sorted({doc for hits in lists for doc in hits})
    if method in OF_SCORES:
        return {doc: OF_SCORES[method]([w * s for w, s in held(doc, scaled, weights)]) for doc in pool}
    if method in OF_RANKS:
        return {doc: OF_RANKS[method](held(doc, ranks, weights), rrf_k) for doc in pool}
    if method == "borda":
        return {
            doc: sum(w * borda_points(doc, rank, pool) for w, rank in zip(weights, ranks, strict=True)) for doc in pool
        }
    if method == "condorcet":
        return {doc: sum(majority(doc, other, ranks, weights) for other in pool) for doc in pool}
    low = [min(hits.values(), default=0.0) if missing == "minimum" else 0.0 for hits in scaled]
    return {
        doc: sum(w * hits.get(doc, least) for w, hits, least in zip(weights, scaled, low, strict=True))
        for doc in pool
        if missing != "drop" or all(doc in hits for hits in lists if hits)
    }


def held(doc, values, weights):
    """The weight and value of a document in every list that holds it."""
    return [(weight, hits[doc]) for weight, hits in zip(weights, values, strict=True) if doc in hits]


def borda_points(doc, rank, pool):
    """The best of c pooled documents gets c points, the next c - 1; those not ranked share what is left evenly."""
    points = {one: len(pool) - place + 1 for one, place in rank.items()}
    if doc in points:
        return points[doc]
    left = len(pool) * (len(pool) + 1) / 2 - sum(points.values())
    return left / (len(pool) - len(rank))


def majority(one, other, ranks, weights):
    """1 if one document beats another in a weighted majority of the lists, -1 if it is beaten, 0 if neither."""
    below = math.inf
    votes = 0.0
    for rank, weight in zip(ranks, weights, strict=True):
        mine, its = rank.get(one, below), rank.get(other, below)
        votes += weight * ((mine < its) - (its < mine))
    return (votes > 0) - (votes < 0)


# --- every method and norm ------------------------------------------------------------------------------------------


def check(runs, weights, **options):
    made = [Run.from_dict(run) for run in runs]
    fused = fuse_runs(made, weights=weights, **options)
    asked = list(dict.fromkeys(query for run in runs for query in run))
    assert list(fused) == asked
    for query in asked:
        lists = [{doc: float(np.float32(score)) for doc, score in run.get(query, {}).items()} for run in runs]
        expected = by_definition(lists=lists, weights=weights or [1.0] * len(runs), **options)
        hits = fused[query]
        found = dict(zip(hits.doc_ids, hits.scores, strict=True))
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert hits.doc_ids == sorted(found, key=lambda doc: (-found[doc], doc))


@pytest.mark.parametrize(("method", "norm"), [(m, n) for m, n in product(METHODS, NORMS) if m not in RANK_METHODS])
@given(case=runs_and_weights())
@settings(max_examples=25, deadline=None)
def test_score_methods_follow_their_definitions(method, norm, case):
    check(*case, method=method, norm=norm)


@pytest.mark.parametrize("method", sorted(RANK_METHODS))
@given(case=runs_and_weights())
@settings(max_examples=40, deadline=None)
def test_rank_methods_follow_their_definitions(method, case):
    check(*case, method=method)


@pytest.mark.parametrize("missing", ["minimum", "zero", "drop"])
@pytest.mark.parametrize("norm", NORMS)
@given(case=runs_and_weights())
@settings(max_examples=25, deadline=None)
def test_interpolation_treats_missing_documents_as_told(missing, norm, case):
    check(*case, method="interpolate", norm=norm, missing=missing)


@given(case=runs_and_weights(), rrf_k=st.sampled_from([0.0, 1.0, 60.0, 1000.0]))
@settings(max_examples=25, deadline=None)
def test_rrf_takes_any_constant(case, rrf_k):
    check(*case, method="rrf", rrf_k=rrf_k)


def test_more_queries_than_fit_one_block_are_fused_alike():
    rng = np.random.default_rng(1)
    runs = [
        {f"q{n}": {f"d{d}": float(s) for d, s in enumerate(rng.random(700)) if rng.random() < 0.5} for n in range(200)}
        for _ in range(2)
    ]
    assert sum(len(hits) for run in runs for hits in run.values()) > 1 << 17
    check(runs, [0.3, 0.7], method="interpolate", norm="minmax", missing="minimum")


@pytest.mark.parametrize("method", list(METHODS))
def test_ranks_and_order_come_from_float32_scores_and_ids(method):
    """Scores that float32 can not tell apart are ties, and ties go by id."""
    one = Run.from_dict({"q": {"b": 1.0 + 1e-12, "a": 1.0}})
    assert fuse_runs([one], method=method)["q"].doc_ids == ["a", "b"]


# --- edges of the definitions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "value"), [("none", 3.0), ("minmax", 1.0), ("zscore", 0.0), ("centred", 0.0)])
@pytest.mark.parametrize("size", [1, 2])
def test_a_constant_list(norm, value, size):
    ranking = Ranking.from_lists([[(f"d{n}", 3.0) for n in range(size)]], stage="test")
    assert normalise(ranking, norm).tolist() == [value] * size


@pytest.mark.parametrize("norm", NORMS)
def test_nearly_constant_and_huge_lists_stay_finite(norm):
    smallest, largest = float(np.finfo(np.float32).smallest_subnormal), float(np.finfo(np.float32).max)
    ranking = Ranking.from_lists(
        [[("a", smallest), ("b", 0.0)], [("a", largest), ("b", -largest)], [("a", 1 + 2e-7), ("b", 1.0)]], stage="test"
    )
    assert np.isfinite(normalise(ranking, norm)).all()


@pytest.mark.parametrize("method", list(METHODS))
def test_empty_lists_and_empty_runs(method):
    empty, some = Run.from_dict({"q": {}}), Run.from_dict({"q": {"a": 1.0}})
    assert fuse_runs([empty, empty], method=method).to_dict() == {"q": {}}
    assert fuse_runs([empty, some], method=method)["q"].doc_ids == ["a"]
    assert fuse_runs([Run.from_dict({}), some], method=method)["q"].doc_ids == ["a"]
    assert fuse_runs([Run.from_dict({})], method=method).to_dict() == {}


def test_dropping_keeps_what_every_filled_list_holds():
    runs = [Run.from_dict({"q": hits}) for hits in ({"a": 1.0, "b": 2.0}, {"b": 1.0, "c": 1.0}, {})]
    assert fuse_runs(runs, method="interpolate", missing="drop")["q"].doc_ids == ["b"]


# --- the functions --------------------------------------------------------------------------------------------------

ONE, TWO = {"q": {"a": 4.0, "b": 2.0}}, {"q": {"b": 10.0, "c": 0.0}}


class Has(Words):
    """Returns a ranking that it was given."""

    name = "has"
    documents = None

    def __init__(self, scores, *, kind=ScoreKind.SIMILARITY, k=1000):
        self.scores = scores
        self.kind = kind
        self.k = k

    def __call__(self, run):
        return run.ranked(
            Ranking.from_lists([self.scores[q.id].items() for q in run.queries], stage="has", kind=self.kind)
        )


def fused_scores(stage):
    return stage.run({"q": "?"}).to_dict()["q"]


def test_alpha_weighs_the_first_side_unless_told():
    assert fused_scores(interpolate(Has(ONE), Has(TWO), alpha=0.75)) == {"a": 3.0, "b": 4.0, "c": 1.5}
    assert fused_scores(interpolate(Has(ONE), Has(TWO), alpha=0.75, alpha_of="second")) == {
        "a": 1.0,
        "b": 8.0,
        "c": 0.5,
    }


@pytest.mark.parametrize(
    ("alpha", "expected"), [(1.0, {"a": 4.0, "b": 2.0, "c": 2.0}), (0, {"a": 0, "b": 10.0, "c": 0})]
)
def test_alpha_at_its_ends_is_one_side_alone(alpha, expected):
    assert fused_scores(interpolate(Has(ONE), Has(TWO), alpha=alpha)) == expected


def test_interpolation_with_zero_and_drop():
    assert fused_scores(interpolate(Has(ONE), Has(TWO), missing="zero")) == {"a": 2.0, "b": 6.0, "c": 0.0}
    assert fused_scores(interpolate(Has(ONE), Has(TWO), missing="drop")) == {"b": 6.0}


def test_rrf_and_fuse_take_weights():
    found = fused_scores(rrf(Has(ONE), Has(TWO), k=1, weights=[1, 3]))
    assert found == pytest.approx({"a": 1 / 2, "b": 1 / 3 + 3 / 2, "c": 3 / 3})
    assert fused_scores(fuse(Has(ONE), Has(TWO), method="combsum", weights=[1, 0.5])) == {"a": 4.0, "b": 7.0, "c": 0.0}


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), None])
def test_alpha_out_of_range_is_refused(bad):
    with pytest.raises(UsageError, match="alpha"):
        interpolate(Has(ONE), Has(TWO), alpha=bad)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"method": "combsun"}, "combsum"),
        ({"method": "combsum", "norm": "min-max"}, "minmax"),
        ({"method": "interpolate", "missing": "minimun"}, "minimum"),
    ],
)
def test_a_misspelt_option_names_the_nearest(options, word):
    with pytest.raises(UsageError, match=f"did you mean '{word}'"):
        Fuser([Has(ONE)], **options)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")], [float("inf"), 1.0], ["2", 1.0]])
def test_weights_must_be_finite_and_one_for_each_branch(weights):
    with pytest.raises(UsageError, match="weight"):
        fuse(Has(ONE), Has(TWO), method="combsum", weights=weights)


@pytest.mark.parametrize("bad", [-1, float("nan"), "60"])
def test_the_constant_of_rrf_is_a_number_from_zero(bad):
    with pytest.raises(UsageError, match="rrf_k"):
        rrf(Has(ONE), Has(TWO), k=bad)


def test_a_fusion_needs_branches_that_are_stages():
    with pytest.raises(UsageError, match="needs branches"):
        Fuser([])
    with pytest.raises(CompositionError, match="not a stage"):
        Fuser([Has(ONE), "bm25"])
    with pytest.raises(UsageError, match="no runs"):
        fuse_runs([], method="rrf")


# --- scales ---------------------------------------------------------------------------------------------------------


def run_of(kind):
    return Run.from_dict(ONE, kind=kind)


@pytest.mark.parametrize("method", sorted(set(METHODS) - RANK_METHODS))
@pytest.mark.parametrize(
    "kinds", [("similarity", "logit"), ("probability", "logit"), ("rank", "rank"), ("rank", "similarity")]
)
def test_scores_without_a_common_scale_are_not_added(method, kinds):
    runs = [run_of(ScoreKind(kind)) for kind in kinds]
    with pytest.raises(UsageError, match=rf"^{method}: .*common scale.*norm="):
        fuse_runs(runs, method=method)
    for norm in ("minmax", "zscore", "centred"):
        assert fuse_runs(runs, method=method, norm=norm)["q"].doc_ids == ["a", "b"]


@pytest.mark.parametrize("method", sorted(RANK_METHODS))
def test_rank_methods_take_any_scores(method):
    runs = [run_of(kind) for kind in ScoreKind]
    assert fuse_runs(runs, method=method).ranking.kind is ScoreKind.RANK


def test_scores_of_one_kind_are_added():
    assert fuse_runs([run_of(ScoreKind.LOGIT)] * 2, method="combsum").to_dict() == {"q": {"a": 8.0, "b": 4.0}}


def test_a_list_without_hits_has_no_scale_to_clash():
    assert fuse_runs([run_of(ScoreKind.LOGIT), Run.from_dict({"q": {}})], method="combsum").to_dict() == ONE


# --- as a stage -----------------------------------------------------------------------------------------------------


def test_queries_of_all_runs_in_the_order_of_their_first_run():
    runs = [Run.from_dict({"q1": {}, "q2": {}, "q3": {}}), Run.from_dict({"q3": {}, "q0": {}, "q1": {"a": 1.0}})]
    assert fuse_runs(runs, method="rrf").to_dict().keys() == {"q1", "q2", "q3", "q0"}
    assert list(fuse_runs(runs, method="rrf")) == ["q1", "q2", "q3", "q0"]


def test_a_known_text_of_a_query_is_kept():
    without, with_text = Run.from_dict({"q": {"a": 1.0}}), Run.from_dict({"q": {"a": 1.0}}, queries={"q": "sky"})
    assert fuse_runs([without, with_text], method="rrf").queries[0].text == "sky"


def test_runs_that_differ_in_their_cut_or_session_are_not_confused():
    run = Words().run(QUERIES)
    cut = run.top(1)
    assert fuse_runs([run, cut], method="isr").to_dict() != fuse_runs([run, run], method="isr").to_dict()
    seeded = Has({"q": {"b": 1.0}}).run({"q": "?"})
    other = replace(Has({"q": {"a": 1.0}}).run({"q": "?"}, session=Session(seed=1)), session=seeded.session)
    assert set(fuse_runs([seeded, other], method="rrf")["q"].doc_ids) == {"a", "b"}


def test_the_ledgers_of_the_runs_are_kept():
    first, second = Words().run(QUERIES), OtherWords().run(QUERIES)
    fused = fuse_runs([first, second, first.top(1)], method="rrf")
    assert [note.stage for note in fused.ledger.notes] == ["words", "other_words"]
    assert {"words", "other_words"} <= fused.ledger.by_stage().keys()


def test_equal_notes_of_two_branches_both_count():
    class Elsewhere(Words):
        """The same name over another corpus."""

    fused = rrf(Words(), Elsewhere(texts={"x": "sky"})).run({"q": "zebra"})
    assert fused.ledger.of("no_hits") == (Note("words", "no_hits", "q"),) * 2


def test_a_fused_run_keeps_the_queries_it_came_with():
    fused = rrf(Words(), Words() >> Expand() >> Words()).run({"q1": "blue sky"})
    assert fused.queries[0].terms is None
    assert fused.queries[0].text == "blue sky"


def test_texts_are_known_if_every_branch_brings_them():
    assert rrf(Words(), OtherWords()).run({"q": "sky"}).documents is not None
    assert rrf(Words(), NoTexts()).run({"q": "sky"}).documents is None


def test_a_reranker_after_a_fusion_without_texts_is_refused_when_composed():
    with pytest.raises(CompositionError, match=r"^lengths: needs text, which rrf"):
        rrf(Words(), NoTexts()) >> Lengths()


def test_documents_of_two_corpora_are_found_in_either():
    one = MemoryDocuments([Document("a", "first"), Document("b", "shared")])
    two = MemoryDocuments([Document("b", "other"), Document("c", "last")])
    both = joined_documents([one, two])
    assert [document.text for document in both.get(["c", "a", "b"])] == ["last", "first", "shared"]
    with pytest.raises(DataError, match="'zz'"):
        both.get(["a", "zz"])
    assert joined_documents([one, some_documents(), one]).fingerprint() != both.fingerprint()
    assert joined_documents([one, one]) is one
    assert joined_documents([one, None]) is None


def test_a_branch_must_end_with_a_ranking():
    with pytest.raises(CompositionError, match=r"ends without a ranking.*retriever"):
        rrf(Words() >> Expand(), Words()).top(3)


def test_a_fusion_of_rerankers_is_a_part_like_any_other():
    part = rrf(Lengths(depth=1), Lengths(depth=3)).top(2)
    assert len((Words() >> part).search("sky moon sea")) == 2
    with pytest.raises(CompositionError, match="needs ranking"):
        part.run("sky")


# --- ranx -----------------------------------------------------------------------------------------------------------

#: Our name -> ranx's, where both follow one definition. Where they differ:
#: - ranx's `fuse` normalises by min-max unless told not to, even for methods that read ranks.
#: - ranx's min-max makes every score of a constant list 0, ours 1 (as pyserini's does); a zscore is 0 in both.
#: - ranx orders ties by no rule, so ranks, and all that follows from them, agree only without ties.
#: - ranx has no weights but in `wsum`, `mixed` and its trained methods; a document missing from a list counts 0 there,
#:   which is our `interpolate` with `missing="zero"`.
#: - ranx's condorcet is a sort by pairwise majorities that need not be transitive; ours counts them (Copeland).
#: - ranx refuses runs of different queries.
SHARED = {
    "rrf": "rrf",
    "isr": "isr",
    "log_isr": "log_isr",
    "borda": "bordafuse",
    "combsum": "sum",
    "combmnz": "mnz",
    "combanz": "anz",
    "combmax": "max",
    "combmin": "min",
    "combmed": "med",
}


#: ranx in a process of its own, interpreted: to compile what it needs for these few lists takes it a minute.
RANX = """
import json, sys
import ranx
print(json.dumps([
    ranx.fuse([ranx.Run.from_dict(run) for run in runs], norm=norm, method=method, params=params).to_dict()
    for runs, norm, method, params in json.load(sys.stdin)
]))
"""
TWO_LISTS = [{"q": {"a": 3.0, "b": 1.0, "c": 2.5}}, {"q": {"b": 9.0, "d": 4.0, "a": 5.0}}]


def three_runs():
    rng = np.random.default_rng(3)
    for _ in range(3):
        scores = rng.permutation(400).reshape(8, 50) / 100  # no ties
        yield {f"q{n}": {f"d{d}": float(scores[n, d]) for d in rng.permutation(50)[:30]} for n in range(8)}


@pytest.fixture(scope="module")
def by_ranx():
    """What ranx gives: its name of a method -> fused run."""
    pytest.importorskip("ranx")
    asked = [(list(three_runs()), None, method, None) for method in SHARED.values()]
    asked.append((TWO_LISTS, "min-max", "wsum", {"weights": [0.3, 0.7]}))
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps(asked),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip([method for _, _, method, _ in asked], json.loads(done.stdout), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), SHARED.items())
def test_ranx_agrees_where_it_has_the_same_definition(by_ranx, ours, theirs):
    expected = by_ranx[theirs]
    found = fuse_runs([Run.from_dict(run) for run in three_runs()], method=ours).to_dict()
    assert found.keys() == expected.keys()
    for query, hits in found.items():
        assert hits == pytest.approx(expected[query], rel=1e-6)


@pytest.mark.slow
def test_ranx_agrees_on_a_weighted_sum_of_minmax_scores(by_ranx):
    made = [Run.from_dict(run) for run in TWO_LISTS]
    fused = fuse_runs(made, method="interpolate", norm="minmax", weights=[0.3, 0.7])
    assert fused.to_dict()["q"] == pytest.approx(by_ranx["wsum"]["q"], rel=1e-6)


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("rrf", {"norm": "minmax"}),
        ("borda", {"norm": "zscore"}),
        ("combsum", {"missing": "drop"}),
        ("isr", {"rrf_k": 10}),
    ],
)
def test_a_setting_that_a_method_does_not_read_is_refused(method, setting):
    (name,) = setting
    with pytest.raises(UsageError, match=f"{name} has no effect"):
        fuse_runs([Run.from_dict({"q1": {"d1": 1.0}})] * 2, method=method, **setting)
