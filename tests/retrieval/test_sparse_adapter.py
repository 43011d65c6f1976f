"""Adapters: what is shared, what is trained, and that a saved one is the one that is loaded."""

import json
from dataclasses import replace

import pytest
import torch

from rankloom import Corpus, Document, Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.models import resolve_model
from rankloom.retrieval import LearnedSparse
from rankloom.retrieval.sparse_adapter import (
    AdapterSettings,
    adapted,
    document_modules,
    load_adapter,
    read_settings,
    save_adapter,
    trained,
)
from rankloom.retrieval.sparse_encoder import SparseEncoder
from tests.tiny_models import tiny_encoder

IDF = {"sky": 2.0, "blue": 1.5, "the": 0.25, "[SEP]": 9.0}
SESSION = Session(offline=True)


@pytest.fixture
def backbone(tmp_path):
    return tiny_encoder(tmp_path / "backbone")


@pytest.fixture
def settings(backbone):
    return AdapterSettings(str(backbone), rank=2, layers=1)


@pytest.fixture
def encoder(backbone, settings):
    """A student whose changes are not zero, as after training."""
    torch.manual_seed(5)
    loaded = SentenceEncoder(str(backbone)).load(SESSION)
    encoder = adapted(loaded.model, settings, IDF)
    with torch.no_grad():
        for one in trained(encoder).values():
            one.add_(0.3 * torch.randn_like(one))
    return encoder.eval()


def weights(encoder, texts):
    with torch.inference_mode():
        return encoder(encoder.preprocess(texts, task="document"), task="document")["sentence_embedding"]


def test_only_the_upper_layers_and_the_head_are_trained(encoder):
    names = set(trained(encoder))
    assert {name.split(".lora_")[0] for name in names if "lora_" in name} == {
        f"transformer.encoder.layer.1.{part}"
        for part in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        )
    }
    assert {name for name in names if name.startswith("head.")} == {
        "head.dense.weight",
        "head.dense.bias",
        "head.norm.weight",
        "head.norm.bias",
        "head.bias",
    }


def test_the_backbone_s_weights_are_shared_and_its_vectors_stay(backbone, settings):
    sentences = SentenceEncoder(str(backbone))
    before = sentences.encode(["why is the sky blue"], role="query", session=SESSION).vectors
    loaded = sentences.load(SESSION)
    encoder = adapted(loaded.model, settings, IDF)
    theirs = {one.data_ptr() for one in loaded.model.parameters()}
    ours = {name: one.data_ptr() for name, one in encoder.named_parameters()}
    own = {name for name, place in ours.items() if place not in theirs}
    assert all("lora_" in name or ".1." in name or "query" in name for name in own)  # .1. is the head
    assert len(ours) - len(own) == len(theirs)
    after = sentences.encode(["why is the sky blue"], role="query", session=SESSION).vectors
    assert (before == after).all()


def test_a_saved_adapter_is_the_one_that_is_loaded(encoder, settings, backbone, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", settings, IDF, card="# tiny", manifest={"seed": 7})
    assert read_settings(tmp_path / "adapter") == settings
    loaded = load_adapter(tmp_path / "adapter", SentenceEncoder(str(backbone)).load(SESSION).model)
    texts = ["why is the sky blue", "tide and moon"]
    for name, one in trained(encoder).items():
        assert torch.equal(trained(loaded)[name], one.half().float())
    torch.testing.assert_close(weights(loaded, texts), weights(encoder, texts), rtol=2e-2, atol=2e-2)
    assert (weights(loaded, texts) > 0).any()
    save_adapter(encoder, tmp_path / "adapter", settings, IDF)  # takes its own place
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(UsageError, match="other things"):
        save_adapter(encoder, tmp_path / "mine", settings, IDF)


def test_it_is_a_model_by_the_name_of_its_folder(encoder, settings, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", settings, IDF)
    corpus = Corpus.of([Document("sky", "why is the sky blue"), Document("bread", "bread and yeast")])
    sparse = SparseEncoder(str(tmp_path / "adapter"))
    found = sparse.encode(["the sky, the blue sky"], role="query", session=SESSION)
    assert found.terms == [{"sky": 2.0, "blue": 1.5, "the": 0.25}]
    documents = sparse.encode([one.contents for one in corpus], role="document", session=SESSION)
    expected = weights(load_adapter(tmp_path / "adapter", SentenceEncoder(settings.backbone).load(SESSION).model),
                       [one.contents for one in corpus])  # fmt: skip
    vocabulary = sparse.load(SESSION).model.vocabulary
    for terms, row in zip(documents.terms, expected, strict=True):
        assert terms == pytest.approx({
            vocabulary[number]: row[number].item()
            for number in torch.nonzero(row).flatten().tolist()
            if number < len(vocabulary) and vocabulary[number] not in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        }, rel=1e-4)  # fmt: skip
    retriever = LearnedSparse.for_corpus(corpus, SESSION, model=str(tmp_path / "adapter"))
    assert len(retriever.run({"q1": "sky"})) == 1


def test_the_backbone_is_part_of_the_fingerprint(encoder, settings, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", settings, IDF)
    one = resolve_model(str(tmp_path / "adapter"), offline=True, stage="test")
    assert one.backbone is not None
    assert str(one.backbone.path) == settings.backbone
    other = tiny_encoder(tmp_path / "other", seed=2)
    described = json.loads((tmp_path / "adapter" / "adapter.json").read_text())
    (tmp_path / "adapter" / "adapter.json").write_text(json.dumps({**described, "backbone": str(other)}))
    assert resolve_model(str(tmp_path / "adapter"), offline=True, stage="test").fingerprint != one.fingerprint
    (tmp_path / "adapter" / "adapter.json").write_text(json.dumps({**described, "backbone": "nowhere/nothing"}))
    with pytest.raises(NotFoundError, match="nowhere/nothing"):
        resolve_model(str(tmp_path / "adapter"), offline=True, stage="test")


def test_what_does_not_fit_is_an_error(encoder, settings, backbone, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", settings, IDF)
    loaded = SentenceEncoder(str(backbone)).load(SESSION).model
    described = json.loads((tmp_path / "adapter" / "adapter.json").read_text())
    for changes, match in (({"rank": 3}, "another encoder"), ({"version": 9}, "version 9"), ({"odd": 1}, "odd")):
        (tmp_path / "adapter" / "adapter.json").write_text(json.dumps({**described, **changes}))
        with pytest.raises(DataError, match=match):
            load_adapter(tmp_path / "adapter", loaded)


def test_without_low_rank_changes_the_head_alone_is_trained(backbone, settings):
    loaded = SentenceEncoder(str(backbone)).load(SESSION)
    encoder = adapted(loaded.model, replace(settings, rank=0), IDF)
    assert all(name.startswith("head.") for name in trained(encoder))
    transformer, _ = document_modules(encoder)
    assert not any(one.requires_grad for one in transformer.parameters())
