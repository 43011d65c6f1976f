"""What can be asked of a sentence encoder, against sentence-transformers' own output."""

import logging
import pickle

import numpy as np
import pytest
import sentence_transformers
import torch
from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoTokenizer, BertModel

from rankloom import Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import UsageError
from tests.tiny_models import tiny_config, tiny_encoder, tiny_tokenizer

SESSION = Session(offline=True, device="cpu")
TEXTS = ["why is the sky blue", "sea", "", "the tide is why the moon : bread", "sky " * 60, "天空"]


def peer(folder, **options):
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True, **options)


def encoded(encoder, role="document"):
    return encoder.encode(TEXTS, role=role, session=SESSION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("tiny"), prompts={"query": "query: ", "passage": "sea "})


@pytest.mark.parametrize(("given", "expected"), [(None, "query: "), ("moon : ", "moon : "), ("", None)])
def test_prompts_are_the_models_own_or_those_given(folder, given, expected):
    found = encoded(SentenceEncoder(str(folder), query_prompt=given), "query")
    np.testing.assert_allclose(found.vectors, peer(folder).encode(TEXTS, prompt=expected), atol=1e-6)


def test_a_prompt_of_documents_is_put_before_no_query(folder):
    encoder = SentenceEncoder(str(folder), document_prompt="bread ")
    np.testing.assert_allclose(encoded(encoder).vectors, peer(folder).encode(TEXTS, prompt="bread "), atol=1e-6)
    np.testing.assert_allclose(encoded(encoder, "query").vectors, peer(folder).encode_query(TEXTS), atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_truncated_vectors_have_length_one_again_where_they_had_it(tmp_path, similarity):
    model = tiny_encoder(tmp_path, normalize=False, similarity=similarity)
    vectors = encoded(SentenceEncoder(str(model), dimensions=8)).vectors
    expected = peer(model, truncate_dim=8).encode(TEXTS, normalize_embeddings=similarity == "cosine")
    assert vectors.shape == (len(TEXTS), 8)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_more_dimensions_than_there_are_is_an_error(folder):
    with pytest.raises(UsageError, match="up to 32"):
        encoded(SentenceEncoder(str(folder), dimensions=33))


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pooling_can_be_chosen(tmp_path, pooling, side):
    model = peer(tiny_encoder(tmp_path))
    model.tokenizer.padding_side = side
    model[1].pooling_mode = pooling
    model.save_pretrained(str(tmp_path / "asked"))
    model[1].pooling_mode = "mean"
    model.save_pretrained(str(tmp_path / "other"))
    found = encoded(SentenceEncoder(str(tmp_path / "other"), pooling=pooling))
    np.testing.assert_allclose(found.vectors, peer(tmp_path / "asked").encode(TEXTS), atol=2e-6)


def test_a_pooling_may_leave_the_prompt_out(tmp_path):
    model = peer(tiny_encoder(tmp_path, prompts={"query": "query: "}))
    model.set_pooling_include_prompt(include_prompt=False)
    model.save_pretrained(str(tmp_path / "without"))
    found = encoded(SentenceEncoder(str(tmp_path / "without")), "query").vectors
    np.testing.assert_allclose(found, peer(tmp_path / "without").encode_query(TEXTS), atol=1e-6)
    assert np.abs(found - peer(tmp_path / "model").encode_query(TEXTS)).max() > 0.01


def test_vectors_are_normalised_as_asked(tmp_path):
    model = tiny_encoder(tmp_path)  # with a module that normalises
    raw = encoded(SentenceEncoder(str(model), normalize=False)).vectors
    states = peer(model)
    states[2] = torch.nn.Identity()
    np.testing.assert_allclose(raw, states.encode(TEXTS), atol=1e-5)
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).max() > 0.1
    dot = tiny_encoder(tmp_path / "dot", normalize=False, similarity="dot")
    unit = encoded(SentenceEncoder(str(dot), normalize=True)).vectors
    np.testing.assert_allclose(unit, peer(dot).encode(TEXTS, normalize_embeddings=True), atol=1e-6)


