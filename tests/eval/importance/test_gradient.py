"""The exact gradient against enumeration of all masks, against the published formula, and against differences."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.eval.importance import UNKNOWN, UtilityLists, importance, value_and_gradient

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
LISTS = st.integers(0, 7).flatmap(
    lambda depth: st.tuples(
        st.lists(PROBABILITIES, min_size=depth, max_size=depth), st.lists(PROBABILITIES, min_size=depth, max_size=depth)
    )
)


def utility(utilities, mask, k):
    """U by its definition."""
    return sum([f for f, there in zip(utilities, mask, strict=True) if there][:k]) / k


def enumerated(utilities, exists, k):
    """V of one list, and its derivatives by each probability, summed over all masks of existence."""
    value, gradient = 0.0, np.zeros(len(exists))
    for mask in product((0, 1), repeat=len(exists)):
        chances = [p if there else 1 - p for p, there in zip(exists, mask, strict=True)]
        value += np.prod(chances) * utility(utilities, mask, k)
        for item, there in enumerate(mask):
            others = np.prod(chances[:item] + chances[item + 1 :])
            gradient[item] += (1 if there else -1) * others * utility(utilities, mask, k)
    return value, gradient


def published(utilities, exists, k, *, both_terms=True):
    """The formula of the paper, term by term, with its table over distinct utilities; one list."""
    depth, values = len(exists), sorted(set(utilities))
    gradient = np.zeros(depth)
    for item in range(depth):
        for above in range(k):
            here = exactly(exists[:item], above)
            below = list(zip(utilities[item + 1 :], exists[item + 1 :], strict=True))
            for e in values:
                reached = sum(
                    p * exactly([q for _, q in below[:place]], k - above - 1)
                    for place, (f, p) in enumerate(below)
                    if f == e
                )
                gradient[item] += here * (utilities[item] - e) / k * reached
            if both_terms:
                fewer = sum(exactly([q for _, q in below], count) for count in range(k - above))
                gradient[item] += here * utilities[item] / k * fewer
    return gradient


def exactly(exists, count):
    """Probability that exactly so many exist, by enumeration."""
    return sum(
        np.prod([p if there else 1 - p for p, there in zip(exists, mask, strict=True)])
        for mask in product((0, 1), repeat=len(exists))
        if sum(mask) == count
    )


@given(LISTS, st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_equals_the_sum_over_all_masks(drawn, k):
    utilities, exists = drawn
    value, gradient = enumerated(utilities, exists, k)
    values, found = value_and_gradient(np.array([utilities]), np.array([exists]), k)
    assert values[0] == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(found[0], gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 6, 8])
def test_equals_the_published_formula_which_needs_both_terms(k):
    generator = np.random.default_rng(k)
    utilities, exists = generator.choice([0.0, 0.25, 1.0], 6).tolist(), generator.random(6).tolist()
    utilities[0] = 1.0
    found = value_and_gradient(np.array([utilities]), np.array([exists]), k)[1][0]
    np.testing.assert_allclose(found, published(utilities, exists, k), rtol=0, atol=1e-12)
    without = published(utilities, exists, k, both_terms=False)
    assert np.abs(found - without).max() > 1e-3


def ragged(seed, *, queries=5, depth=7, sources=3):
    """Random lists of different lengths; sources repeat within a list, and some are unknown."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, depth + 1, queries)
    lengths[0] = 0
    return UtilityLists(
        utilities=generator.random((queries, depth)),
        sources=generator.integers(UNKNOWN, sources, (queries, depth)),
        mask=np.arange(depth) < lengths[:, None],
        names=tuple(f"s{number}" for number in range(sources)),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 3, 20])
