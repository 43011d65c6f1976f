"""The adapter that is shipped: it loads offline, from the package alone, and ranks better than before its training."""

import json
import socket
from pathlib import Path

import pytest

from rankloom import Corpus, Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import NotFoundError
from rankloom.eval import load_collection
from rankloom.eval.plan import plan_of
from rankloom.models import resolve_model, shipped
from rankloom.retrieval import LearnedSparse
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from rankloom.retrieval.sparse_adapter import AdapterSettings, adapted, read_idf, save_adapter
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.training.recipes import read_recipe
from rankloom.training.warm_start import warm_start

NAME = "mini/inference-free"


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine fails the test."""

    def refuse(*arguments, **_):
        pytest.fail(f"opened a socket: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_it_is_small_and_says_what_it_was_trained_on():
    assert NAME in shipped()
    found = resolve_model(NAME, offline=True, stage="test")
    assert sum(file.stat().st_size for file in found.path.iterdir()) < 3_000_000
    manifest = json.loads((found.path / "manifest.json").read_text())
    card = (found.path / "README.md").read_text()
    for source in manifest["data"]:
        assert source["licence"] in card
    assert f"{manifest['end']['nDCG@10']:g}" in card
    assert "/work" not in card + json.dumps(manifest)
    recipe = read_recipe(Path(__file__).parents[2] / "configs" / "training" / "inference_free.yaml")
    assert {"kind": "inference_free", **manifest["recipe"]} == recipe.model_dump()  # made before recipes had kinds
    with pytest.raises(NotFoundError, match="inference-free"):
        resolve_model("mini/nothing", offline=True, stage="test")


def test_an_experiment_finds_it_by_its_name_for_documents_and_queries():
    step = {"learned_sparse": {"model": NAME, "queries": NAME}}
    (stage,) = plan_of({"sparse": [step]}, {}).stages
    assert (stage.given["model"], stage.given["queries"]) == (NAME, NAME)


@pytest.mark.usefixtures("no_network")
def test_queries_need_no_model():
    texts = ["Why is the sky blue?", "the ferry, the ferry", ""]
    light = InferenceFreeEncoder(NAME).encode(texts)
    heavy = SparseEncoder(NAME).encode(texts, role="query", session=Session(offline=True))
    assert light.calls == 0
    for one, other in zip(light.terms, heavy.terms, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    assert {"sky", "blue"} < light.terms[0].keys()


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_training_has_helped(tmp_path: Path):
    """On documents that it was not trained on, it ranks better than the untrained student, with fewer terms."""
    session = Session(offline=True)
    mini = load_collection("mini")
    corpus = Corpus.of(list(mini.corpus)[::2])  # of every topic; encoding takes the time
    trained = LearnedSparse.for_corpus(corpus, session, model=NAME, queries=NAME)
    settings = AdapterSettings("all-MiniLM-L6-v2", rank=0)
    idf = read_idf(resolve_model(NAME, offline=True, stage="test").path)
    encoder = adapted(SentenceEncoder().load(session).model, settings, idf)
    warm_start(encoder, [document.text for document in corpus])
    save_adapter(encoder, tmp_path / "untrained", settings, idf)
    untrained = LearnedSparse.for_corpus(corpus, session, model=str(tmp_path / "untrained"))
    ndcg = {
        name: mini.evaluate(stage.run(mini.queries, session=session), ["nDCG@10"]).means["nDCG@10"]
        for name, stage in {"trained": trained, "untrained": untrained}.items()
    }
    assert ndcg["trained"] > ndcg["untrained"], ndcg
    assert trained.index_bytes < untrained.index_bytes
