"""The start of a projection: principal components of token vectors, by another way of finding them."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom.errors import DataError
from rankloom.token_adapter import TokenAdapterSettings, adapted
from rankloom.token_layout import TokenLayout
from rankloom.training.projection_start import start_projection
from tests.tiny_models import WORDS, tiny_encoder

TEXTS = [" ".join(WORDS[(start * step) % 10] for step in range(1, 3 + start % 7)) + " ." for start in range(70)]


def encoder_of(folder, dimensions):
    """An encoder with a projection to so many dimensions, and the states of its tokens that count."""
    backbone = SentenceTransformer(str(tiny_encoder(folder)), device="cpu").eval()
    settings = TokenAdapterSettings("tiny", TokenLayout(document_tokens=16), dimensions=dimensions, rank=2)
    plain = adapted(backbone, TokenAdapterSettings("tiny", TokenLayout(document_tokens=16), dimensions=None, rank=0))
    states = np.concatenate(plain.eval().encode_document(list(dict.fromkeys(TEXTS)), convert_to_numpy=True))
    return adapted(backbone, settings), states


def test_rows_are_the_principal_components_of_token_vectors(tmp_path):
    encoder, states = encoder_of(tmp_path, 6)
    texts = list(dict.fromkeys(TEXTS))
    holds = start_projection(encoder, texts, count=1000, seed=1)
    found = encoder[1].linear.weight.detach().numpy()
    _, lengths, components = np.linalg.svd(states.astype(np.float64), full_matrices=False)
    assert holds == pytest.approx((lengths[:6] ** 2).sum() / (lengths**2).sum(), abs=1e-5)
    assert np.abs(np.abs(found @ components[:6].T) - np.eye(6)).max() < 1e-3  # up to signs, which are arbitrary
    assert np.abs(found @ found.T - np.eye(6)).max() < 1e-5


def test_all_dimensions_keep_inner_products(tmp_path):
    encoder, states = encoder_of(tmp_path, 32)
    assert start_projection(encoder, TEXTS, count=1000, seed=1) == pytest.approx(1.0)
    with torch.no_grad():
        projected = encoder[1].linear(torch.from_numpy(states)).numpy()
    assert projected @ projected.T == pytest.approx(states @ states.T, abs=1e-4)


def test_it_depends_on_nothing_but_seed_and_texts(tmp_path):
    encoder, _ = encoder_of(tmp_path, 4)
    found = []
    for seed in (1, 1, 2):
        torch.rand(3)
        start_projection(encoder.train(), TEXTS, count=10, seed=seed)
        found.append(encoder[1].linear.weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert encoder.training


def test_more_dimensions_than_the_model_has(tmp_path):
    encoder, _ = encoder_of(tmp_path, 33)
    with pytest.raises(DataError, match=r"more dimensions.*at most 32"):
        start_projection(encoder, TEXTS, count=10, seed=1)
