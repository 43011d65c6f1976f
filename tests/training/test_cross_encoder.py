"""Recipes for cross-encoders, whole, on a tiny backbone: what they leave behind, and that a killed one ends alike."""

import json

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder as Peer
from sentence_transformers import SentenceTransformer

from rankloom import Document, Run, Session
from rankloom.cross_encoder_adapter import load_adapter, read_settings
from rankloom.errors import DataError
from rankloom.rerank import CrossEncoder
from rankloom.training.recipes import KINDS, carry_out
from tests.training.killed import begin_and_kill
from tests.training.recipes import cross_encoder_recipe

pytestmark = pytest.mark.slow
KIND = KINDS["cross_encoder"].recipe
SESSION = Session(offline=True, device="cpu")
TEXTS = ["why is the sky so blue, and the sea", "bread and yeast", "light"]


def whole(folder):
    values = cross_encoder_recipe(folder)
    return {**values, "encoder": {**values["encoder"], "lora": None}, "loss": "ranknet"}


@pytest.fixture(scope="module", params=[cross_encoder_recipe, whole])
def finished(request, tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = KIND.model_validate(request.param(folder))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


def peer_of(recipe, result):
    """What was trained, as sentence-transformers has it."""
    if recipe.encoder.lora is None:
        return Peer(str(result.model), device="cpu")
    return load_adapter(result.model, SentenceTransformer(recipe.encoder.model, device="cpu"))


def weights_of(output):
    (found,) = [*output.glob("adapter/adapter.safetensors"), *output.glob("model/model.safetensors")]
    return load_file(found)


@pytest.mark.parametrize("precision", ["float32", "onnx-float32"])
def test_the_stage_takes_it(finished, precision):
    recipe, _, result = finished
    run = Run.from_documents("the blue sky", [Document(str(place), text) for place, text in enumerate(TEXTS)])
    hits = CrossEncoder(str(result.model), precision=precision).run(run, session=SESSION)["q1"]
    peer = peer_of(recipe, result)
    expected = peer.predict([("the blue sky", text) for text in TEXTS], activation_fn=torch.nn.Identity())
    found = {int(doc_id): score for doc_id, score in zip(hits.doc_ids, hits.scores, strict=True)}
    assert [found[place] for place in range(3)] == pytest.approx(list(expected), abs=1e-4)
    assert result.stage == "cross_encoder"
    assert peer.max_seq_length == 40


def test_the_manifest_and_the_card_tell_what_was_done(finished):
    _, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    assert written["start"].keys() == written["end"].keys() == {"nDCG@10", "MRR@10", "first stage nDCG@10"}
    assert written["start"]["first stage nDCG@10"] == written["end"]["first stage nDCG@10"] > 0
    card = (result.model / "README.md").read_text()
    assert all(one["licence"] in card for one in written["data"])
    assert f"| after training | {written['end']['nDCG@10']:g} |" in card


def test_the_best_checkpoint_is_what_remains(finished):
    _, output, result = finished
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    measured = [one["eval_held_out_ndcg@10"] for one in logged if "eval_held_out_ndcg@10" in one]
    assert len(measured) == 3
    assert result.manifest["end"]["nDCG@10"] == pytest.approx(max(measured), abs=1e-4)


def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path)
    carry_out(recipe, SESSION, output=tmp_path / "out")
    once, twice = weights_of(output), weights_of(tmp_path / "out")
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


@pytest.mark.parametrize("loss", ["listnet", "lambda", "pg_rank"])
def test_every_loss_trains(loss, tmp_path):
    values = {**cross_encoder_recipe(tmp_path, steps=2, checkpoint=2), "loss": loss}
    result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")
    assert sum(float(one.abs().sum()) for name, one in weights_of(tmp_path / "out").items() if "lora_B" in name) > 0
    assert (result.model / "adapter.json").is_file()


def test_a_judge_teaches_beside_the_labels(tmp_path):
    values = cross_encoder_recipe(tmp_path, steps=2, checkpoint=2)
    values["negatives"]["judge"] = {"dense": {"model": values["encoder"]["model"], "k": 1000}}
    weights = {}
    for share in (None, 0.5, 0.9):
        values["judged"] = None if share is None else {"share": share}
        result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / f"{share}")
        weights[share] = weights_of(tmp_path / f"{share}")
        card = (result.model / "README.md").read_text()
        assert ("scores of the judge" in card) == (share is not None)
    for one, other in ((None, 0.5), (0.5, 0.9)):
        assert any(not torch.equal(weights[one][name], weights[other][name]) for name in weights[one])


@pytest.mark.parametrize("change", [{"judge": None}, {"loss": "ranknet"}])
def test_learning_from_a_judge_takes_one_and_a_loss_beside_it(change, tmp_path):
    values = {**cross_encoder_recipe(tmp_path), "judged": {}}
    values["negatives"]["judge"] = change.get("judge", {"dense": {"k": 1000}})
    values["loss"] = change.get("loss", "softmax")
    with pytest.raises(ValueError, match="judged"):
        KIND.model_validate(values)


def test_a_training_goes_on_from_another_s_adapter(finished, tmp_path):
    recipe, output, result = finished
    if recipe.encoder.lora is None:
        pytest.skip("whole models are no adapters")
    values = {**recipe.model_dump(), "output": str(tmp_path / "out")}
    values["encoder"]["start"], values["training"]["steps"] = str(result.model), 0
    carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")
    once, again = weights_of(output), weights_of(tmp_path / "out")
    assert all(torch.equal(one, again[name]) for name, one in once.items())
    values["encoder"]["lora"]["rank"] = 3
    with pytest.raises(DataError, match=r"other low-rank changes.*rank 2"):
        carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "other")


def test_training_learns_to_rank(tmp_path):
    values = cross_encoder_recipe(tmp_path, steps=60, checkpoint=30, learning_rate=3e-3)
    values["encoder"]["lora"]["rank"] = 8
    result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")
    logged = [json.loads(line) for line in (tmp_path / "out" / "checkpoints" / "losses.jsonl").open()]
    losses = [one["loss"] for one in logged if "loss" in one]
    assert losses[-1] < 0.9 * losses[0]
    assert read_settings(result.model).max_tokens == 40
