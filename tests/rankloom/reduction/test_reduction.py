"""Every reduction against plain loops, in any batch, with any padding, and its gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.reduction import reductions
from tests.rankloom.reduction import plain_reductions as plain

WORDS = ["none", "C2x4", "C3x9", "C25", "C50", "C75", "K2", "K4", "T2x4", "T8x32", "pool2", "pool1.5", "pool4"]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


def texts_of(lengths, dimensions=16, seed=0):
    """Random vectors of length 1 for texts of given lengths."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(length, dimensions, generator=generator) for length in lengths]
    return [torch.nn.functional.normalize(one, dim=1) for one in drawn]


def batch_of(texts, pad=0, fill=0.0):
    """The texts in one batch, and its mask; `pad` more places than the longest needs."""
    width = max((len(one) for one in texts), default=0) + pad
    vectors = torch.full((len(texts), width, texts[0].shape[1]), fill, dtype=texts[0].dtype)
    mask = torch.zeros(len(texts), width, dtype=torch.bool)
    for number, one in enumerate(texts):
        vectors[number, : len(one)] = one
        mask[number, : len(one)] = True
    return vectors, mask


def reduced(word, texts, **padding):
    """What remains of each text."""
    vectors, mask = batch_of(texts, **padding)
    means, found = reductions(word).document(vectors, mask)
    return [one[counts] for one, counts in zip(means, found, strict=True)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("word", WORDS)
def test_a_reduction_is_what_plain_loops_make(word, device):
    texts = texts_of([40, 1, 0, 17, 9, 2, 33, 4, 5, 3])
    vectors, mask = batch_of(texts)
    means, found = reductions(word).document(vectors.to(device), mask.to(device))
    assert means.device.type == found.device.type == device
    for one, counts, text in zip(means.cpu(), found.cpu(), texts, strict=True):
        by_hand = plain.reduce(text.numpy(), word)
        assert int(counts.sum()) == len(by_hand)
        rows = one[counts].numpy()
        if word.startswith("pool"):  # the order of clusters is the library's
            rows, by_hand = np.reshape(in_order(rows), (-1, 16)), in_order(by_hand)
        np.testing.assert_allclose(rows, np.reshape(by_hand, (-1, 16)), atol=2e-6)


def in_order(rows):
    return sorted((np.asarray(row).tolist() for row in rows), key=lambda row: [round(value, 4) for value in row])


@pytest.mark.parametrize("word", WORDS)
def test_what_remains_stands_in_front_and_is_no_more_than_promised(word):
    texts = texts_of([40, 1, 0, 17, 9])
    vectors, mask = batch_of(texts, pad=3, fill=7.0)
    reduction = reductions(word).document
    means, found = reduction(vectors, mask)
    kept = found.sum(dim=1)
    assert means.shape[:2] == found.shape
    assert torch.equal(found, torch.arange(found.shape[1]) < kept[:, None])
    assert kept.tolist() == [reduction.kept(len(text)) for text in texts]  # no vectors are equal here
    assert not means[~found].any()


@pytest.mark.parametrize("word", WORDS)
def test_lengths_are_1(word):
    for text in reduced(word, texts_of([40, 17, 9, 1])):
        torch.testing.assert_close(text.norm(dim=1), torch.ones(len(text)))


grids = st.lists(
    st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=3, max_size=3), max_size=14
)  # many equal vectors, vectors of length 0, and ties


@settings(max_examples=60, deadline=None)
@given(
    word=st.sampled_from(WORDS),
    texts=st.lists(grids, min_size=1, max_size=4),
    pad=st.integers(0, 5),
    unit=st.booleans(),
)
def test_a_text_depends_on_neither_its_batch_nor_padding(word, texts, pad, unit):
    texts = [torch.tensor(text).reshape(-1, 3) for text in texts]
    if unit or word.startswith("pool"):
        texts = [torch.nn.functional.normalize(text, dim=1) for text in texts]
    together = reduced(word, texts, pad=pad, fill=float("nan"))
    for one, text in zip(together, texts, strict=True):
        torch.testing.assert_close(one, reduced(word, [text])[0], atol=1e-5, rtol=0)
        assert torch.isfinite(one).all()
        assert len(one) <= reductions(word).document.kept(len(text))
        assert bool(len(one)) == bool(len(text))


