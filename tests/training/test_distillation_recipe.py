"""The recipe with every student, on a tiny backbone: what it leaves behind, and that a killed one ends the same."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from rankloom import Corpus, Document, Run, Session
from rankloom.config import PipelineBuilder
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.distillation_recipe import train
from rankloom.training.loop import last_checkpoint
from rankloom.training.ranking_losses import margin_mse
from rankloom.training.students import make_student
from tests.training.killed import begin_and_kill
from tests.training.recipes import tiny_recipe

pytestmark = pytest.mark.slow
STUDENTS = {
    "dot": {"layers": 1},
    "tk": {"heads": 5, "feed_forward": 8},
    "colbert": {"dimensions": 16, "skip_punctuation": True},
    "prettr": {"split": 1},
}
SESSION = Session(offline=True, device="cpu")


def recipe_of(folder, architecture, **changes):
    values = tiny_recipe(folder)
    for part in ("penalty", "student", "loss"):
        del values[part]
    backbone = str(folder / "tiny" / "model")
    student = {"architecture": architecture, "backbone": backbone, "query_tokens": 12, "max_tokens": 32}
    values |= {"kind": "distillation", "student": student | STUDENTS[architecture]}
    return DistillationRecipe.model_validate(values | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Architecture -> its recipe, where it ran, and what came of it."""
    found = {}
    for architecture in STUDENTS:
        folder = tmp_path_factory.mktemp(architecture)
        recipe = recipe_of(folder, architecture)
        found[architecture] = recipe, folder / "out", train(recipe, SESSION, output=folder / "out")
    return found


@pytest.mark.parametrize("architecture", STUDENTS)
def test_a_stage_takes_the_student_and_scores_as_it_did(finished, architecture):
    recipe, output, result = finished[architecture]
    assert result.model == output / "student"
    assert result.stage == {
        "dot": "dense", "tk": "tk", "colbert": "late_interaction", "prettr": "prettr",
    }[architecture]  # fmt: skip
    texts = {"sky": "the sky is blue", "bread": "yeast, and bread!", "sea": "tide and moon"}
    word = "bi_encoder" if architecture == "dot" else result.stage
    stage = PipelineBuilder({}).build({word: {"model": str(result.model)}}, corpus=None, session=SESSION)
    documents = Corpus.of([Document(doc_id, text) for doc_id, text in texts.items()])
    query = "why is the sky blue"
    run = Run.from_dict({"q": dict.fromkeys(texts, 0.0)}, queries={"q": query}, documents=documents, session=SESSION)
    found = stage.run(run).to_dict()["q"]
    student = make_student(recipe.student, SESSION)
    checkpoint = last_checkpoint(output / "checkpoints")
    student.load_state_dict(load_file(checkpoint / "model.safetensors"))
    with torch.no_grad():
        expected = student.eval()([query], list(texts.values()))[0] / recipe.student.score_scale
    assert [found[doc_id] for doc_id in texts] == pytest.approx(expected.tolist(), abs=1e-4)
    assert expected.std() > 1e-4


@pytest.mark.parametrize("architecture", STUDENTS)
def test_the_manifest_and_the_card_tell_what_it_is(finished, architecture):
    _, output, result = finished[architecture]
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    measure = "nDCG@10" if architecture in ("dot", "colbert") else "nDCG@10 of own documents"
    assert written["end"].keys() == written["start"].keys() == {measure}
    assert written["recipe"]["student"]["architecture"] == architecture
    card = (result.model / "README.md").read_text()
    assert ("own documents, at most 8" in card) == (architecture in ("tk", "prettr"))
    assert "| titles | 42 | 52 | 10 | Apache-2.0 |" in card
    assert "Teachers: bm25, flat (mix: standard, scale 1)." in card
    lines = [json.loads(line) for line in (output / "checkpoints" / "validation.jsonl").open()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1][measure] == written["end"][measure]


@pytest.mark.parametrize("architecture", STUDENTS)
def test_a_student_can_learn_the_margins_of_a_batch(finished, architecture):
    """Without dropout, on one batch: what is left is whether gradients lead where they should."""
    recipe, _, _ = finished[architecture]
    student = make_student(recipe.student, SESSION).eval()
    queries = ["why is the sky blue", "tide and moon"]
    documents = ["sky", "sea", "bread and yeast", "the moon", "light, blue light", "is the sea blue"]
    teacher = torch.tensor([[2.0, 0.5, 0.0], [1.0, 0.0, 1.5]])
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
    losses = []
    for _ in range(60):
        loss = margin_mse(student(queries, documents), teacher)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert min(losses[-10:]) < 0.3 * losses[0]


@pytest.mark.parametrize("architecture", STUDENTS)
def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path, architecture):
    recipe, output, _ = finished[architecture]
    begin_and_kill(recipe, tmp_path)
    assert not (tmp_path / "out" / "student").exists()
    train(recipe, SESSION, output=tmp_path / "out")
    name = "checkpoints/checkpoint-6/model.safetensors"
    once, twice = load_file(output / name), load_file(tmp_path / "out" / name)
    assert once.keys() == twice.keys()
    for weight, one in once.items():
        assert torch.equal(one, twice[weight]), weight


@pytest.mark.parametrize("loss", ["listwise_margin_mse", "ranknet", "softmax", "contrastive", "pg_rank"])
def test_other_losses_train_the_same_student(tmp_path, loss):
    recipe = recipe_of(tmp_path, "dot", loss=loss)
    result = train(recipe, SESSION, output=tmp_path / "out")
    card = (result.model / "README.md").read_text()
    assert ("judgements alone" in card) == (loss != "listwise_margin_mse")


def test_a_reranker_is_not_trained_on_the_whole_batch(tmp_path):
    with pytest.raises(ValidationError, match="take `softmax`"):
        recipe_of(tmp_path, "tk", loss="contrastive")
