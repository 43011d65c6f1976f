"""Batches of like lengths."""

import numpy as np
import pytest

from rankloom.errors import DataError
from rankloom.training.length_sampler import LikeLengths

LENGTHS = np.random.default_rng(2).integers(5, 250, size=500).tolist()


def batches(lengths, *, size=8, count=125, seed=7):
    places = list(LikeLengths(lengths, size=size, count=count, seed=seed))
    assert len(places) == len(LikeLengths(lengths, size=size, count=count, seed=seed)) == size * count
    return np.array(places).reshape(count, size)


def test_a_pass_has_each_example_at_most_once_and_two_passes_differ():
    found = batches(LENGTHS, count=124)  # two passes of 62
    for one in (found[:62], found[62:]):
        assert len(set(one.ravel().tolist())) == 62 * 8
    assert {tuple(sorted(one)) for one in found[:62].tolist()} != {tuple(sorted(one)) for one in found[62:].tolist()}


def test_the_longest_have_their_turn():
    longest = max(range(60), key=lambda place: LENGTHS[place])
    assert longest in batches(LENGTHS[:60], count=70)  # ten passes, in each of which four of sixty are left out


def test_batches_are_of_like_lengths_in_a_random_order():
    found = np.array(LENGTHS)[batches(LENGTHS, count=62)]
    assert np.mean(found.max(1) - found.min(1)) < 30
    assert abs(np.corrcoef(found.mean(1), np.arange(62))[0, 1]) < 0.3


def test_the_order_is_the_seeds_alone():
    assert (batches(LENGTHS) == batches(LENGTHS)).all()
    assert (batches(LENGTHS) != batches(LENGTHS, seed=8)).any()


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="there are 7 examples, and a step takes 8"):
        LikeLengths(LENGTHS[:7], size=8, count=1, seed=1)
