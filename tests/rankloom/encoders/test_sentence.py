"""Sentence encoders against sentence-transformers itself, and what is said of texts that are cut."""

import threading

import numpy as np
import pytest
import sentence_transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Session
from rankloom.encoders import SentenceEncoder, readable, truncation_note
from rankloom.errors import DataError, StageError, UsageError
from rankloom.models import resolve_model
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")
TEXTS = [
    "why is the sky blue",
    "",
    "sea " * 100,
    "Tides follow the moon.",
    "天空",
    "blue sky " * 50,
    "why is the sky blue",
]


@pytest.fixture(scope="module")
def minilm():
    encoder = SentenceEncoder()
    encoder.load(SESSION)
    return encoder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    encoder = SentenceEncoder(str(tiny_encoder(tmp_path_factory.mktemp("tiny"))), batch_size=2)
    encoder.load(SESSION)
    return encoder


def test_vectors_are_those_of_sentence_transformers(minilm):
    folder = resolve_model("all-MiniLM-L6-v2", offline=True, stage="test").path
    peer = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    ours = minilm.encode(TEXTS, role="document", session=SESSION)
    assert ours.vectors.dtype == np.float32
    np.testing.assert_allclose(ours.vectors, peer.encode_document(TEXTS), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(ours.vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("name", "limit"), [("minilm", 256), ("tiny", 32)])
def test_tokens_are_counted_exactly(name, limit, request):
    encoder = request.getfixturevalue(name)
    encoded = encoder.encode(TEXTS, role="document", session=SESSION)
    tokenizer = encoder.load(SESSION).model.tokenizer
    full = [len(tokenizer(text, truncation=False, verbose=False).input_ids) for text in TEXTS]
    assert sum(count > limit for count in full) == {"minilm": 0, "tiny": 2}[name]  # two in one batch
    assert encoded.tokens.tolist() == [min(limit, count) for count in full]
    assert encoded.truncated.tolist() == [max(0, count - limit) for count in full]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=120), max_size=7))
def test_any_texts_are_counted_exactly(tiny, texts):
    encoded = tiny.encode(texts, role="query", session=SESSION)
    tokenizer = tiny.load(SESSION).model.tokenizer
    full = [len(tokenizer(readable(text), truncation=False, verbose=False).input_ids) for text in texts]
    assert (encoded.tokens + encoded.truncated).tolist() == full
    assert encoded.tokens.tolist() == [min(32, count) for count in full]
    assert encoded.calls == -(-len(set(texts)) // 2)


def test_company_changes_nothing_but_noise(minilm):
    texts = [text for text in TEXTS if len(text) < 100] + ["sea " * 20]
    together = minilm.encode(texts, role="query", session=SESSION).vectors
    for text, vector in zip(texts, together, strict=True):
        alone = minilm.encode([text], role="query", session=SESSION).vectors[0]
        np.testing.assert_allclose(alone, vector, atol=1e-6)


def test_the_same_texts_give_the_same_bits(tiny):
    first = tiny.encode(TEXTS, role="query", session=SESSION).vectors
    assert first[0].tobytes() == first[6].tobytes()  # equal texts
    assert first.tobytes() == tiny.encode(TEXTS, role="query", session=SESSION).vectors.tobytes()


def test_no_texts(tiny):
    encoded = tiny.encode([], role="query", session=SESSION)
    assert encoded.vectors.shape == (0, 32)
    assert (len(encoded.tokens), len(encoded.truncated), encoded.calls) == (0, 0, 0)


def test_half_a_surrogate_pair_is_read_as_a_question_mark(tiny):
    one, other = tiny.encode(["sky \ud83d", "sky ?"], role="query", session=SESSION).vectors
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_prompts_are_put_before_texts(tmp_path):
    folder = tiny_encoder(tmp_path, prompts={"query": "query: ", "passage": "sea "})
    plain = SentenceEncoder(str(tiny_encoder(tmp_path / "plain")))
    prompted = SentenceEncoder(str(folder))
    for role, prompt in (("query", "query: "), ("document", "sea ")):
        expected = plain.encode([prompt + "blue sky"], role=role, session=SESSION)
        found = prompted.encode(["blue sky"], role=role, session=SESSION)
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
        assert found.tokens.tolist() == expected.tokens.tolist()
    cut = prompted.encode(["blue " * 100], role="query", session=SESSION)
    assert cut.truncated.tolist() == [100 + 2 + 2 - 32]


def test_vectors_have_length_one_only_where_the_model_compares_by_cosine(tmp_path):
    lengths = {}
    for name, options in {
        "unsaid": {"normalize": False},
        "dot": {"normalize": False, "similarity": "dot"},
        "both": {"normalize": True, "similarity": "dot"},
    }.items():
        encoder = SentenceEncoder(str(tiny_encoder(tmp_path / name, **options)))
        lengths[name] = float(np.linalg.norm(encoder.encode(["sky"], role="query", session=SESSION).vectors))
    assert lengths["unsaid"] == pytest.approx(1, abs=1e-6)
    assert lengths["both"] == pytest.approx(1, abs=1e-6)
    assert abs(lengths["dot"] - 1) > 0.1


def test_other_similarities_are_refused(tmp_path):
    encoder = SentenceEncoder(str(tiny_encoder(tmp_path, similarity="manhattan")))
    with pytest.raises(StageError, match="neither cosine nor inner product"):
        encoder.load(SESSION)


def test_bfloat16_is_close_and_of_length_one(minilm):
    half = minilm.encode(TEXTS[:4], role="query", session=Session(offline=True, device="cpu", dtype="bfloat16")).vectors
    full = minilm.encode(TEXTS[:4], role="query", session=SESSION).vectors
    assert half.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    assert (np.einsum("ij,ij->i", half, full) > 0.995).all()


def test_static_embeddings_work_too(tmp_path):
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "blue": 1, "sky": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    model = sentence_transformers.SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)])
    model.save_pretrained(str(tmp_path / "static"))
    encoded = SentenceEncoder(str(tmp_path / "static")).encode(["blue sky", "sky"], role="query", session=SESSION)
    assert encoded.vectors.shape == (2, 8)
    assert (encoded.tokens.tolist(), encoded.truncated.tolist()) == ([2, 1], [0, 0])


def test_encoders_work_side_by_side(minilm):
    texts = [[f"{word} {number}" * 5 for number in range(3)] for word in ("sky", "sea", "moon", "bread")]
    alone = [minilm.encode(some, role="query", session=SESSION).vectors for some in texts]
    found = {}

    def work(number):
        found[number] = minilm.encode(texts[number], role="query", session=SESSION).vectors

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vectors in enumerate(alone):
        np.testing.assert_allclose(found[number], vectors, atol=1e-6)


def test_fingerprints_tell_models_apart(minilm, tiny):
    assert minilm.fingerprint() == SentenceEncoder("sentence-transformers/all-MiniLM-L6-v2").fingerprint()
    assert minilm.fingerprint() != tiny.fingerprint()
    assert SentenceEncoder("no/where").fingerprint() != SentenceEncoder("no/place").fingerprint()


def test_a_text_that_is_cut_is_noted_or_an_error():
    note = truncation_note(SESSION, stage="dense", tokens=7, doc_id="d1")
    assert (note.kind, note.amount, note.doc_id) == ("truncated", 7, "d1")
    with pytest.raises(DataError, match=r"last 7 tokens .* got 'd1'"):
        truncation_note(Session(on_truncate="error"), stage="dense", tokens=7, query_id="q1", doc_id="d1")


def test_batches_hold_at_least_one_text():
    with pytest.raises(UsageError):
        SentenceEncoder(batch_size=0)
