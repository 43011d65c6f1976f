"""Adapters of Provence models: what they share with their backbone, what they keep, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom import cross_encoder_adapter
from rankloom.cross_encoder_adapter import CrossEncoderSettings
from rankloom.errors import DataError, UsageError
from rankloom.provence_adapter import (
    ProvenceSettings,
    adapted,
    load_adapter,
    read_settings,
    save_adapter,
    trained,
    with_token_head,
)
from tests.tiny_models import tiny_encoder

PAIRS = [("why is the sky blue", "the sky is blue"), ("tide", "bread")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("tiny"), max_length=64))


@pytest.fixture
def backbone(folder):
    return SentenceTransformer(folder, device="cpu")


def drawn(backbone, settings):
    """An adapted model all of whose trained weights are random."""
    torch.manual_seed(5)
    model = adapted(backbone, settings).eval()
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.normal_(std=0.3)
    return model


def heads(model, backbone):
    features = backbone[0].tokenizer(PAIRS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model(**features)
    return found.scores.numpy(), found.tokens.numpy()


def test_the_backbone_is_shared_and_stays_as_it_is(folder, backbone):
    before = backbone.encode(["the sky"])
    model = drawn(backbone, ProvenceSettings(folder, 40, rank=2))
    scores, tokens = heads(model, backbone)
    assert scores.shape == (2,)
    assert tokens.shape[::2] == (2, 2)
    np.testing.assert_array_equal(backbone.encode(["the sky"]), before)
    shared = {one.data_ptr() for one in backbone.parameters()}
    assert not shared & {one.data_ptr() for one in trained(model).values()}


def test_an_adapter_comes_back_as_it_was(folder, backbone, tmp_path):
    settings = ProvenceSettings(folder, 40, rank=2, layers=1, rounding="majority")
    model = drawn(backbone, settings)
    save_adapter(model, tmp_path / "adapter", settings, card="What it is.")
    fresh = SentenceTransformer(folder, device="cpu")
    again = load_adapter(tmp_path / "adapter", fresh)
    assert read_settings(tmp_path / "adapter") == settings
    assert not again.training
    for one, other in zip(heads(again, fresh), heads(model, backbone), strict=True):
        assert np.abs(one - other).max() < 0.1 * np.ptp(other)  # weights are kept in half precision


def test_a_cross_encoder_learns_to_prune_with_the_head_that_it_has(folder, backbone):
    encoder = cross_encoder_adapter.adapted(backbone, CrossEncoderSettings(folder, 40, rank=2)).eval()
    model = with_token_head(encoder).eval()
    assert len(trained(model)) == len(cross_encoder_adapter.trained(encoder)) + 2
    expected = encoder.predict(PAIRS, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(heads(model, backbone)[0], expected, atol=1e-5)
    found = model(**backbone[0].tokenizer([PAIRS[0]], return_tensors="pt"))
    (found.scores.sum() + found.tokens[..., 1].sum()).backward()
    assert all(one.grad is not None for one in trained(model).values())


@pytest.mark.parametrize("architecture", ["MPNet", "DistilBert", "Nystromformer"])
def test_only_backbones_like_bert_are_read_below_the_last_layer(architecture):
    import transformers

    sizes = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 8} if architecture == "DistilBert" else {
        "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    }  # fmt: skip
    config = getattr(transformers, f"{architecture}Config")(vocab_size=64, num_labels=1, **sizes)
    classifier = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    encoder = [SimpleNamespace(model=classifier)]
    assert with_token_head(encoder).token_head.in_features == 32
    with pytest.raises(UsageError, match=f"provence.*below the last.*'{architecture.lower()}'.*bert.*below_last=False"):
        with_token_head(encoder, below_last=True)


def test_another_kind_of_adapter_and_other_sizes_are_refused(folder, backbone, tmp_path):
    settings = ProvenceSettings(folder, rank=2)
    save_adapter(drawn(backbone, settings), tmp_path / "adapter", settings)
    file = tmp_path / "adapter" / "adapter.json"
    said = file.read_text()
    file.write_text(said.replace('"rank": 2', '"rank": 4'))
    with pytest.raises(DataError, match="another encoder"):
        load_adapter(tmp_path / "adapter", backbone)
    file.write_text(said.replace("rankloom-provence-adapter", "rankloom-cross-encoder-adapter"))
    with pytest.raises(DataError, match="format"):
        read_settings(tmp_path / "adapter")
