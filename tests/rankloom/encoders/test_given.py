"""Vectors that somebody has computed before."""

import numpy as np
import pytest

from rankloom import Session
from rankloom.encoders import GivenVectors
from rankloom.errors import DataError, NotFoundError

SESSION = Session(offline=True)
VECTORS = np.array([[1, 0], [0, 1], [0.5, 0.25]], dtype=np.float16)


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "ids.txt").write_text("q1\nq2\nq3\n")
    return tmp_path / "v.npy", tmp_path / "ids.txt"


def test_known_texts_have_their_vectors_in_any_order():
    encoded = GivenVectors("m", ["a", "b", "c"], VECTORS).encode(["c", "a", "c"], role="query", session=SESSION)
    assert encoded.vectors.tolist() == [[0.5, 0.25], [1, 0], [0.5, 0.25]]
    assert (encoded.vectors.dtype, encoded.calls) == (np.float32, 0)
    assert encoded.tokens.tolist() == encoded.truncated.tolist() == [0, 0, 0]


def test_an_unknown_text_is_named():
    encoder = GivenVectors("m", ["a", "b", "c"], VECTORS)
    with pytest.raises(DataError, match=r"2 of 3 texts .*got 'sky'"):
        encoder.encode(["a", "sky", "sea"], role="query", session=SESSION)


def test_files_give_vectors_by_text_or_by_id(files):
    assert GivenVectors.read("m", *files).encode(["q2"], role="query", session=SESSION).vectors.tolist() == [[0, 1]]
    by_id = GivenVectors.read("m", *files, texts={"q1": "sky", "q2": "sea", "q3": "moon", "q4": "unused"})
    assert by_id.encode(["moon"], role="query", session=SESSION).vectors.tolist() == [[0.5, 0.25]]


def test_files_that_do_not_fit_are_refused(files, tmp_path):
    with pytest.raises(DataError, match="no text of this id; got 'q3'"):
        GivenVectors.read("m", *files, texts={"q1": "a", "q2": "b"})
    with pytest.raises(DataError, match="one text has two vectors; got 'q2'"):
        GivenVectors.read("m", *files, texts={"q1": "a", "q2": "a", "q3": "b"})
    (tmp_path / "short.txt").write_text("q1\n")
    with pytest.raises(DataError, match="one vector"):
        GivenVectors.read("m", files[0], tmp_path / "short.txt")
    with pytest.raises(DataError, match="can not be read"):
        GivenVectors.read("m", files[1], files[1])
    with pytest.raises(NotFoundError, match=r"nowhere\.npy"):
        GivenVectors.read("m", tmp_path / "nowhere.npy", files[1])


@pytest.mark.parametrize(
    ("texts", "vectors", "message"),
    [
        (["a"], VECTORS, "one vector"),
        (["a", "b", "a"], VECTORS, "stands twice; got 'a'"),
        (["a", "b"], np.array([[1, 0], [np.nan, 0]]), "not finite; got 'b'"),
        (["a", "b"], np.array([[1, 0], [2, 0]]), "floating-point"),
    ],
)
def test_vectors_that_can_not_be_are_refused(texts, vectors, message):
    with pytest.raises(DataError, match=message):
        GivenVectors("m", texts, vectors)


def test_the_space_is_that_of_the_name_and_the_length():
    one = GivenVectors("m", ["a", "b", "c"], VECTORS)
    assert one.fingerprint() == GivenVectors("m", ["x"], VECTORS[:1]).fingerprint()
    assert one.fingerprint() != GivenVectors("n", ["x"], VECTORS[:1]).fingerprint()
    assert one.fingerprint() != GivenVectors("m", ["x"], np.ones((1, 3))).fingerprint()
    assert one.passages(["a b"], SESSION) == [["a b"]]
    assert one.settings() == GivenVectors("m", ["a", "b", "c"], VECTORS).settings()
    assert one.settings() != GivenVectors("m", ["a", "b", "c"], -VECTORS).settings()
    assert one.precision_in(SESSION) == "given"
