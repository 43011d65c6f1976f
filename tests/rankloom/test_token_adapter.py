"""Adapters of multi-vector encoders: what is shared, what is trained, and that one saved is the one loaded."""

import json
from dataclasses import replace

import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom.adapter import adapter_format
from rankloom.errors import DataError
from rankloom.models import resolve_model
from rankloom.token_adapter import TokenAdapterSettings, adapted, load_adapter, read_settings, save_adapter, trained
from rankloom.token_layout import TokenLayout
from tests.tiny_models import tiny_encoder

LAYOUT = TokenLayout(query_tokens=12, document_tokens=24, query_prefix="query: ")
TEXTS = ["why is the sky blue", "tide and moon, moon and tide"]


@pytest.fixture
def backbone(tmp_path):
    return tiny_encoder(tmp_path / "backbone")


@pytest.fixture
def settings(backbone):
    return TokenAdapterSettings(str(backbone), LAYOUT, dimensions=8, reduction="C4x8", rank=2, layers=1)


@pytest.fixture
def encoder(backbone, settings):
    """One whose changes are not zero, as after training."""
    torch.manual_seed(5)
    encoder = adapted(SentenceTransformer(str(backbone), device="cpu"), settings)
    with torch.no_grad():
        for one in trained(encoder).values():
            one.add_(0.3 * torch.randn_like(one))
    return encoder.eval()


def test_the_upper_layers_and_the_projection_are_trained(encoder):
    names = set(trained(encoder))
    assert {name for name in names if "lora" not in name} == {"projection.linear.weight"}
    changed = {name.split(".lora_")[0] for name in names if "lora_" in name}
    assert {name.split("layer.")[1][0] for name in changed} == {"1"}
    assert len(changed) == 6


def test_all_layers_are_changed_where_none_is_named(backbone, settings):
    encoder = adapted(SentenceTransformer(str(backbone), device="cpu"), replace(settings, layers=None))
    assert {name.split("layer.")[1][0] for name in trained(encoder) if "lora_" in name} == {"0", "1"}


def test_the_backbone_s_weights_are_shared_and_its_vectors_stay(backbone, settings):
    sentences = SentenceTransformer(str(backbone), device="cpu")
    before = sentences.encode(TEXTS)
    encoder = adapted(sentences, settings)
    theirs = {one.data_ptr() for one in sentences.parameters()}
    own = {name for name, one in encoder.named_parameters() if one.data_ptr() not in theirs}
    assert all("lora_" in name or name == "1.linear.weight" for name in own)
    with torch.no_grad():
        for one in trained(encoder).values():
            one.add_(1.0)
    assert (sentences.encode(TEXTS) == before).all()


def test_a_saved_adapter_is_the_one_that_is_loaded(encoder, settings, backbone, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", settings, card="# tiny", manifest={"seed": 7})
    assert read_settings(tmp_path / "adapter") == settings
    assert adapter_format(tmp_path / "adapter") == "rankloom-token-adapter"
    assert adapter_format(backbone) is None
    loaded = load_adapter(tmp_path / "adapter", SentenceTransformer(str(backbone), device="cpu"))
    for name, one in trained(encoder).items():
        assert torch.equal(trained(loaded)[name], one.half().float())
    for role in ("encode_query", "encode_document"):
        for one, again in zip(getattr(encoder, role)(TEXTS), getattr(loaded, role)(TEXTS), strict=True):
            torch.testing.assert_close(again, one, rtol=2e-2, atol=2e-2)
    assert len(loaded.encode_query(["sky"])[0]) == 5  # with the two tokens of the prefix
    assert (tmp_path / "adapter" / "README.md").read_text() == "# tiny"


def test_it_is_a_model_that_names_its_backbone(encoder, settings, backbone, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", settings)
    found = resolve_model(str(tmp_path / "adapter"), offline=True, stage="test")
    assert found.backbone is not None
    assert found.backbone.path == backbone


@pytest.mark.parametrize("change", [{"format": "rankloom-sparse-adapter"}, {"version": 2}, {"layout": {"words": 3}}])
def test_what_is_no_adapter_of_this_version_is_refused(encoder, settings, tmp_path, change):
    save_adapter(encoder, tmp_path / "adapter", settings)
    file = tmp_path / "adapter" / "adapter.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=r"can not be read.*rankloom-token-adapter, version 1"):
        read_settings(tmp_path / "adapter")


def test_an_adapter_that_does_not_fit_its_backbone_is_refused(encoder, settings, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", replace(settings, dimensions=16))
    with pytest.raises(DataError, match="of another encoder"):
        load_adapter(tmp_path / "adapter", SentenceTransformer(settings.backbone, device="cpu"))
