"""What a cross-encoder is spared changes no score, whatever its architecture, engine and number of threads."""

import numpy as np
import pytest
import torch

from rankloom import Document, Session
from rankloom.rerank import CrossEncoder
from rankloom.rerank.cross_encoder_model import _spared
from rankloom.rerank.first_token_layer import FirstTokenLayer
from rankloom.rerank.packed_layers import PackedLayers
from rankloom.rerank.pair_stage import Pair
from tests.tiny_models import tiny_cross_encoder, tiny_tokenizer

SESSION = Session(offline=True, device="cpu")
LIKE_BERT = ["Bert", "Roberta", "XLMRoberta", "Electra", "Camembert"]
OTHERS = ["DistilBert", "DebertaV2", "ModernBert"]
TEXTS = ["", "sky", "the sea is blue", "light " * 12, "the moon moves the tide", "why", "bread and yeast", "blue " * 40]
PAIRS = [Pair(query, Document("x", text)) for query in ("tide", "why is the sky blue") for text in TEXTS]


def tiny(folder, architecture):
    """A cross-encoder with three layers, random in all its weights, biases too."""
    import transformers

    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    if architecture == "DistilBert":
        sizes = {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64}
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=256, max_position_embeddings=64, initializer_range=0.3, num_labels=1, **sizes, **special
    )
    model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tiny_tokenizer(folder, max_length=48)
    return str(folder)


def peer_of(folder):
    import sentence_transformers

    return sentence_transformers.CrossEncoder(folder, device="cpu", local_files_only=True)


def expected(folder):
    """The scores of sentence-transformers."""
    texts = [(pair.query, pair.document.contents) for pair in PAIRS]
    scores = peer_of(folder).predict(texts, activation_fn=torch.nn.Identity())
    assert np.ptp(scores) > 0.1  # the model tells the documents apart
    return scores


@pytest.mark.parametrize("architecture", LIKE_BERT)
def test_scores_stay_what_they_are(tmp_path, architecture):
    folder = tiny(tmp_path, architecture)
    stage = CrossEncoder(folder)
    found = stage.score(PAIRS, SESSION).scores
    packed, last = stage._loaded.model[0].model.base_model.encoder.layer
    assert isinstance(packed, PackedLayers)
    assert len(packed.layers) == 2
    assert isinstance(last, FirstTokenLayer)
    np.testing.assert_allclose(found, expected(folder), atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_may_stay(tmp_path, attention):
    """As on an accelerator, where it costs less than looking at texts one after another."""
    model = peer_of(tiny(tmp_path, "Bert"))
    texts = [(pair.query, pair.document.contents) for pair in PAIRS]
    before = model.predict(texts, activation_fn=torch.nn.Identity())
    model[0].model.set_attn_implementation(attention)
    layers = _spared(model, packed=False)[0].model.base_model.encoder.layer
    assert [isinstance(layer, FirstTokenLayer) for layer in layers] == [False, False, True]
    np.testing.assert_allclose(model.predict(texts, activation_fn=torch.nn.Identity()), before, atol=1e-5)


@pytest.mark.parametrize("architecture", LIKE_BERT)
def test_scores_of_exported_models_too(tmp_path, architecture):
    folder = tiny(tmp_path, architecture)
    found = CrossEncoder(folder, precision="onnx-float32").score(PAIRS, SESSION).scores
    np.testing.assert_allclose(found, expected(folder), atol=1e-4)


@pytest.mark.parametrize("architecture", OTHERS)
def test_other_architectures_are_left_as_they_are(tmp_path, architecture):
    folder = tiny(tmp_path, architecture)
    stage = CrossEncoder(folder)
    found = stage.score(PAIRS, SESSION).scores
    assert not [one for one in stage._loaded.model.modules() if isinstance(one, PackedLayers | FirstTokenLayer)]
    np.testing.assert_allclose(found, expected(folder), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(tmp_path, precision):
    """Also of a single batch."""
    stage = CrossEncoder(str(tiny_cross_encoder(tmp_path)), precision=precision, batch_size=3)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            some = [stage.score(pairs, SESSION).scores.tobytes() for pairs in (PAIRS, PAIRS[:2])]
            found.append(some)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