@pytest.mark.parametrize("word", WORDS)
def test_a_long_text_depends_on_neither_its_batch_nor_padding(word):
    texts = texts_of([120, 90, 7], dimensions=32)
    for one, text in zip(reduced(word, texts, pad=60), texts, strict=True):
        torch.testing.assert_close(one, reduced(word, [text])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("word", WORDS)
def test_a_mask_may_have_holes(word):
    text = texts_of([30])[0]
    mask = torch.ones(1, 45, dtype=torch.bool)
    mask[0, ::3] = False
    spread = torch.full((1, 45, 16), 9.0)
    spread[mask] = text
    means, found = reductions(word).document(spread, mask)
    torch.testing.assert_close(means[found], reduced(word, [text])[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 5), (0, 0)])
def test_no_texts_no_tokens_and_nothing_but_pads(word, shape):
    vectors, mask = torch.ones(*shape, 4), torch.zeros(shape, dtype=torch.bool)
    means, found = reductions(word).document(vectors, mask)
    assert (len(means), means.shape[2]) == (shape[0], 4)
    assert means.shape[:2] == found.shape
    assert not found.any()


@pytest.mark.parametrize("word", WORDS)
def test_the_same_comes_out_each_time(word):
    vectors, mask = batch_of(texts_of([60, 30, 45]))
    first, again = (reductions(word).document(vectors, mask)[0] for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_type_comes_out_as_it_went_in_and_half_precision_is_clustered_in_full(word, dtype):
    vectors, mask = batch_of(texts_of([60, 3, 45]))
    short = vectors.to(dtype)
    means, found = reductions(word).document(short, mask)
    wanted, there = reductions(word).document(short.float(), mask)
    assert means.dtype == dtype
    assert torch.equal(found, there)
    torch.testing.assert_close(means, wanted.to(dtype))


@pytest.mark.parametrize("word", ["C3x9", "C50"])
def test_autocast_does_not_cluster_in_half_precision(word):
    vectors, mask = batch_of(texts_of([60, 3, 45]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = reductions(word).document(vectors, mask)
    assert torch.equal(inside, reductions(word).document(vectors, mask)[0])


@pytest.mark.parametrize("word", WORDS)
def test_gradients_are_those_of_finite_differences(word):
    vectors, mask = batch_of([text.double() for text in texts_of([6, 4, 0], dimensions=2)], pad=1)
    assert torch.autograd.gradcheck(
        lambda some: reductions(word).document(some, mask)[0], vectors.requires_grad_(), eps=1e-7, atol=1e-5
    )


@pytest.mark.parametrize("word", WORDS)
def test_every_vector_that_takes_part_has_a_gradient_and_no_pad_has(word):
    vectors, mask = batch_of(texts_of([20, 6, 0]), pad=2, fill=3.0)
    means, _ = reductions(word).document(vectors.requires_grad_(), mask)
    (means * torch.arange(16)).sum().backward()
    touched = vectors.grad.abs().sum(dim=2) > 0
    assert not touched[~mask].any()
    if word[0] in "Cpn":
        assert torch.equal(touched, mask)
    else:
        assert touched.sum(dim=1).tolist() == [reductions(word).document.kept(tokens) for tokens in (20, 6, 0)]


@pytest.mark.parametrize("word", ["C2x4", "C50"])
def test_means_keep_their_length_when_told(word):
    text = texts_of([12])[0] * 3
    vectors, mask = batch_of([text])
    whole, _ = reductions(word, normalize=False).document(vectors, mask)
    short, found = reductions(word).document(vectors, mask)
    assert (whole[found].norm(dim=1) < 3.0).any()
    torch.testing.assert_close(torch.nn.functional.normalize(whole[found], dim=1), short[found])


@pytest.mark.parametrize("word", ["C2x4", "C25"])
def test_what_is_not_finite_is_not_hidden_and_spoils_no_other_text(word):
    texts = texts_of([12, 12])
    spoilt = texts[0].clone()
    spoilt[3] = float("nan")
    first, second = reduced(word, [spoilt, texts[1]])
    assert not torch.isfinite(first).all()
    torch.testing.assert_close(second, reduced(word, texts)[1])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"^C50: vectors and mask do not fit.*\(\(2, 3, 4\), \(2, 4\)\)"):
        reductions("C50").query(torch.ones(2, 3, 4), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(UsageError, match="do not fit"):
        reductions("none").query(torch.ones(3, 4), torch.ones(3, 4, dtype=torch.bool))


def test_a_mask_of_numbers_is_read_as_a_mask():
    vectors, mask = batch_of(texts_of([9, 4]))
    assert torch.equal(reductions("C50").query(vectors, mask.long())[0], reductions("C50").query(vectors, mask)[0])
