"""Ensembles of teachers against the formula, and examples through a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import DataError, UsageError
from rankloom.training.distillation import Example, ensemble, read_examples, write_examples

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
