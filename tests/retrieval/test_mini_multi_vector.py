"""The multi-vector adapters that are shipped: they load offline, from the package alone, and rank as they did."""

import json
import socket
from pathlib import Path

import pytest

from rankloom import Session
from rankloom.eval import load_collection
from rankloom.models import resolve_model, shipped
from rankloom.retrieval import MultiVector
from rankloom.token_encoder import TokenEncoder
from rankloom.training.recipes import read_recipe

REDUCTIONS = {"mini/colbert": "none", "mini/crisp": "C8x32"}
SESSION = Session(offline=True, device="cpu")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any attempt to reach another machine fails the test."""

    def refuse(*arguments, **_):
        pytest.fail(f"opened a socket: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_it_is_small_and_says_what_it_was_trained_on(name):
    assert name in shipped()
    found = resolve_model(name, offline=True, stage="test")
    assert sum(file.stat().st_size for file in found.path.iterdir()) < 2_000_000
    manifest = json.loads((found.path / "manifest.json").read_text())
    card = (found.path / "README.md").read_text()
    assert card.startswith(f"# {name.removeprefix('mini/')}\n")
    for source in manifest["data"]:
        assert source["licence"] in card
    assert f"{manifest['end']['nDCG@10']:g}" in card
    assert "/tmp/" not in card + json.dumps(manifest)
    recipe = read_recipe(
        Path(__file__).parents[2] / "configs" / "training" / "crisp.yaml", [f"reduction={REDUCTIONS[name]}"]
    )
    assert manifest["recipe"] == recipe.model_dump()


@pytest.mark.parametrize(("name", "most"), [("mini/colbert", (64, 256)), ("mini/crisp", (8, 32))])
def test_it_gives_as_many_vectors_as_it_was_trained_for(name, most):
    texts = ["why is the sky blue", "Light is scattered by air, the more the bluer it is. " * 30, ""]
    encoder = TokenEncoder(name)
    for role, limit in zip(("query", "document"), most, strict=True):
        lengths = encoder.encode(texts, role=role, session=SESSION).vectors.lengths
        assert lengths.max() <= limit
        assert 0 < lengths[0] < 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ndcg"), [("mini/colbert", 0.832), ("mini/crisp", 0.809)])
def test_it_ranks_as_it_did_when_it_was_shipped(name, ndcg):
    mini = load_collection("mini")
    run = MultiVector.for_corpus(mini.corpus, SESSION, model=name).run(mini.queries, session=SESSION)
    assert mini.evaluate(run, ["nDCG@10"]).means["nDCG@10"] == pytest.approx(ndcg, abs=0.005)
