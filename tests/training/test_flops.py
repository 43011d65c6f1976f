"""Penalties against loops over single numbers."""

import pytest
import torch
from sentence_transformers.sparse_encoder.losses import FlopsLoss

from rankloom.training.flops import IdfFlops, flops


@pytest.fixture
def weights():
    torch.manual_seed(3)
    return torch.relu(torch.randn(6, 9))


def by_hand(rows, idf, power, threshold):
    """sum_j (mean_i idf_j w_ij / idf_j^power)^2 over terms that a query can hold, short rows as zeros."""
    total = 0.0
    for term, importance in enumerate(idf):
        if importance <= 0:
            continue
        column = [row[term] if threshold is None or sum(w != 0 for w in row) > threshold else 0.0 for row in rows]
        total += (sum(importance * w / importance**power for w in column) / len(rows)) ** 2
    return total


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [None, 3, 5])
def test_the_penalty_is_the_formula_s(weights, power, threshold):
    idf = torch.tensor([0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, -1.0, 3.0])
    ours = IdfFlops(idf, power=power, threshold=threshold).compute_loss_from_embeddings(weights)
    assert ours.item() == pytest.approx(by_hand(weights.tolist(), idf.tolist(), power, threshold), rel=1e-5)


def test_with_equal_idf_it_is_the_library_s(weights):
    ones = torch.ones(weights.shape[1])
    theirs = FlopsLoss(model=None, threshold=4).compute_loss_from_embeddings(weights)
    assert IdfFlops(ones, threshold=4).compute_loss_from_embeddings(weights).item() == pytest.approx(theirs.item())
    assert flops(weights).item() == pytest.approx(FlopsLoss(model=None).compute_loss_from_embeddings(weights).item())


def test_frequent_terms_are_pushed_harder_for_the_same_contribution():
    """Two terms that contribute alike (idf times weight): the gradient by contribution is larger where idf is low."""
    idf = torch.tensor([0.5, 4.0])
    contribution = torch.tensor([[2.0, 2.0]], requires_grad=True)
    IdfFlops(idf).compute_loss_from_embeddings(contribution / idf).backward()
    assert contribution.grad[0, 0] > contribution.grad[0, 1]
    even = torch.tensor([[2.0, 2.0]], requires_grad=True)
    IdfFlops(idf, power=0.0).compute_loss_from_embeddings(even / idf).backward()
    assert even.grad[0, 0].item() == pytest.approx(even.grad[0, 1].item() * 1.0)


def test_the_gradient_is_right(weights):
    penalty = IdfFlops(torch.rand(9).double() + 0.1, threshold=3)
    assert torch.autograd.gradcheck(penalty.compute_loss_from_embeddings, weights.double().requires_grad_())


@pytest.mark.slow
def test_the_library_trains_with_it(tmp_path):
    """A few steps of a tiny inference-free student on an ensemble's scores: it ranks as they do, with fewer terms."""
    from datasets import Dataset
    from sentence_transformers import SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder.losses import SparseDistillKLDivLoss, SpladeLoss

    from rankloom.training import ensemble
    from tests.tiny_models import tiny_splade

    torch.manual_seed(0)
    model = SparseEncoder(str(tiny_splade(tmp_path, two_logs=True)), device="cpu")
    texts = ["why is the sky blue", "the tide and the moon", "bread and yeast", "blue light"]
    label = ensemble({"bm25": [3.0, 0.0, 1.0], "dense": [0.9, 0.2, 0.1]}).tolist()
    rows = {
        "query": ["sky blue"] * 8,
        "a": [texts[0]] * 8,
        "b": [texts[1]] * 8,
        "c": [texts[2]] * 8,
        "label": [label] * 8,
    }
    before = (model.encode_document(texts, convert_to_sparse_tensor=False) > 0.01).sum().item()
    idf = next(parameter for name, parameter in model.named_parameters() if "query" in name).detach().clone()
    loss = SpladeLoss(
        model,
        SparseDistillKLDivLoss(model),
        document_regularizer_weight=1.0,
        document_regularizer=IdfFlops(idf),
    )
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=30,
        learning_rate=5e-3,
        per_device_train_batch_size=4,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        router_mapping={"query": "query", "a": "document", "b": "document", "c": "document"},
    )
    SparseEncoderTrainer(model=model, args=arguments, train_dataset=Dataset.from_dict(rows), loss=loss).train()
    documents = model.encode_document(texts, convert_to_sparse_tensor=False)
    scores = model.encode_query("sky blue", convert_to_sparse_tensor=False) @ documents.T
    assert scores[:3].argmax().item() == 0  # as the teachers say
    assert (documents > 0.01).sum().item() < 0.8 * before
