"""Multi-vector encoders made over a transformer: which tokens have vectors, and what these are."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom.errors import UsageError
from rankloom.token_layout import TokenLayout, multi_vector_encoder
from tests.tiny_models import tiny_encoder


@pytest.fixture
def transformer(tmp_path):
    return SentenceTransformer(str(tiny_encoder(tmp_path)), device="cpu")[0]


def test_without_a_projection_vectors_are_the_states_of_the_transformer(transformer):
    encoder = multi_vector_encoder(transformer, TokenLayout(document_tokens=32)).eval()
    (found,) = encoder.encode_document(["the sky, blue!"])  # [CLS] the sky blue [SEP]
    with torch.no_grad():
        states = transformer(transformer.preprocess(["the sky, blue!"]))["token_embeddings"][0]
    counted = states[[0, 1, 2, 4, 6]]
    assert found.shape == (5, 32)
    assert torch.allclose(found, torch.nn.functional.normalize(counted), atol=1e-6)


def test_the_layout_tells_which_tokens_there_are(transformer):
    layout = TokenLayout(query_tokens=6, document_tokens=4, skip_punctuation=False, query_prefix="query: ")
    encoder = multi_vector_encoder(transformer, layout, dimensions=8).eval()
    assert [tuple(one.shape) for one in encoder.encode_document(["sky , sea , moon", "sky"])] == [(4, 8), (3, 8)]
    assert [tuple(one.shape) for one in encoder.encode_query(["sky", "sky sea moon tide"])] == [(5, 8), (6, 8)]
    again = multi_vector_encoder(transformer, TokenLayout(query_tokens=9, document_tokens=32, expand_queries=True))
    assert len(again.eval().encode_query(["sky"])[0]) == 9


def test_vectors_are_in_the_numbers_of_the_transformer(transformer):
    transformer.to(torch.bfloat16)
    encoder = multi_vector_encoder(transformer, TokenLayout(document_tokens=32), dimensions=8).eval()
    assert encoder.encode_document(["sky"])[0].dtype == torch.bfloat16


def test_more_tokens_than_the_transformer_has_places_for(transformer):
    with pytest.raises(UsageError, match=r"many tokens.*at most 64"):
        multi_vector_encoder(transformer, TokenLayout(document_tokens=65))
