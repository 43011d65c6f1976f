import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Query, Run, ScoreKind, Session, Span, Top
from rankloom.fingerprint import digest, digest_bytes

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Pair:
    """Two values."""

    left: object
    right: object


class Known:
    """Knows its own."""

    def __init__(self, known):
        self.known = known

    def fingerprint(self):
        return self.known


#: If one of these changes, every cache and every index directory of every user goes unused: raise a version instead.
GOLDEN = {
    "7ebb3c7c2a87b1a2f8a7ed729ecb040d": digest,
    "8e65164169ed854f371df5efed7c944c": lambda: digest("bm25", {"k1": 0.9, "b": 0.4}),
    "813a2c61ed263097bf8a57600996009d": lambda: digest(
        None, True, 1, 1.0, "é", [1, 2], {1, 2}, Path("a/b"), ScoreKind.LOGIT
    ),
    "da96c565e204426fe622878153d4c654": lambda: digest(np.arange(3, dtype=np.float32)),
    "f0f2d05022ae2bc1bf3d111ad7a02d47": lambda: digest(Span(0, 2, 0.5, True)),
    "c6ac2fd54e3f307905b723e923cdf595": lambda: digest("\ud83d"),
    "f14abc19c330e936bb9c8506d69bac9b": lambda: digest_bytes(b"a", b"bc"),
    "a54b0dc553bf7de8e0b4ef249f448d13": lambda: Query(
        "q", "x", {"a": 1.0}, {"v": np.ones(2, np.float32)}
    ).fingerprint(),
    "a94f2ff70973d29f0226fd39458d2acc": lambda: Top(5).fingerprint(),
    "ed0bd5f1dca65e0b68fd68d07a9e1287": lambda: Session().numerics(),
}


@pytest.mark.parametrize("expected", list(GOLDEN))
def test_golden_values(expected):
    assert GOLDEN[expected]() == expected


def test_digests_are_the_same_in_processes_with_other_hash_seeds():
    code = (
        "from rankloom import *; from rankloom.fingerprint import digest;"
        "print(digest({'b': {3, 'x', None}, 'a': frozenset('hello')}, Run.from_dict({'q': {'b': 1.0}}).lineage))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "12345")
    }
    assert told == {digest({"b": {3, "x", None}, "a": frozenset("hello")}, Run.from_dict({"q": {"b": 1.0}}).lineage)}


@given(VALUES, VALUES)
@settings(deadline=None)
def test_values_have_equal_digests_only_if_they_are_equal(one, other):
    assert digest(one) == digest(one)
    if repr(one) != repr(other) and one != other:
        assert digest(one) != digest(other)


def test_the_order_of_keys_does_not_matter_and_that_of_values_does():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest(1, 2) != digest([1, 2])
    assert digest({3, 1, 2}) == digest({2, 3, 1})


def test_tuples_are_lists_and_numpy_numbers_are_numbers():
    assert digest((1, 2)) == digest([1, 2])
    assert digest(np.int32(3), np.float64(0.5)) == digest(3, 0.5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(4, np.float32), np.zeros(4, np.float64)),
        (np.zeros(4, np.float32), np.zeros((2, 2), np.float32)),
        (np.zeros(2, np.float32), np.float32([0.0, -0.0])),
        (np.zeros(2), [0.0, 0.0]),
        (Pair(1, 2), Pair(2, 1)),
        (Known("a"), Known("b")),
        (True, 1),
        (None, "None"),
        ("1", 1),
        ({}, []),
        ([[]], []),
    ],
)
def test_what_differs_in_type_or_shape_differs(one, other):
    assert digest(one) != digest(other)


def test_an_array_is_its_values_and_not_its_memory():
    whole = np.arange(12).reshape(3, 4)
    assert digest(whole[:, ::2]) == digest(whole[:, ::2].copy())
    assert digest(whole.T) == digest(np.ascontiguousarray(whole.T))


@pytest.mark.parametrize(
    "value",
    [lambda: 1, object(), Known, open, iter([]), np.array([object()]), np.array(["a"], dtype=object), {"a": print}],
    ids=["function", "object", "class", "builtin", "iterator", "array of objects", "array of strings", "dictionary"],
)
def test_a_value_without_a_stable_form_is_refused(value):
    with pytest.raises(TypeError, match="no fingerprint"):
        digest(value)


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
@settings(deadline=None)
def test_buffers_are_told_apart_by_where_they_end(one, other):
    assert (digest_bytes(*one) == digest_bytes(*other)) == (one == other)


STAGE = """
from rankloom import Reranker

class Mine(Reranker):
    name = "mine"

    def __call__(self, run):
        return run{body}
"""


def test_the_source_of_a_stage_of_others_counts(tmp_path, monkeypatch):
    """Edited in a file or in a session, a stage is another one; built-in stages are known by their version."""
    import importlib.util

    from rankloom import Top

    found = {}
    for number, body in enumerate(("", ".top(1)", "")):
        path = tmp_path / str(number) / "mine.py"
        path.parent.mkdir()
        path.write_text(STAGE.format(body=body))
        spec = importlib.util.spec_from_file_location("mine", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(__import__("sys").modules, "mine", module)
        spec.loader.exec_module(module)
        typed = {"__name__": "__main__"}
        exec(STAGE.format(body=body), typed)
        found[number] = (module.Mine().fingerprint(), typed["Mine"]().fingerprint())
    assert found[0][0] == found[2][0] != found[1][0]
    assert found[0][1] == found[2][1] != found[1][1]
    assert Top(3).fingerprint() == Top(3).fingerprint()
