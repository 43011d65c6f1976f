"""Inference-free queries: the set of tokens, weighed by a table, as the OpenSearch reference computes them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from rankloom.errors import DataError, NotFoundError
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from tests.tiny_models import tiny_tokenizer

WEIGHTS = {"sky": 5.0, "blue": 2.5, "the": -1.0, "sea": 0.0, "[CLS]": 9.0, "a": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference_free")
    tiny_tokenizer(folder, max_length=8)
    (folder / "idf.json").write_text(json.dumps(WEIGHTS))
    return folder


@pytest.fixture(scope="module")
def reference(folder):
    """The formula of SPECS by transformers: relu(idf) of each token that is there, unknown tokens 1, specials 0."""
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=10**6)

    def terms(text):
        tokens = set(tokenizer.tokenize(text)) - set(tokenizer.all_special_tokens)
        return {token: max(0.0, WEIGHTS.get(token, 1.0)) for token in tokens if WEIGHTS.get(token, 1.0) > 0}

    return terms


@given(text=st.text(max_size=60))
@settings(deadline=None, max_examples=200)
def test_terms_are_the_formula_s(folder, reference, text):
    assert dict(ENCODERS.setdefault(folder, InferenceFreeEncoder(folder)).encode([text]).terms[0]) == reference(text)


ENCODERS: dict = {}


def test_a_token_counts_once_and_nothing_is_cut(folder):
    encoded = InferenceFreeEncoder(folder).encode(["the sky sky blue " * 50, ""])
    assert encoded.terms == [{"sky": 5.0, "blue": 2.5}, {}]
    assert list(encoded.terms[0]) == ["sky", "blue"]
    assert (encoded.calls, encoded.tokens.tolist(), encoded.truncated.tolist()) == (0, [0, 0], [0, 0])


def test_files_that_are_missing_or_damaged(folder, tmp_path):
    with pytest.raises(NotFoundError, match=r"idf\.json"):
        InferenceFreeEncoder(tmp_path)
    (tmp_path / "idf.json").write_text("{}")
    with pytest.raises(NotFoundError, match=r"tokenizer\.json"):
        InferenceFreeEncoder(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "idf.json").write_text('{"sky": NaN}')
    with pytest.raises(DataError, match="not finite"):
        InferenceFreeEncoder(tmp_path).encode(["sky"])
    (tmp_path / "idf.json").write_text("[1]")
    with pytest.raises(DataError, match="no table of weights"):
        InferenceFreeEncoder(tmp_path).encode(["sky"])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="tokenizer can not be read"):
        InferenceFreeEncoder(tmp_path).encode(["sky"])


def test_the_fingerprint_follows_the_files(folder, tmp_path):
    for name in ("tokenizer.json", "idf.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert InferenceFreeEncoder(tmp_path).fingerprint() == InferenceFreeEncoder(folder).fingerprint()
    (tmp_path / "idf.json").write_text(json.dumps({**WEIGHTS, "sky": 1.0}))
    assert InferenceFreeEncoder(tmp_path).fingerprint() != InferenceFreeEncoder(folder).fingerprint()


def test_a_file_that_changes_later_changes_neither_terms_nor_fingerprint(folder, tmp_path):
    for name in ("tokenizer.json", "idf.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    encoder = InferenceFreeEncoder(tmp_path)
    before = encoder.fingerprint()
    (tmp_path / "idf.json").write_text(json.dumps({"sky": 1.0}))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert encoder.encode(["sky"]).terms == [{"sky": 5.0}]
    assert encoder.fingerprint() == before
