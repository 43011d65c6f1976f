"""The recipe, whole, on a tiny backbone: what it leaves behind, and that a killed one ends as an uninterrupted one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rankloom import Corpus, Document, Session
from rankloom.errors import DataError
from rankloom.retrieval import LearnedSparse
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.training.inference_free import train
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.loop import last_checkpoint
from tests.training.killed import begin_and_kill
from tests.training.recipes import tiny_recipe

pytestmark = pytest.mark.slow
_WEIGHTS = "adapter/adapter.safetensors"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = InferenceFreeRecipe.model_validate(tiny_recipe(folder))
    return recipe, folder / "out", train(recipe, Session(offline=True), output=folder / "out")


def test_it_leaves_an_adapter_that_a_stage_takes(finished):
    _, output, result = finished
    assert result.model == output / "adapter"
    corpus = Corpus.of([Document("sky", "why is the sky blue"), Document("bread", "bread and yeast")])
    session = Session(offline=True)
    query = "why is the sky blue, and what of bread, yeast, light, the sea and the moon?"
    hits = LearnedSparse.for_corpus(corpus, session, model=str(result.model)).search(query, session=session)
    encoder = SparseEncoder(str(result.model))
    (asked,) = encoder.encode([query], role="query", session=session).terms
    idf = json.loads((result.model / "idf.json").read_text())
    assert asked == pytest.approx({token: idf[token] for token in asked})
    assert {"sky", "blue", "bread"} < asked.keys()
    documents = encoder.encode([one.contents for one in corpus], role="document", session=session).terms
    scores = [sum(asked[term] * terms[term] for term in asked.keys() & terms.keys()) for terms in documents]
    found = dict(zip(hits.doc_ids, hits.scores, strict=True))
    assert found
    assert [found.get(doc_id, 0.0) for doc_id in corpus.ids] == pytest.approx(scores, abs=0.05)


def test_the_manifest_tells_data_licence_seed_versions_and_scores(finished):
    _, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((output / "adapter" / "manifest.json").read_text()) == result.manifest
    data = {**written["data"][0]}
    left_out = {True: 0, False: 0}
    for why, number in data.pop("left_out").items():
        left_out[why.startswith("held out: ")] += number
    assert data == {
        "name": "titles", "licence": "Apache-2.0", "documents": 52, "queries": 42, "held_out": 10,
    }  # fmt: skip  # titles of less than 15 characters are left out
    assert left_out == {False: 42 - written["examples"], True: 10 - written["held_out"]}
    assert 0 < written["examples"] < 42
    assert written["recipe"]["seed"] == 7
    assert {"torch", "sentence-transformers", "peft"} <= written["versions"].keys()
    assert written["end"].keys() == {"nDCG@10", "terms", "FLOPS"} < written["start"].keys()
    card = (output / "adapter" / "README.md").read_text()
    assert "| titles | 42 | 52 | 10 | Apache-2.0 |" in card
    assert f"{written['end']['nDCG@10']:g}" in card


def test_losses_are_logged_and_the_penalty_grows(finished, tmp_path):
    recipe, _, _ = finished
    longer = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"steps": 30, "checkpoint": 30}),
                "penalty": recipe.penalty.model_copy(update={"weight": 3.0, "grows_for": 1.0})}
    )  # fmt: skip
    result = train(longer, Session(offline=True), output=tmp_path / "out")
    logged = [json.loads(line) for line in (tmp_path / "out" / "checkpoints" / "losses.jsonl").open()]
    losses = [one for one in logged if "kl" in one]
    assert [one["step"] for one in losses] == [10, 20, 30]
    grown = [one["document_regularizer_weight"] for one in losses]
    assert grown == pytest.approx([3.0 * ((step - 1) / 30) ** 2 for step in (10, 20, 30)])
    assert result.manifest["end"]["terms"] < result.manifest["start"]["terms"]


def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path)
    assert not (tmp_path / "out" / _WEIGHTS).exists()
    train(recipe, Session(offline=True), output=tmp_path / "out")
    once, twice = load_file(output / _WEIGHTS), load_file(tmp_path / "out" / _WEIGHTS)
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


def test_a_finished_training_is_not_done_again(finished):
    recipe, output, result = finished
    before = (output / _WEIGHTS).read_bytes()
    again = train(recipe, Session(offline=True), output=output)
    assert (output / _WEIGHTS).read_bytes() == before
    assert again.manifest["end"] == result.manifest["end"]


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(tmp_path):
    for step, whole in ((2, True), (10, True), (12, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_another_recipe_does_not_go_on_in_its_folder(finished):
    recipe, output, _ = finished
    other = recipe.model_copy(update={"seed": 8})
    with pytest.raises(DataError, match="another recipe"):
        train(other, Session(offline=True), output=Path(output))
