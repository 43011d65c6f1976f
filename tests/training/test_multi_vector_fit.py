"""The step of a multi-vector training: what is compared, and that gradients pass through reduced vectors."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom.reduction import reductions
from rankloom.token_layout import TokenLayout, multi_vector_encoder
from rankloom.training.contrastive_config import Contrast
from rankloom.training.multi_vector_fit import ReducedVectors, mean_maxsim, multi_vector_loss
from tests.tiny_models import tiny_encoder

QUERIES = ["why is the sky blue and the sea blue", "bread and yeast rise at night", "moon : tide : light"]
POSITIVES = [
    "the sky is blue, for blue light is scattered by all of the air; the sea mirrors the sky",
    "yeast makes bread rise while the baker sleeps and the oven is cold and dark",
    "tide follows the moon, which gives light at night when the sun is below the sea",
]
NEGATIVES = ["a sea is a large body of salt water", "flour is milled grain", "a tide table lists high water"]
WORDS = ["none", "C3x4", "C25", "K2", "T3x4", "pool2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("tiny"), max_length=64)


def reduced(folder, word, seed=1):
    """An encoder whose results do not change from one time to the next."""
    torch.manual_seed(seed)
    transformer = SentenceTransformer(str(folder), device="cpu")[0]
    encoder = multi_vector_encoder(transformer, TokenLayout(query_tokens=24, document_tokens=48), dimensions=8)
    encoder.append(ReducedVectors(reductions(word)))
    return encoder.eval()


def features_of(encoder):
    return [
        {**encoder.preprocess(texts, task=role), "task": role}
        for texts, role in ((QUERIES, "query"), (POSITIVES, "document"), (NEGATIVES, "document"))
    ]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("mini_batch", [None, 2])
def test_the_loss_is_a_softmax_over_mean_maxsim_of_reduced_vectors(folder, word, mini_batch):
    encoder = reduced(folder, word)
    loss = multi_vector_loss(encoder, Contrast(temperature=0.1, mini_batch=mini_batch))
    found = loss(features_of(encoder), None).item()
    queries = encoder.encode_query(QUERIES)
    documents = encoder.encode_document([*POSITIVES, *NEGATIVES])
    scores = torch.tensor([[float((q @ d.T).amax(1).mean()) for d in documents] for q in queries]) / 0.1
    expected = float((scores.logsumexp(1) - scores.diagonal()).mean())
    assert found == pytest.approx(expected, abs=1e-4)
    both = reductions(word)
    tokens = encoder.preprocess(QUERIES, task="query")["attention_mask"].sum(1).tolist()
    assert all(len(one) <= both.query.kept(number) for one, number in zip(queries, tokens, strict=True))


@pytest.mark.parametrize("word", ["C3x4", "C25", "pool2"])
def test_a_gradient_is_what_finite_differences_say(folder, word):
    encoder = reduced(folder, word).double()
    loss = multi_vector_loss(encoder, Contrast(temperature=0.2))
    features, draws, step = features_of(encoder), torch.Generator().manual_seed(3), 1e-4
    for parameter in (encoder[1].linear.weight, encoder[0].model.encoder.layer[0].intermediate.dense.weight):
        (gradient,) = torch.autograd.grad(loss([dict(one) for one in features], None), [parameter])
        direction = torch.randn(parameter.shape, generator=draws, dtype=torch.float64)
        direction /= direction.norm()
        ends = []
        for sign in (1, -2):
            with torch.no_grad():
                parameter.add_(sign * step * direction)
                ends.append(loss([dict(one) for one in features], None).item())
        slope = float((gradient * direction).sum())
        assert abs(slope) > 0.02  # else the comparison says little
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02, abs=2e-3)


def test_every_token_that_a_mean_is_made_of_has_a_gradient(folder):
    encoder = reduced(folder, "C3x4")
    states = torch.randn(2, 20, 8, requires_grad=True)
    mask = torch.arange(20) < torch.tensor([[20], [11]])
    given = {"token_embeddings": torch.nn.functional.normalize(states, dim=-1), "attention_mask": mask}
    output = encoder[-1](given, task="document")
    assert output["token_embeddings"].shape == (2, 4, 8)
    (output["token_embeddings"] * torch.randn(2, 4, 8)).sum().backward()
    assert torch.equal(states.grad.abs().sum(-1) > 0, mask)


@pytest.mark.parametrize("word", ["C3x4", "K2", "none"])
def test_a_batch_can_be_learnt_by_heart(folder, word):
    encoder = reduced(folder, word)
    loss = multi_vector_loss(encoder, Contrast(temperature=0.05))
    features = features_of(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    first = loss([dict(one) for one in features], None).item()
    for _ in range(30):
        optimizer.zero_grad()
        value = loss([dict(one) for one in features], None)
        value.backward()
        optimizer.step()
    assert value.item() < 0.2 * first


def test_half_precision_is_left_before_vectors_are_reduced_and_compared(folder):
    encoder, features = reduced(folder, "C3x4"), {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = encoder(encoder.preprocess(POSITIVES, task="document"), task="document")
        scores = mean_maxsim(features["token_embeddings"][:2].bfloat16(), features["token_embeddings"][:, None])
    assert features["token_embeddings"].dtype == scores.dtype == torch.float32
    assert scores.shape == (2, 3)


def test_mean_maxsim_does_not_grow_with_the_number_of_query_vectors():
    vectors = torch.nn.functional.normalize(torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    documents = torch.nn.functional.normalize(torch.randn(2, 1, 6, 8), dim=-1)
    twice = torch.cat([vectors, vectors, torch.ones(1, 1, 8)], dim=1)
    mask = torch.tensor([[True] * 8 + [False]])
    found = mean_maxsim(twice, documents, queries_mask=mask)
    torch.testing.assert_close(found, mean_maxsim(vectors, documents))
    assert not torch.allclose(found, mean_maxsim(twice, documents))
