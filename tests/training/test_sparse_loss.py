"""Losses against loops over single numbers; the sample of the vocabulary against the whole."""

import math

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sparse_encoder.losses import SpladeLoss

from rankloom.errors import UsageError
from rankloom.retrieval.sparse_adapter import AdapterSettings, adapted
from rankloom.training.flops import IdfFlops
from rankloom.training.sparse_loss import LossMixture, SampledSpladeLoss
from tests.tiny_models import tiny_encoder

LABELS = [[30.0, 12.0, 0.0], [21.0, 15.0, 3.0]]
COLUMNS = (["why is the sky blue", "tide"], ["blue light", "moon"], ["the sea", "bread"], ["yeast", "query"])


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = str(tiny_encoder(tmp_path_factory.mktemp("tiny")))
    backbone = SentenceTransformer(folder, device="cpu")
    idf = {token: 0.5 + number % 7 for number, token in enumerate(backbone.tokenizer.get_vocab())}
    torch.manual_seed(3)
    return adapted(backbone, AdapterSettings(folder, rank=2, layers=1), idf).eval()


@pytest.fixture
def embeddings():
    """A query and three documents for each of two examples."""
    torch.manual_seed(1)
    return [torch.relu(torch.randn(2, 20)) for _ in range(4)]


def dot(one, other):
    return sum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))


def softmax(values):
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def kl(query, documents):
    """Mean over examples of the sum over documents of p log(p / q)."""
    total = 0.0
    for example, labels in enumerate(LABELS):
        student = softmax([dot(query[example], column[example]) for column in documents])
        total += sum(p * math.log(p / q) for p, q in zip(softmax(labels), student, strict=True) if p > 0)
    return total / len(LABELS)


def margin_mse(query, documents):
    """Mean over examples and other documents of the squared difference of distances from the first."""
    errors = []
    for example, labels in enumerate(LABELS):
        scores = [dot(query[example], column[example]) for column in documents]
        errors += [((scores[0] - scores[i]) - (labels[0] - labels[i])) ** 2 for i in (1, 2)]
    return sum(errors) / len(errors)


def info_nce(query, documents):
    """Mean over examples of the surprise at the own first document among all documents of the batch."""
    everything = [column[example] for column in documents for example in range(len(LABELS))]
    surprises = [
        -math.log(softmax([dot(query[example], one) for one in everything])[example]) for example in range(len(LABELS))
    ]
    return sum(surprises) / len(surprises)


@pytest.mark.parametrize(("name", "formula"), [("kl", kl), ("margin_mse", margin_mse), ("info_nce", info_nce)])
def test_a_loss_is_its_formula(student, embeddings, name, formula):
    found = LossMixture(student, {name: 1.0}).compute_loss_from_embeddings(embeddings, torch.tensor(LABELS))
    assert found.keys() == {name}
    assert found[name].item() == pytest.approx(formula(embeddings[0], embeddings[1:]), rel=1e-4)


def test_losses_are_weighed(student, embeddings):
    mixed = LossMixture(student, {"kl": 0.5, "info_nce": 2.0})
    found = mixed.compute_loss_from_embeddings(embeddings, torch.tensor(LABELS))
    assert found["kl"].item() == pytest.approx(0.5 * kl(embeddings[0], embeddings[1:]), rel=1e-4)
    assert found["info_nce"].item() == pytest.approx(2 * info_nce(embeddings[0], embeddings[1:]), rel=1e-4)
    for weights in ({}, {"kl": 0.0}, {"kl": 1.0, "hinge": 1.0}):
        with pytest.raises(UsageError):
            LossMixture(student, weights)


def features(student):
    """What the library's collator makes of a batch."""
    tasks = ("query", "document", "document", "document")
    return [
        {**student.preprocess(column, task=task), "task": task} for column, task in zip(COLUMNS, tasks, strict=True)
    ]


def penalty(student):
    return IdfFlops(student[0].sub_modules["query"][0].weight.detach(), threshold=3)


def test_all_terms_give_the_library_s_loss(student):
    mixture = LossMixture(student, {"kl": 1.0, "info_nce": 0.5})
    whole = SpladeLoss(student, mixture, document_regularizer_weight=0.1, document_regularizer=penalty(student))
    sampled = SampledSpladeLoss(student, mixture, penalty(student), weight=0.1, sample=1.0)
    with torch.no_grad():
        theirs = whole(features(student), torch.tensor(LABELS))
        ours = sampled(features(student), torch.tensor(LABELS))
    assert theirs.keys() == ours.keys() == {"kl", "info_nce", "document_regularizer_loss"}
    for name, value in theirs.items():
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-4)


def test_a_sample_leaves_scores_exact_and_estimates_the_penalty_without_bias(student):
    mixture = LossMixture(student, {"kl": 1.0})
    measures = IdfFlops(student[0].sub_modules["query"][0].weight.detach())
    whole = SampledSpladeLoss(student, mixture, measures, weight=1.0, sample=1.0)
    sampled = SampledSpladeLoss(student, mixture, measures, weight=1.0, sample=0.3)
    torch.manual_seed(11)
    with torch.no_grad():
        exact = whole(features(student), torch.tensor(LABELS))
        draws = [sampled(features(student), torch.tensor(LABELS)) for _ in range(200)]
    for one in draws:
        assert one["kl"].item() == pytest.approx(exact["kl"].item(), rel=1e-4)
    penalties = torch.stack([one["document_regularizer_loss"] for one in draws])
    error = penalties.std() / math.sqrt(len(draws))
    assert penalties.std() > 0
    assert abs(penalties.mean() - exact["document_regularizer_loss"]) < 4 * error
    assert measures.chances is None


def test_a_sample_of_nothing_is_refused(student):
    with pytest.raises(UsageError, match="no term"):
        SampledSpladeLoss(student, LossMixture(student, {"kl": 1.0}), penalty(student), weight=1.0, sample=0.0)
