"""Which precision is taken where, and that it is said."""

import logging

import pytest

from rankloom import Session
from rankloom.encoders import SentenceEncoder, precision
from rankloom.rerank import BiEncoder
from rankloom.retrieval.made_by import vectors_digest
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("tiny")))


def processor(monkeypatch, **capabilities):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "onnx-float32", "onnx-int8"])
def test_what_is_asked_for_is_taken(folder, name):
    assert SentenceEncoder(folder, precision=name).precision_in(SESSION) == name


def test_by_default_the_session_decides(folder):
    assert SentenceEncoder(folder).precision_in(SESSION) == "float32"
    assert SentenceEncoder(folder).precision_in(Session(offline=True, device="cpu", dtype="bfloat16")) == "bfloat16"


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_auto_takes_bfloat16_where_the_processor_has_it(folder, monkeypatch, capability):
    processor(monkeypatch, avx2=True, **{capability: True})
    assert SentenceEncoder(folder, precision="auto").precision_in(SESSION) == "bfloat16"


def test_auto_takes_onnx_runtime_where_it_is_installed_and_knows_the_model(folder, monkeypatch):
    processor(monkeypatch, avx2=True, avx512_bf16=False)
    encoder = SentenceEncoder(folder, precision="auto")
    assert encoder.precision_in(SESSION) == "onnx-float32"
    monkeypatch.setattr(precision, "EXPORTED", frozenset({"roberta"}))
    assert encoder.precision_in(SESSION) == "float32"
    monkeypatch.undo()
    processor(monkeypatch, avx2=True)
    monkeypatch.setattr(precision, "installed", lambda module: module != "onnxruntime")
    assert encoder.precision_in(SESSION) == "float32"


@pytest.mark.parametrize(("name", "other"), [("onnx-int8", True), ("onnx-float32", True), ("bfloat16", False)])
def test_vectors_of_graphs_that_are_made_in_another_way_are_others(folder, monkeypatch, name, other):
    encoder, reranker = SentenceEncoder(folder, precision=name), BiEncoder(folder, precision=name)
    before = [vectors_digest(encoder, SESSION), reranker.identity(SESSION)]
    monkeypatch.setattr(precision, "ONNX_FILES", 99)
    after = [vectors_digest(encoder, SESSION), reranker.identity(SESSION)]
    assert [one != two for one, two in zip(before, after, strict=True)] == [other, other]


def test_bfloat16_without_the_processors_help_is_said_to_be_slow(tmp_path, monkeypatch, caplog):
    processor(monkeypatch, avx2=True)
    folder = str(tiny_encoder(tmp_path, seed=9))
    with caplog.at_level(logging.WARNING, logger="rankloom"):
        SentenceEncoder(folder, precision="bfloat16").load(SESSION)
    assert "no instructions for it" in caplog.text
