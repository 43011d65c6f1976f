"""Token vectors and MaxSim against lists and loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankloom.errors import UsageError
from rankloom.token_vectors import TokenVectors, maxsim

NUMBERS = st.floats(-2, 2, width=32)
TEXTS = st.lists(st.integers(0, 4), max_size=5).flatmap(
    lambda lengths: st.tuples(*(arrays(np.float32, (length, 3), elements=NUMBERS) for length in lengths))
)


def looped(query, document):
    return sum(max((float(np.dot(one, other)) for other in document), default=0.0) for one in query)


@given(arrays(np.float32, st.tuples(st.integers(0, 4), st.just(3)), elements=NUMBERS), TEXTS)
def test_maxsim_is_the_sum_of_the_best_matches(query, documents):
    expected = [looped(query, document) for document in documents]
    scores = maxsim(query, TokenVectors.of(documents, 3))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_maxsim_depends_on_nothing_but_the_two_texts(rows):
    """By float32 products alone, a document beside others differs from itself alone in its last bits."""
    random = np.random.default_rng(rows)
    query = random.standard_normal((9, 96)).astype(np.float32)
    others = [random.standard_normal((int(random.integers(0, 60)), 96)).astype(np.float32) for _ in range(60)]
    texts = [others[0][:0], random.standard_normal((rows, 96)).astype(np.float32)]
    texts[1][-1] = texts[1][0]  # a tie within a document
    alone = maxsim(query, TokenVectors.of(texts[1:], 96))
    products = query.astype(np.float64) @ texts[1].astype(np.float64).T
    assert alone.tolist() == [np.float32(products.max(axis=1).sum())]
    for place in range(0, 60, 7):
        company = TokenVectors.of([*others[:place], *texts, *others[place:], texts[1]], 96)
        scores = maxsim(query, company)
        assert scores[place] == 0
        assert scores[[place + 1, -1]].tolist() == alone.tolist() * 2


def test_maxsim_takes_any_number_of_pairs_at_a_time(monkeypatch):
    same = np.ones((20, 4), dtype=np.float32)  # every pair may be the nearest
    for pairs in (1, 7, 1000):
        monkeypatch.setattr("rankloom.token_vectors._PAIRS", pairs)
        assert maxsim(same[:3], TokenVectors.of([same, same[:0], same[:5]], 4)).tolist() == [12, 0, 12]


@pytest.mark.filterwarnings("error")
def test_maxsim_of_numbers_whose_products_leave_float32():
    query, text = np.full((1, 2), 1e30, np.float32), np.array([[1e30, -1e30], [1e8, 0], [-1e30, 0]], np.float32)
    assert maxsim(query, TokenVectors.of([text], 2)).tolist() == [np.float32(float(query[0, 0]) * 1e8)]


@given(TEXTS, st.data())
def test_texts_are_those_that_went_in(texts, data):
    stored = TokenVectors.of(texts, 3)
    assert (len(stored), stored.dimensions, stored.vectors.dtype) == (len(texts), 3, np.float32)
    assert stored.lengths.tolist() == [len(one) for one in texts]
    assert all(np.array_equal(one, other) for one, other in zip(stored, texts, strict=True))
    places = data.draw(st.lists(st.integers(-len(texts), len(texts) - 1), max_size=6) if texts else st.just([]))
    taken = stored.take(places)
    assert len(taken) == len(places)
    for place, one in zip(places, taken, strict=True):
        np.testing.assert_array_equal(one, texts[place])
        np.testing.assert_array_equal(one, stored[place])


def test_a_text_beyond_the_last_is_none():
    with pytest.raises(IndexError):
        TokenVectors.of([np.ones((2, 3), dtype=np.float32)], 3)[1]


@pytest.mark.parametrize("offsets", [[], [0], [1, 2], [0, 1], [0, 2, 1, 2]])
def test_offsets_divide_the_rows(offsets):
    with pytest.raises(UsageError, match="offsets"):
        TokenVectors(np.zeros((2, 3), dtype=np.float32), np.array(offsets, dtype=np.int64))
