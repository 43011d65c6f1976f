"""What is refused before anything is encoded: other models, other precisions, and clusters elsewhere."""

import os

import pytest

from rankloom import Document
from rankloom.corpus import Corpus
from rankloom.distributed import RayCluster
from rankloom.distributed.encode import _Job, _made_by, _term_shards, _vector_shards
from rankloom.encoders import SentenceEncoder
from rankloom.errors import StageError, UsageError
from rankloom.retrieval.sparse_encoder import SparseEncoder
from tests.distributed.small_cluster import offline
from tests.tiny_models import tiny_encoder, tiny_splade

CORPUS = Corpus.of([Document("a", "one"), Document("b", "two")])


@pytest.fixture(scope="module")
def workers_encode(tmp_path_factory):
    """For each kind of encoder: a function that does a worker's work, and what it is of."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "dense": (_vector_shards, SentenceEncoder(str(tiny_encoder(folder / "dense")))),
        "sparse": (_term_shards, SparseEncoder(str(tiny_splade(folder / "sparse")), activation="log1p")),
    }


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_worker_with_another_model_or_precision_makes_no_shard(workers_encode, kind, tmp_path):
    make, encoder = workers_encode[kind]
    model, way = _made_by(encoder, offline(), kind)
    with pytest.raises(StageError, match=rf"{kind}: the model is another one on this worker.*fix: install the same"):
        make(CORPUS, encoder, offline(), _Job(tmp_path, kind, ("other weights", way)))
    with pytest.raises(StageError, match=r"would compute otherwise.*float32.*accepted.*bfloat16.*fix: name precision"):
        make(CORPUS, encoder, offline(), _Job(tmp_path, kind, (model, "bfloat16 on cuda")))
    assert not list(tmp_path.iterdir())
    make(CORPUS, encoder, offline(), _Job(tmp_path, kind, (model, way)))(0)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def not_connected(monkeypatch):
    monkeypatch.setattr(pytest.importorskip("ray"), "is_initialized", lambda: False)


@pytest.mark.usefixtures("not_connected")
@pytest.mark.parametrize("address", ["192.0.2.1:6379", "ray://192.0.2.1:10001", "head.example:6379", "auto"])
def test_offline_a_cluster_elsewhere_is_refused(monkeypatch, address):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with pytest.raises(UsageError, match=r"ray: the session is offline.*fix: take `local`"):
        list(RayCluster(address).each(len, (), [0], offline=True))
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.usefixtures("not_connected")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_offline_this_machine_is_asked(host):
    with pytest.raises(StageError, match="can not be reached"):  # nobody listens
        list(RayCluster(f"{host}:1").each(len, (), [0], offline=True))
