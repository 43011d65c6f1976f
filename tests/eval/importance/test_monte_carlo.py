import numpy as np
import pytest

from rankloom.errors import UsageError
from rankloom.eval.importance import UNKNOWN, UtilityLists, importance, sample_importance


def lists():
    generator = np.random.default_rng(2)
    return UtilityLists(
        utilities=generator.random((12, 15)),
        sources=generator.integers(UNKNOWN, 4, (12, 15)),
        mask=np.arange(15) < generator.integers(0, 16, (12, 1)),
        names=tuple("abcd"),
    )


@pytest.mark.parametrize("k", [1, 4, 30])
def test_samples_agree_with_the_exact_gradient(k):
    weights = np.array([0.1, 0.4, 0.6, 0.95])
    exact, sampled = importance(lists(), weights, k), sample_importance(lists(), weights, k, samples=4000, seed=3)
    assert abs(sampled.value - exact.value) < 4 * sampled.value_error
    assert sampled.value_error < 0.01
    assert (np.abs(sampled.gradient - exact.gradient) <= 4 * sampled.gradient_error + 1e-12).all()
    assert sampled.gradient_error.max() < 0.01


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_without_chance_one_draw_is_like_another(weight):
    weights = np.full(4, weight)
    exact, sampled = importance(lists(), weights, 3), sample_importance(lists(), weights, 3, samples=2)
    assert sampled.value == pytest.approx(exact.value, abs=1e-12)
    assert sampled.value_error == 0.0
    np.testing.assert_allclose(sampled.gradient, exact.gradient, rtol=0, atol=1e-12)


def test_the_seed_decides():
    weights = np.full(4, 0.5)
    first, again, other = (sample_importance(lists(), weights, 2, samples=10, seed=seed) for seed in (1, 1, 2))
    assert first.gradient.tolist() == again.gradient.tolist() != other.gradient.tolist()


def test_one_sample_has_no_standard_error():
    with pytest.raises(UsageError, match="samples is out of range"):
        sample_importance(lists(), np.full(4, 0.5), 2, samples=1)