@pytest.mark.parametrize("precision", [None, "onnx-float32"])
def test_a_router_is_asked_by_what_the_texts_are(tmp_path, precision):
    ways = {}
    for seed, way in enumerate(("query", "document")):
        tiny_encoder(tmp_path / way, seed=seed)
        ways[f"{way}_modules"] = [Transformer(str(tmp_path / way / "bert"), max_seq_length=32), Pooling(32, "mean")]
    model = sentence_transformers.SentenceTransformer(modules=[Router.for_query_document(**ways), Normalize()])
    model.save_pretrained(str(tmp_path / "routed"))
    encoder, expected = SentenceEncoder(str(tmp_path / "routed"), precision=precision), peer(tmp_path / "routed")
    np.testing.assert_allclose(encoded(encoder, "query").vectors, expected.encode_query(TEXTS), atol=2e-6)
    found = encoded(encoder)
    np.testing.assert_allclose(found.vectors, expected.encode_document(TEXTS), atol=2e-6)
    assert found.truncated.tolist() == [0, 0, 0, 0, 30, 0]
    assert np.abs(expected.encode_query(TEXTS) - expected.encode_document(TEXTS)).max() > 0.1


def test_queries_may_have_a_model_of_their_own(tmp_path):
    one, other = (tiny_encoder(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    encoder = SentenceEncoder(str(one), query_model=str(other))
    encoder.load(SESSION)
    np.testing.assert_allclose(encoded(encoder).vectors, peer(one).encode(TEXTS), atol=1e-6)
    np.testing.assert_allclose(encoded(encoder, "query").vectors, peer(other).encode(TEXTS), atol=1e-6)


def test_two_models_must_give_vectors_of_one_length(tmp_path):
    encoder = SentenceEncoder("all-MiniLM-L6-v2", query_model=str(tiny_encoder(tmp_path)))
    with pytest.raises(UsageError, match="different lengths"):
        encoder.load(SESSION)


def test_a_plain_checkpoint_is_pooled_by_the_mean_and_says_so(tmp_path, caplog):
    torch.manual_seed(3)
    BertModel(tiny_config()).save_pretrained(tmp_path)
    tiny_tokenizer(tmp_path, max_length=32)
    with caplog.at_level(logging.WARNING, logger="rankloom"):
        found = encoded(SentenceEncoder(str(tmp_path))).vectors
    assert "does not say how it pools" in caplog.text
    assert "'mean' is taken" in caplog.text
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        states = BertModel.from_pretrained(tmp_path)(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_the_encoders_of_dpr_load(tmp_path):
    from transformers import DPRConfig, DPRContextEncoder

    torch.manual_seed(4)
    config = DPRConfig(**{name: value for name, value in tiny_config().to_dict().items() if name != "model_type"})
    model = DPRContextEncoder(config).eval()
    model.save_pretrained(tmp_path)
    tiny_tokenizer(tmp_path, max_length=32)
    found = encoded(SentenceEncoder(str(tmp_path), normalize=False)).vectors
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**tokens).pooler_output
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_a_model_without_pooling_has_no_other(tmp_path):
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    static = StaticEmbedding(Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), embedding_dim=8)
    sentence_transformers.SentenceTransformer(modules=[static]).save_pretrained(str(tmp_path / "static"))
    with pytest.raises(UsageError, match="no pooling to choose"):
        SentenceEncoder(str(tmp_path / "static"), pooling="cls").load(SESSION)


def test_fingerprints_tell_spaces_apart_and_not_precisions(folder):
    plain = SentenceEncoder(str(folder))
    for same in ({"precision": "bfloat16"}, {"window": 8}, {"batch_size": 1}):
        assert SentenceEncoder(str(folder), **same).fingerprint() == plain.fingerprint()
    others = [
        {"query_prompt": ""},
        {"document_prompt": ""},
        {"dimensions": 8},
        {"normalize": False},
        {"pooling": "cls"},
        {"query_model": "all-MiniLM-L6-v2"},
    ]
    assert len({plain.fingerprint(), *(SentenceEncoder(str(folder), **one).fingerprint() for one in others)}) == 7


def test_an_encoder_travels_without_its_model(folder):
    encoder = SentenceEncoder(str(folder), dimensions=8)
    before = encoded(encoder).vectors
    packed = pickle.dumps(encoder)
    assert len(packed) < 2000
    assert encoded(pickle.loads(packed)).vectors.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "wrong", [{"precision": "int8"}, {"pooling": "average"}, {"dimensions": 0}, {"window": 0}, {"stride": 4}]
)
def test_parameters_are_checked(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong)) if "stride" not in wrong else "leave tokens out"):
        SentenceEncoder(**wrong)
