"""A started head predicts the tokens that are there, and the backbone is left alone."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankloom import Session
from rankloom.encoders import SentenceEncoder
from rankloom.eval import load_collection
from rankloom.retrieval.sparse_adapter import AdapterSettings, adapted, document_modules, trained
from rankloom.training.warm_start import warm_start
from tests.tiny_models import WORDS, tiny_encoder

TEXTS = [" ".join(WORDS[(start + step) % 12] for step in range(8)) for start in range(12)] * 8


def student(folder, *, seed):
    torch.manual_seed(seed)
    backbone = SentenceTransformer(str(tiny_encoder(folder / str(seed))), device="cpu")
    return adapted(backbone, AdapterSettings("tiny", rank=2, layers=1), dict.fromkeys(WORDS, 1.0)).eval()


def share_right(encoder):
    """Share of words whose own term weighs most in a text of that word."""
    transformer, head = document_modules(encoder)
    with torch.inference_mode():
        features = transformer.preprocess(TEXTS[:12])
        states = transformer(dict(features))["token_embeddings"]
        logits = head.transform(states) @ head.embeddings.weight.T + head.bias
    plain = ~torch.isin(features["input_ids"], torch.tensor(transformer.tokenizer.all_special_ids))
    return (logits.argmax(-1) == features["input_ids"])[plain].float().mean().item()


def test_tokens_come_to_predict_themselves(tmp_path):
    """The random states of the tiny model hardly tell tokens apart, so a quarter of them is much."""
    encoder = student(tmp_path, seed=1)
    before = share_right(encoder)
    changes = {name: one.clone() for name, one in trained(encoder).items() if "lora" in name}
    said = warm_start(encoder, TEXTS, terms=5)
    after = share_right(encoder)
    assert after > 0.2 > 5 * before
    assert abs(said - after) < 0.1  # the held-out texts are the same as the others here
    for name, one in changes.items():
        assert torch.equal(trained(encoder)[name], one)


def test_the_bias_leaves_a_token_about_so_many_terms(tmp_path):
    counts = []
    for terms in (3, 30):
        encoder = student(tmp_path, seed=1)
        warm_start(encoder, TEXTS, terms=terms)
        transformer, head = document_modules(encoder)
        with torch.inference_mode():
            states = transformer(dict(transformer.preprocess(TEXTS[:12])))["token_embeddings"]
            logits = head.transform(states) @ head.embeddings.weight.T + head.bias
        counts.append((logits > 0).sum(-1).float().mean().item())
    assert counts[0] < 10
    assert 15 < counts[1] < 60


def test_it_follows_the_seed(tmp_path):
    heads = []
    for seed in (1, 1, 2):
        encoder = student(tmp_path, seed=1)
        warm_start(encoder, TEXTS, seed=seed)
        heads.append(document_modules(encoder)[1].dense.weight.detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.slow
def test_a_real_backbone_becomes_a_lexical_encoder():
    loaded = SentenceEncoder().load(Session(offline=True))
    encoder = adapted(loaded.model, AdapterSettings("mini", rank=0), {})
    texts = [document.text for document in list(load_collection("mini").corpus)[:96]]
    assert warm_start(encoder, texts) > 0.85
