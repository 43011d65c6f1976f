from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import StageError
from rankloom.order import blocks, check_finite, in_order, sort_within, strictly_decreasing, top_order

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
SPECIAL = [0.0, -0.0, 1.0, -1.0, SMALLEST, -SMALLEST, LARGEST, -LARGEST, 1e-40, -1e-40, 0.1, np.nextafter(1, 2)]
SCORES = st.sampled_from(SPECIAL) | st.floats(width=32, allow_nan=False, allow_infinity=False)
QUERIES = st.lists(st.dictionaries(st.integers(0, 2**31 - 1), SCORES, max_size=12), max_size=6)


def columns(queries):
    offsets = np.cumsum([0, *(len(one) for one in queries)], dtype=np.int64)
    codes = np.array([code for one in queries for code in one], dtype=np.int32)
    scores = np.array([score for one in queries for score in one.values()], dtype=np.float32)
    return offsets, codes, scores


def by_rule(codes, scores):
    """The places of hits by score descending, then code ascending; 0.0 and -0.0 are equal, as in Python."""
    return sorted(range(len(codes)), key=lambda place: (-float(scores[place]), int(codes[place])))


@given(QUERIES)
@settings(deadline=None)
def test_hits_are_ordered_by_score_then_code_within_each_query(queries):
    offsets, codes, scores = columns(queries)
    ordered_codes, ordered_scores = in_order(offsets, codes, scores)
    for start, end in pairwise(offsets):
        places = by_rule(codes[start:end], scores[start:end])
        assert ordered_codes[start:end].tolist() == [int(codes[start + place]) for place in places]
        assert ordered_scores[start:end].tolist() == [float(scores[start + place]) for place in places]


def test_ordering_leaves_its_input_alone():
    offsets, codes, scores = columns([{3: 1.0, 2: 2.0}])
    in_order(offsets, codes, scores)
    assert codes.tolist() == [3, 2]
    assert scores.tolist() == [1.0, 2.0]


def test_ordered_hits_come_back_as_they_are():
    offsets, codes, scores = columns([{5: 2.0, 1: 1.0, 4: 1.0}, {}, {9: 7.0}])
    ordered_codes, ordered_scores = in_order(offsets, codes, scores)
    assert ordered_codes is codes
    assert ordered_scores is scores


def test_a_fall_between_two_queries_is_no_disorder():
    offsets, codes, scores = columns([{5: 1.0}, {1: 9.0}, {}, {0: 3.0}])
    assert in_order(offsets, codes, scores)[0] is codes


def test_zero_and_minus_zero_are_one_score():
    offsets, codes, scores = columns([{2: 0.0, 1: -0.0}])
    assert in_order(offsets, codes, scores)[0].tolist() == [1, 2]


def test_hits_of_many_blocks_are_ordered():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 90_000, 6)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    codes = np.concatenate([rng.permutation(int(count)) for count in counts]).astype(np.int32)
    scores = rng.integers(-5, 5, len(codes)).astype(np.float32)
    ordered_codes, ordered_scores = in_order(offsets, codes, scores)
    query = np.repeat(np.arange(6), counts)
    places = np.lexsort((codes, -scores, query))
    assert (ordered_codes == codes[places]).all()
    assert (ordered_scores == scores[places]).all()


@given(st.lists(st.integers(0, 80_000), max_size=12))
@settings(deadline=None)
def test_blocks_cover_every_query_once(counts):
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    stretches = list(blocks(offsets))
    assert [query for first, last in stretches for query in range(first, last)] == list(range(len(counts)))
    assert all(last - first == 1 or offsets[last] - offsets[first] <= 1 << 17 for first, last in stretches)


def test_sort_within_sorts_each_query_by_itself():
    values = np.array([3, 1, 2, 9, 0], dtype=np.int64)
    sort_within(np.array([0, 3, 3, 5]), values)
    assert values.tolist() == [1, 2, 3, 0, 9]


@given(st.dictionaries(st.integers(0, 2**31 - 1), SCORES, max_size=20), st.integers(0, 25))
@settings(deadline=None)
def test_the_top_is_the_head_of_the_whole_order(hits, k):
    _, codes, scores = columns([hits])
    assert top_order(codes, scores, k).tolist() == by_rule(codes, scores)[:k]


def test_ties_at_the_cut_go_by_code():
    codes = np.array([5, 3, 4, 1, 2], dtype=np.int32)
    assert top_order(codes, np.ones(5, np.float32), 2).tolist() == [3, 4]


@given(st.lists(st.lists(SCORES, max_size=20), max_size=4))
@settings(deadline=None)
def test_scores_become_strictly_decreasing_and_stay_finite(lists):
    lists = [sorted((np.float32(score) for score in one), reverse=True) for one in lists]
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    before = np.array([score for one in lists for score in one], dtype=np.float32)
    after = strictly_decreasing(offsets, before)
    assert after.dtype == np.float32
    assert np.isfinite(after).all()
    for start, end in pairwise(offsets):
        assert (np.diff(after[start:end].astype(np.float64)) < 0).all()


@given(st.lists(SCORES, max_size=30))
@settings(deadline=None)
def test_scores_move_by_the_fewest_steps(scores):
    """One by one from the top: a score moves only if it must, and then to the very next float32."""
    scores = np.array(sorted((np.float32(s) for s in scores if s > -1e38), reverse=True), dtype=np.float32)
    expected = []
    for score in scores:
        highest = np.nextafter(expected[-1], np.float32(-np.inf), dtype=np.float32) if expected else score
        expected.append(min(score, highest))
    after = strictly_decreasing(np.array([0, len(scores)]), scores)
    assert after.tolist() == [float(score) for score in expected]


def test_distinct_scores_do_not_move():
    scores = np.array([3.5, 1.0, 0.0, -1e-40, -2.0], dtype=np.float32)
    assert strictly_decreasing(np.array([0, 5]), scores).tolist() == scores.tolist()


def test_ties_at_zero_step_through_the_denormals():
    after = strictly_decreasing(np.array([0, 3]), np.array([0.0, -0.0, 0.0], dtype=np.float32))
    assert after.tolist() == [0.0, -SMALLEST, -2 * SMALLEST]


def test_ties_at_the_lowest_float_move_up():
    after = strictly_decreasing(np.array([0, 3]), np.full(3, -LARGEST, dtype=np.float32))
    assert after[2] == np.float32(-LARGEST)
    assert after[0] > after[1] > after[2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_names_the_stage(bad):
    with pytest.raises(StageError, match=r"^mine: 1 of 2 scores"):
        check_finite(np.array([1.0, bad], dtype=np.float32), stage="mine")
