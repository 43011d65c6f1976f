"""The query encoder of feedback that is shipped: it loads offline, from the package alone, and ranks as it did."""

import json
import socket
from pathlib import Path

import pytest

from rankloom import Session
from rankloom.eval import load_collection
from rankloom.models import resolve_model, shipped
from rankloom.prf import LearnedPRF
from rankloom.prf.feedback_adapter import read_settings
from rankloom.retrieval import Dense
from rankloom.training.recipes import read_recipe

NAME = "mini/prf"
SESSION = Session(offline=True, device="cpu")
RECIPE = Path(__file__).parents[2] / "configs" / "training" / "prf.yaml"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any attempt to reach another machine fails the test."""

    def refuse(*arguments, **_):
        pytest.fail(f"opened a socket: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_it_is_small_and_says_what_it_was_trained_on():
    assert NAME in shipped()
    found = resolve_model(NAME, offline=True, stage="test")
    assert sum(file.stat().st_size for file in found.path.iterdir()) < 2_000_000
    manifest = json.loads((found.path / "manifest.json").read_text())
    card = (found.path / "README.md").read_text()
    assert card.startswith("# prf\n")
    for source in manifest["data"]:
        assert source["licence"] in card
    assert f"| after training | {manifest['end']['nDCG@10']:g} |" in card
    assert "/tmp/" not in card + json.dumps(manifest)
    assert manifest["recipe"] == read_recipe(RECIPE).model_dump()
    layout = read_recipe(RECIPE).encoder.layout()
    assert (read_settings(found.path).layout, read_settings(found.path).documents) == (layout, "all-MiniLM-L6-v2")


def test_it_is_better_than_what_it_was_to_beat_on_the_queries_that_were_held_out():
    manifest = json.loads((resolve_model(NAME, offline=True, stage="test").path / "manifest.json").read_text())
    beaten = [one["nDCG@10"] for one in (manifest["start"], *manifest["compared"].values())]
    assert manifest["end"]["nDCG@10"] > max(beaten)


@pytest.mark.slow
def test_it_ranks_as_it_did_when_it_was_shipped():
    mini = load_collection("mini")
    dense = Dense.for_corpus(mini.corpus, SESSION)
    run = (dense.at_depth(3) >> LearnedPRF() >> dense).run(mini.queries, session=SESSION)
    assert mini.evaluate(run, ["nDCG@10"]).means["nDCG@10"] == pytest.approx(0.850, abs=0.005)
