"""Ensembles of teachers against the formula, and examples through a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import DataError, UsageError
from rankloom.training.distillation import Example, ensemble, mixed, read_examples, write_examples

FINITE = st.floats(-1e6, 1e6)


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(FINITE, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_the_ensemble_is_the_mean_of_scaled_teachers(teachers):
    found = ensemble({f"t{n}": scores for n, scores in enumerate(teachers)}, scale=30.0)
    for place in range(len(teachers[0])):
        parts = [(one[place] - min(one)) / max(max(one) - min(one), 1e-6) for one in teachers]
        assert found[place] == pytest.approx(30 * sum(parts) / len(parts), abs=1e-6)
    assert (found >= 0).all()
    assert (found <= 30 + 1e-9).all()


def test_a_teacher_s_scale_does_not_matter():
    scores = np.array([3.0, 1.0, 2.0])
    assert ensemble({"a": scores}) == pytest.approx(ensemble({"a": 100 * scores - 7}))


def test_what_can_not_be_averaged_is_refused():
    with pytest.raises(UsageError, match="no teachers"):
        ensemble({})
    with pytest.raises(UsageError, match="not a finite number"):
        ensemble({"a": [1.0, float("nan")]})
    with pytest.raises(UsageError, match="bm25 scores 1 documents of 2"):
        Example("sky", ("a", "b"), {"bm25": (1.0,)})
    assert ensemble({"a": []}).shape == (0,)


def test_examples_come_back_from_their_file(tmp_path):
    examples = [
        Example("why is the sky blue", ("light", "tides"), {"bm25": (2.5, 0.0), "dense": (0.5, 0.25)}),
        Example("naïve", ("日本",), {"bm25": (1.0,), "dense": (0.0,)}),
    ]
    assert write_examples(examples, tmp_path / "examples.jsonl") == 2
    assert list(read_examples(tmp_path / "examples.jsonl")) == examples
    (tmp_path / "bad.jsonl").write_text('{"query": "q", "texts": ["a"], "scores": {"bm25": [1, 2]}}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl line 1"):
        list(read_examples(tmp_path / "bad.jsonl"))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="no example"):
        list(read_examples(tmp_path / "empty.jsonl"))


def test_margins_of_an_ensemble_keep_their_proportions():
    first, second = (0.0, 1.0, 5.0), (2.0, 0.0, 1.0)
    examples = [
        Example("a", ("x", "y", "z"), {"bm25": (12.0, 2.0, 7.0), "dense": first}),
        Example("b", ("x", "y", "z"), {"bm25": (90.0, 89.0, 91.0), "dense": second}),
    ]
    mean = mixed(examples, ["bm25", "dense"], mix="mean", scale=2.0)
    assert mean.tolist() == [[12.0, 3.0, 12.0], [92.0, 89.0, 92.0]]
    deviations = np.array([[5.0, -5.0, 0.0], [0.0, -1.0, 1.0]]) / np.sqrt((25 + 25 + 1 + 1) / 6)
    alone = mixed(examples, ["bm25"], mix="standard")
    np.testing.assert_allclose(alone - alone.mean(axis=1, keepdims=True), deviations)
    both = mixed(examples, ["bm25", "dense"], mix="standard")
    np.testing.assert_allclose(both, (alone + mixed(examples, ["dense"], mix="standard")) / 2)
    scaled = mixed(examples, ["bm25", "dense"], mix="minmax", scale=3.0)
    np.testing.assert_allclose(scaled[0], ensemble(examples[0].scores, scale=3.0))


def test_margins_of_nobody_or_nan_are_refused():
    with pytest.raises(UsageError, match="no teachers"):
        mixed([Example("a", ("x", "y"), {})], [], mix="mean")
    with pytest.raises(UsageError, match="not a finite number"):
        mixed([Example("a", ("x", "y"), {"t": (1.0, float("nan"))})], ["t"], mix="standard")
