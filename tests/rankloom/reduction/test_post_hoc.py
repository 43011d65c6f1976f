"""Reducing texts that are encoded already."""

import numpy as np
import pytest
import torch

from rankloom.errors import UsageError
from rankloom.reduction import reduce_token_vectors, reductions
from rankloom.token_vectors import TokenVectors
from tests.rankloom.reduction import plain_reductions as plain


def encoded(lengths, dimensions=8):
    drawn = np.random.default_rng(0).normal(size=(sum(lengths), dimensions)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return TokenVectors(drawn, np.cumsum([0, *lengths], dtype=np.int64))


@pytest.mark.parametrize("batch_tokens", [1, 50, 1 << 14])
@pytest.mark.parametrize("word", ["none", "C2x5", "C25", "K2", "T2x4"])
def test_texts_are_reduced_and_stay_in_their_order(word, batch_tokens):
    texts = encoded([7, 0, 31, 1, 12, 31, 5, 0])
    reduced = reduce_token_vectors(texts, reductions(word).document, batch_tokens=batch_tokens)
    assert reduced.vectors.dtype == np.float32
    for one, text in zip(reduced, texts, strict=True):
        np.testing.assert_allclose(one, np.reshape(plain.reduce(text, word), (-1, 8)), atol=2e-6)


def test_all_by_none_is_what_it_was():
    texts = encoded([3, 0, 4])
    reduced = reduce_token_vectors(texts, reductions("none").document)
    assert np.array_equal(reduced.vectors, texts.vectors)
    assert np.array_equal(reduced.offsets, texts.offsets)


def test_token_pooling_halves_documents():
    assert reduce_token_vectors(encoded([21, 1, 0, 2]), reductions("pool2").document).lengths.tolist() == [11, 1, 0, 2]


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_nothing_stays_nothing(lengths):
    reduced = reduce_token_vectors(encoded(lengths), reductions("C50").document)
    assert (len(reduced), reduced.vectors.shape) == (len(lengths), (0, 8))


def test_a_batch_holds_something():
    with pytest.raises(UsageError, match=r"^reduction: batch_tokens is out of range; got 0"):
        reduce_token_vectors(encoded([3]), reductions("K2").document, batch_tokens=0)


def test_batches_hold_texts_of_like_length_and_no_more_tokens_than_asked():
    from rankloom.reduction.post_hoc import _batches

    lengths = np.array([5, 40, 3, 9, 10, 10, 0])
    batches = list(_batches(lengths, 20))
    assert batches == [[1], [4, 5], [3, 0], [2, 6]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("word", ["C8x32", "C25", "T2x4", "pool2"])
def test_a_gpu_makes_the_same(word):
    texts, reduction = encoded([100, 0, 31, 1, 250]), reductions(word).document
    there, here = reduce_token_vectors(texts, reduction, device="cuda"), reduce_token_vectors(texts, reduction)
    assert np.array_equal(there.offsets, here.offsets)
    np.testing.assert_allclose(there.vectors, here.vectors, atol=1e-5)
