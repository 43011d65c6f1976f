"""Adapters of cross-encoders: what they share with their backbone, what they keep, and what is refused."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom.cross_encoder_adapter import (
    CrossEncoderSettings,
    adapted,
    load_adapter,
    read_settings,
    save_adapter,
    trained,
)
from rankloom.errors import DataError
from tests.tiny_models import tiny_encoder

PAIRS = [("why is the sky blue", "the sky is blue"), ("tide", "the moon moves the sea"), ("tide", "bread " * 20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("tiny"), max_length=64))


@pytest.fixture
def backbone(folder):
    return SentenceTransformer(folder, device="cpu")


def scores(model, pairs=PAIRS):
    return model.predict(pairs, activation_fn=torch.nn.Identity())


def drawn(backbone, settings):
    """An adapted model all of whose trained weights are random."""
    torch.manual_seed(5)
    model = adapted(backbone, settings).eval()
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.normal_(std=0.3)
    return model


def test_the_backbone_is_shared_and_stays_as_it_is(folder, backbone):
    before = backbone.encode(["the sky"])
    model = drawn(backbone, CrossEncoderSettings(folder, 40, rank=2))
    np.testing.assert_array_equal(backbone.encode(["the sky"]), before)
    own = {one.data_ptr() for one in trained(model).values()}
    shared = {one.data_ptr() for one in backbone.parameters()}
    assert not own & shared
    whole = sum(one.numel() for one in model.parameters())
    copied = sum(one.numel() for one in model.parameters() if one.data_ptr() not in shared)
    assert copied < whole / 4


def test_an_adapter_comes_back_as_it_was(folder, backbone, tmp_path):
    settings = CrossEncoderSettings(folder, 40, rank=2, layers=1)
    model = drawn(backbone, settings)
    save_adapter(model, tmp_path / "adapter", settings)
    again = load_adapter(tmp_path / "adapter", SentenceTransformer(folder, device="cpu"))
    assert read_settings(tmp_path / "adapter") == settings
    assert again.max_seq_length == 40
    off = np.abs(scores(again) - scores(model)).max()  # weights are kept in half precision
    assert off < 0.1 * np.ptp(scores(model))


def test_both_texts_count(folder, backbone):
    model = drawn(backbone, CrossEncoderSettings(folder, 40, rank=2))
    one, other, third = scores(model, [PAIRS[0], (PAIRS[0][0], PAIRS[1][1]), (PAIRS[1][0], PAIRS[0][1])])
    assert one != pytest.approx(other, abs=1e-4)
    assert one != pytest.approx(third, abs=1e-4)


def test_another_kind_of_adapter_and_other_sizes_are_refused(folder, backbone, tmp_path):
    settings = CrossEncoderSettings(folder, rank=2)
    save_adapter(drawn(backbone, settings), tmp_path / "adapter", settings)
    said = (tmp_path / "adapter" / "adapter.json").read_text()
    (tmp_path / "adapter" / "adapter.json").write_text(said.replace('"rank": 2', '"rank": 4'))
    with pytest.raises(DataError, match="another encoder"):
        load_adapter(tmp_path / "adapter", backbone)
    (tmp_path / "adapter" / "adapter.json").write_text(said.replace("cross-encoder-adapter", "token-adapter"))
    with pytest.raises(DataError, match="rankloom-token-adapter"):
        read_settings(tmp_path / "adapter")
