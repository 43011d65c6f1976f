"""Corrections of p-values, against statsmodels, hand-computed values, and as properties."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.eval.correction import CORRECTIONS, CorrectionName, benjamini_hochberg, bonferroni, holm, uncorrected


def test_table_holds_what_experiments_can_name() -> None:
    assert tuple(CORRECTIONS) == get_args(CorrectionName)
    functions = [correction.correct for correction in CORRECTIONS.values()]
    assert functions == [holm, bonferroni, benjamini_hochberg, uncorrected]


def test_by_hand() -> None:
    # Holm, sorted: .005 x 4 = .02, .01 x 3 = .03, .03 x 2 = .06, .04 x 1 = .04 -> .06 (never below the one before)
    raw = [0.01, 0.04, 0.03, 0.005]
    assert holm(raw) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert bonferroni(raw) == pytest.approx([0.04, 0.16, 0.12, 0.02])
    # BH, sorted: .005 x 4/1 = .02, .01 x 4/2 = .02, .03 x 4/3 = .04, .04 x 4/4 = .04
    assert benjamini_hochberg(raw) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert uncorrected(raw) == raw


@pytest.mark.parametrize("name", CORRECTIONS)
def test_small_families(name: CorrectionName) -> None:
    correct = CORRECTIONS[name].correct
    assert correct([]) == []
    assert correct([0.2]) == [0.2]
    assert correct([1.0, 1.0]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "theirs"), [("holm", "holm"), ("bonferroni", "bonferroni"), ("benjamini_hochberg", "fdr_bh")]
)
def test_agrees_with_statsmodels(name: CorrectionName, theirs: str) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 40):
        for raw in (rng.random(size), rng.random(size) ** 6, np.round(rng.random(size), 1)):  # the last has equal ones
            expected = multitest.multipletests(raw, method=theirs)[1]
            assert CORRECTIONS[name].correct(raw.tolist()) == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.parametrize("name", CORRECTIONS)
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_corrections_raise_p_values_and_keep_their_order(name: CorrectionName, p_values: list[float]) -> None:
    corrected = CORRECTIONS[name].correct(p_values)
    assert all(raw <= new <= 1.0 for raw, new in zip(p_values, corrected, strict=True))
    by_raw = [new for _, new in sorted(zip(p_values, corrected, strict=True))]
    assert by_raw == sorted(by_raw)
    smallest = min(p_values)
    if name in ("holm", "bonferroni"):
        assert corrected[p_values.index(smallest)] == min(1.0, smallest * len(p_values))
    backwards = CORRECTIONS[name].correct(p_values[::-1])
    assert backwards[::-1] == corrected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_order_of_strength(p_values: list[float]) -> None:
    for strong, middle, weak in zip(bonferroni(p_values), holm(p_values), benjamini_hochberg(p_values), strict=True):
        assert strong >= middle >= weak * (1 - 1e-12)
