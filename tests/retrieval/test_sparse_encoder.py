"""Sparse encoders against sentence-transformers itself, on tiny checkpoints in the layouts that the hub has."""

import numpy as np
import pytest
import sentence_transformers
import torch

from rankloom import Session
from rankloom.errors import DataError, UsageError
from rankloom.models import resolve_model
from rankloom.retrieval.sparse_encoder import SparseEncoder
from tests.tiny_models import tiny_encoder, tiny_splade

SESSION = Session(offline=True, device="cpu")
TEXTS = ["why is the sky blue", "", "sea " * 100, "the tide", "why is the sky blue", "half a pair \ud83d"]


@pytest.fixture(scope="module")
def splade(tmp_path_factory):
    return tiny_splade(tmp_path_factory.mktemp("splade"))


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    return tiny_splade(tmp_path_factory.mktemp("routed"), two_logs=True)


def peer_terms(folder, texts, role):
    """Term -> weight of each text, by sentence-transformers alone."""
    model = sentence_transformers.SparseEncoder(str(folder), device="cpu", local_files_only=True)
    encode = model.encode_query if role == "query" else model.encode_document
    special = set(model.tokenizer.all_special_ids)
    found = []
    for row in encode(texts, convert_to_sparse_tensor=False):
        numbers = [int(n) for n in torch.nonzero(row).flatten() if int(n) < len(model.tokenizer)]
        found.append({model.tokenizer.convert_ids_to_tokens(n): float(row[n]) for n in numbers if n not in special})
    return found


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("layout", ["splade", "routed"])
def test_terms_are_those_of_sentence_transformers(layout, role, request):
    folder = request.getfixturevalue(layout)
    activation = "model" if layout == "routed" else "log1p"
    ours = SparseEncoder(str(folder), activation=activation, batch_size=2).encode(TEXTS[:5], role=role, session=SESSION)
    for terms, expected in zip(ours.terms, peer_terms(folder, TEXTS[:5], role), strict=True):
        assert terms.keys() == expected.keys()
        assert all(terms[term] == pytest.approx(weight, abs=1e-5) for term, weight in expected.items())


def test_the_second_logarithm_is_the_checkpoint_s_or_is_asked_for(splade, routed):
    encode = {"role": "document", "session": SESSION}
    one = SparseEncoder(str(splade), activation="log1p").encode(TEXTS[:1], **encode).terms[0]
    two = SparseEncoder(str(splade), activation="log1p_log1p").encode(TEXTS[:1], **encode).terms[0]
    saved = SparseEncoder(str(routed)).encode(TEXTS[:1], **encode).terms[0]
    undone = SparseEncoder(str(routed), activation="log1p").encode(TEXTS[:1], **encode).terms[0]
    assert two == pytest.approx({term: float(np.log1p(weight)) for term, weight in one.items()}, abs=1e-6)
    assert saved == pytest.approx(two, abs=1e-6)
    assert undone == pytest.approx(one, abs=1e-6)
    prints = {SparseEncoder(str(splade), activation=name).fingerprint() for name in ("model", "log1p", "log1p_log1p")}
    assert len(prints) == 3


def test_a_checkpoint_that_does_not_say_how_many_logarithms_must_be_told(splade):
    with pytest.raises(DataError, match=r"one logarithm or two.*activation='log1p'"):
        SparseEncoder(str(splade)).encode(TEXTS[:1], role="document", session=SESSION)


def test_pruning_drops_light_terms_and_the_cap_keeps_the_heaviest(splade):
    encode = {"role": "document", "session": SESSION}
    whole = SparseEncoder(str(splade), activation="log1p").encode(TEXTS[:1], **encode).terms[0]
    heaviest = max(whole.values())
    pruned = SparseEncoder(str(splade), activation="log1p", prune_ratio=0.5).encode(TEXTS[:1], **encode).terms[0]
    assert pruned == {term: weight for term, weight in whole.items() if weight > 0.5 * heaviest}
    assert 0 < len(pruned) < len(whole)
    capped = SparseEncoder(str(splade), activation="log1p", top_terms=3).encode(TEXTS[:1], **encode).terms[0]
    assert list(capped.items()) == sorted(whole.items(), key=lambda pair: (-pair[1], pair[0]))[:3]


def test_tokens_and_truncation_are_counted(splade, routed):
    encoded = SparseEncoder(str(splade), activation="log1p").encode(TEXTS, role="document", session=SESSION)
    assert encoded.truncated.tolist() == [0, 0, 70, 0, 0, 0]
    assert encoded.tokens.tolist()[:3] == [7, 2, 32]
    assert encoded.calls == 1
    static = SparseEncoder(str(routed)).encode(TEXTS[:1], role="query", session=SESSION)
    assert set(static.terms[0]) == set(TEXTS[0].split())


def test_a_model_without_a_weight_for_each_term_is_refused(tmp_path):
    folder = tiny_encoder(tmp_path)
    with pytest.raises(DataError, match="no weight for each term"):
        SparseEncoder(str(folder)).encode(["sky"], role="document", session=SESSION)


@pytest.mark.parametrize(
    "wrong", [{"activation": "log"}, {"prune_ratio": 1.5}, {"top_terms": 0}, {"batch_size": 0}], ids=str
)
def test_parameters_out_of_range(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SparseEncoder("naver/splade-v3", **wrong)


def test_the_digest_of_a_routed_model_covers_the_modules_behind_the_router(routed):
    before = resolve_model(str(routed), offline=True, stage="test").fingerprint
    weights = next(routed.glob("query_0_*/*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert resolve_model(str(routed), offline=True, stage="test").fingerprint != before
    finally:
        weights.write_bytes(content)
