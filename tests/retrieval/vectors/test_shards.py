"""Shards of a corpus: the same bytes whoever encodes them, and read by the build that comes after."""

import numpy as np
import pytest

from rankloom import Document, Session
from rankloom.corpus import Corpus
from rankloom.encoders import SentenceEncoder
from rankloom.retrieval import Dense
from rankloom.retrieval.vectors import shards
from rankloom.retrieval.vectors.shards import encode_corpus, encode_shard, shard_count, shards_beside
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")
CORPUS = Corpus.of([Document(f"d{number:02}", f"the number {number}") for number in range(10)])


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("models") / "tiny"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_whoever_fills_the_folder_writes_the_same_bytes(model, tmp_path):
    list(encode_corpus(CORPUS, SentenceEncoder(model), SESSION, folder=tmp_path / "whole"))
    for number in reversed(range(shard_count(CORPUS))):  # each by an encoder of its own, as workers do
        encode_shard(CORPUS, number, SentenceEncoder(model), SESSION, folder=tmp_path / "parts")
    assert len(contents(tmp_path / "whole")) == 3
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_build_reads_shards_that_others_have_made(model, tmp_path, monkeypatch):
    for number in range(shard_count(CORPUS)):
        encode_shard(CORPUS, number, SentenceEncoder(model), SESSION, folder=shards_beside(tmp_path / "index"))
    monkeypatch.setattr(SentenceEncoder, "encode", None)  # whoever encodes now fails
    built = Dense.build(CORPUS, tmp_path / "index", model=model, session=SESSION)
    monkeypatch.undo()
    whole = Dense.of(CORPUS, model=model, session=SESSION)
    ids = list(CORPUS.ids)
    np.testing.assert_array_equal(built.document_vectors(ids)[0], whole.document_vectors(ids)[0])
    assert not shards_beside(tmp_path / "index").exists()