def test_gradient_by_source_equals_enumeration_of_independent_items(seed, k):
    lists, weights = ragged(seed), np.random.default_rng(seed).random(3)
    value, gradient = 0.0, np.zeros(3)
    for utilities, exists, mask, sources in zip(
        lists.utilities, lists.existence(weights), lists.mask, lists.sources, strict=True
    ):
        one, by_item = enumerated(utilities[mask], exists[mask].tolist(), k)
        value += one / len(lists)
        for source, derivative in zip(sources[mask], by_item, strict=True):
            if source != UNKNOWN:
                gradient[source] += derivative / len(lists)
    found = importance(lists, weights, k)
    assert found.value == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(found.gradient, gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_gradient_equals_central_differences_of_v(k):
    lists, weights, step = ragged(11, queries=40, depth=12, sources=4), np.array([0.2, 0.5, 0.7, 0.9]), 1e-5
    found = importance(lists, weights, k).gradient
    for source in range(4):
        up, down = weights.copy(), weights.copy()
        up[source] += step
        down[source] -= step
        difference = (importance(lists, up, k).value - importance(lists, down, k).value) / (2 * step)
        assert found[source] == pytest.approx(difference, abs=1e-8)


def test_two_items_of_one_source_are_independent():
    lists = UtilityLists(
        utilities=np.array([[1.0, 1.0]]), sources=np.array([[0, 0]]), mask=np.ones((1, 2), dtype=bool), names=("s",)
    )
    found = importance(lists, np.array([0.5]), 1)  # V(w) = 1 - (1 - w)^2, not w as if the source lived as a whole
    assert (found.value, found.gradient.tolist()) == (0.75, [1.0])


def test_weights_of_0_and_1_give_plain_rankings():
    lists = UtilityLists(
        utilities=np.array([[0.0, 1.0, 0.5]]),
        sources=np.array([[0, 1, UNKNOWN]]),
        mask=np.ones((1, 3), dtype=bool),
        names=("bad", "good"),
    )
    assert importance(lists, np.array([1.0, 1.0]), 2).value == 0.5
    assert importance(lists, np.array([0.0, 1.0]), 2).value == 0.75
    assert importance(lists, np.array([0.0, 0.0]), 2).value == 0.25
    assert importance(lists, np.array([1.0, 1.0]), 2).gradient.tolist() == [-0.25, 0.25]


def test_queries_in_blocks_give_what_they_give_alone(monkeypatch):
    lists, weights = ragged(3, queries=50, depth=20), np.array([0.3, 0.6, 0.9])
    whole = importance(lists, weights, 4)
    monkeypatch.setattr("rankloom.eval.importance.gradient._AT_A_TIME", 12)
    again = importance(lists, weights, 4)
    assert again.value == pytest.approx(whole.value, abs=1e-15)
    np.testing.assert_allclose(again.gradient, whole.gradient, rtol=0, atol=1e-15)
    assert whole.depths.tolist() == lists.mask.sum(axis=1).tolist()


def test_nothing_retrieved_is_worth_nothing():
    for queries, depth in ((0, 0), (3, 0), (0, 5), (3, 5)):
        shape = (queries, depth)
        lists = UtilityLists(
            utilities=np.zeros(shape),
            sources=np.zeros(shape, dtype=int),
            mask=np.zeros(shape, dtype=bool),
            names=("s",),
        )
        found = importance(lists, np.array([0.5]), 10)
        assert (found.value, found.gradient.tolist()) == (0.0, [0.0])


def test_padding_is_never_read():
    lists = ragged(5)
    dirty = UtilityLists(
        utilities=np.where(lists.mask, lists.utilities, np.nan),
        sources=np.where(lists.mask, lists.sources, 99),
        mask=lists.mask,
        names=lists.names,
    )
    weights = np.array([0.2, 0.4, 0.6])
    assert importance(dirty, weights, 2).gradient.tolist() == importance(lists, weights, 2).gradient.tolist()


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_k_must_be_a_positive_whole_number(k):
    with pytest.raises(UsageError, match="k is out of range"):
        importance(ragged(1), np.full(3, 0.5), k)


@pytest.mark.parametrize("weights", [[0.5], [0.5, 0.5, 1.5], [0.5, -0.1, 0.5], [0.5, np.nan, 0.5]])
def test_weights_must_fit(weights):
    with pytest.raises(UsageError, match="a weight from 0 to 1 for each source"):
        importance(ragged(1), np.array(weights), 2)
