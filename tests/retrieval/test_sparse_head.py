"""The head against a masked language model of transformers with the library's own pooling."""

import pytest
import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from rankloom.retrieval.sparse_head import SparseHead
from tests.tiny_models import tiny_splade

TEXTS = ["why is the sky blue", "tide", "bread and yeast and the moon, again and again"]


@pytest.fixture(scope="module")
def masked_model(tmp_path_factory):
    """The library's fill-mask transformer, in evaluation mode."""
    return Transformer(str(tiny_splade(tmp_path_factory.mktemp("mlm"))), transformer_task="fill-mask").eval()


@pytest.fixture(params=["relu", "log1p_relu"])
def heads(request, masked_model):
    """The same weights in both forms."""
    model = masked_model.model
    head = SparseHead(model.get_input_embeddings(), activation_function=request.param)
    predictions = model.cls.predictions
    head.dense.load_state_dict(predictions.transform.dense.state_dict())
    head.norm.load_state_dict(predictions.transform.LayerNorm.state_dict())
    with torch.no_grad():
        predictions.bias.copy_(torch.linspace(-1, 1, len(predictions.bias)))
        head.bias.copy_(predictions.bias)
    return head, SpladePooling(activation_function=request.param)


def states(masked_model):
    features = masked_model.preprocess(TEXTS)
    hidden = masked_model.model.bert(
        **{name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in features}
    )
    return {"token_embeddings": hidden.last_hidden_state, "attention_mask": features["attention_mask"]}


def test_weights_are_the_library_s(masked_model, heads):
    head, pooling = heads
    with torch.inference_mode():
        ours = head(states(masked_model))["sentence_embedding"]
        theirs = pooling.eval()(masked_model(masked_model.preprocess(TEXTS)))["sentence_embedding"]
    assert (ours > 0).any()
    assert (ours == 0).any()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_gradients_are_the_library_s(masked_model, heads):
    head, pooling = heads
    head.zero_grad()
    masked_model.zero_grad()
    head(states(masked_model))["sentence_embedding"].square().sum().backward()
    pooling.train()(masked_model(masked_model.preprocess(TEXTS)))["sentence_embedding"].square().sum().backward()
    theirs = masked_model.model.cls.predictions
    torch.testing.assert_close(head.dense.weight.grad, theirs.transform.dense.weight.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(head.bias.grad, theirs.bias.grad, rtol=1e-3, atol=1e-4)


def test_a_choice_of_terms_gives_their_weights_and_zeros(masked_model, heads):
    head, _ = heads
    chosen = torch.tensor([3, 50, 60, 61, 200])
    with torch.inference_mode():
        everything = head(states(masked_model))["sentence_embedding"]
        with head.only(chosen):
            some = head(states(masked_model))["sentence_embedding"]
    expected = torch.zeros_like(everything)
    expected[:, chosen] = everything[:, chosen]
    torch.testing.assert_close(some, expected)
    assert head.columns is None


def test_padding_changes_nothing(masked_model, heads):
    head, _ = heads
    with torch.inference_mode():
        together = states(masked_model)
        alone = {name: value[1:2, : together["attention_mask"][1].sum()] for name, value in together.items()}
        torch.testing.assert_close(head(together)["sentence_embedding"][1:2], head(alone)["sentence_embedding"])
