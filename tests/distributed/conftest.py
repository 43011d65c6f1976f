"""One cluster, corpus and set of models for all tests of jobs."""

import random

import pytest

from rankloom import Document
from rankloom.corpus import Corpus
from tests.distributed.small_cluster import two_nodes
from tests.tiny_models import WORDS, tiny_cross_encoder, tiny_encoder, tiny_splade

DOCUMENTS = 3000  # three parts of a BM25 index of one batch each, and six shards


@pytest.fixture(scope="session")
def cluster():
    pytest.importorskip("ray")
    with two_nodes() as address:
        yield address


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    random.seed(3)
    words = [word for word in WORDS if word.isalpha()]
    documents = [
        Document(f"d{number:05}", " ".join(random.choices(words, k=random.randint(2, 40))), random.choice(words))
        for number in range(DOCUMENTS)
    ]
    return Corpus.build(documents, tmp_path_factory.mktemp("documents") / "corpus")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "dense": str(tiny_encoder(folder / "dense")),
        "sparse": str(tiny_splade(folder / "sparse")),
        "cross": str(tiny_cross_encoder(folder / "cross")),
    }
