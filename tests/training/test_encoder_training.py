"""Recipes for sentence encoders, whole, on a tiny one: what they leave behind, and that a killed one ends alike."""

import json

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from rankloom import Corpus, Document, Session
from rankloom.errors import DataError, NotFoundError
from rankloom.retrieval import Dense
from rankloom.training.encoder_training import share_cut
from rankloom.training.loop import last_checkpoint
from rankloom.training.recipes import KINDS, carry_out
from tests.tiny_models import tiny_encoder
from tests.training.killed import begin_and_kill
from tests.training.recipes import contrastive_recipe, pretraining_recipe

pytestmark = pytest.mark.slow
_WEIGHTS = "model/model.safetensors"


def low_rank(folder):
    values = contrastive_recipe(folder)
    return {**values, "encoder": {**values["encoder"], "lora": {"rank": 2}}}


def in_parts(folder):
    return {**pretraining_recipe(folder), "loss": {"temperature": 0.1, "mini_batch": 3}}


@pytest.fixture(scope="module", params=[low_rank, in_parts])
def finished(request, tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    values = request.param(folder)
    recipe = KINDS[values["kind"]].recipe.model_validate(values)
    return recipe, folder / "out", carry_out(recipe, Session(offline=True), output=folder / "out")


def test_it_leaves_a_model_that_dense_takes(finished):
    recipe, output, result = finished
    assert (result.model, result.stage) == (output / "model", "dense")
    corpus = Corpus.of([Document("sky", "why is the sky blue"), Document("bread", "bread and yeast")])
    session = Session(offline=True)
    hits = Dense.for_corpus(corpus, session, model=str(result.model)).search("the blue sky", session=session)
    trained, before = SentenceTransformer(str(result.model)), SentenceTransformer(recipe.encoder.model)
    vectors = trained.encode(["the blue sky", *(one.contents for one in corpus)])
    assert dict(zip(hits.doc_ids, hits.scores, strict=True)) == pytest.approx(
        {doc_id: float(vectors[0] @ vector) for doc_id, vector in zip(corpus.ids, vectors[1:], strict=True)}, abs=1e-5
    )
    assert trained.max_seq_length == before.max_seq_length == 64  # not the 32 tokens that training read
    names, changed = trained.state_dict().keys(), trained.state_dict()
    assert names == before.state_dict().keys()  # low-rank changes are merged
    assert any(not torch.equal(one, changed[name]) for name, one in before.state_dict().items())


def test_the_manifest_and_the_card_tell_what_was_done(finished):
    recipe, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((output / "model" / "manifest.json").read_text()) == result.manifest
    assert written["recipe"]["seed"] == recipe.seed
    assert written["start"].keys() == written["end"].keys() == {"nDCG@10", "MRR@10", "R@10"}
    assert 0 < written["documents_cut"] <= 1
    card = (output / "model" / "README.md").read_text()
    for source in written["data"]:
        assert source["licence"] in card
        assert f"documents {source['counts']['documents']}" in card
    assert f"| after training | {written['end']['nDCG@10']:g} |" in card


def test_the_best_checkpoint_is_what_remains(finished):
    _, output, result = finished
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    measured = [one["eval_held_out_cosine_ndcg@10"] for one in logged if "eval_held_out_cosine_ndcg@10" in one]
    assert len(measured) == 3
    assert result.manifest["end"]["nDCG@10"] == pytest.approx(max(measured), abs=1e-4)


def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path)
    assert not (tmp_path / "out" / _WEIGHTS).exists()
    carry_out(recipe, Session(offline=True), output=tmp_path / "out")
    once, twice = load_file(output / _WEIGHTS), load_file(tmp_path / "out" / _WEIGHTS)
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


def test_a_finished_training_is_not_done_again(finished):
    recipe, output, result = finished
    before, last = (output / _WEIGHTS).read_bytes(), last_checkpoint(output / "checkpoints")
    again = carry_out(recipe, Session(offline=True), output=output)
    assert (output / _WEIGHTS).read_bytes() == before
    assert last_checkpoint(output / "checkpoints") == last
    assert again.manifest["end"] == result.manifest["end"]
    with pytest.raises(DataError, match="another recipe"):
        carry_out(recipe.model_copy(update={"seed": 8}), Session(offline=True), output=output)


def test_documents_that_training_cuts_are_counted(tmp_path):
    encoder = SentenceTransformer(str(tiny_encoder(tmp_path, max_length=16)))
    assert share_cut(encoder, ["sky blue"] * 40 + ["sky " * 15] * 10, seed=1) == 0.2
    assert share_cut(encoder, ["sky " * 14, ""], seed=1) == 0.0  # 14 words and two marks


def test_what_is_mined_is_kept_for_the_next_recipe(tmp_path, monkeypatch):
    recipe = KINDS["contrastive"].recipe.model_validate(contrastive_recipe(tmp_path, steps=0))
    session = Session(cache=tmp_path / "cache", offline=True)
    first = carry_out(recipe, session, output=tmp_path / "one")
    monkeypatch.setattr("rankloom.training.mined_examples.mine", lambda *_, **__: pytest.fail("mined again"))
    warmer = recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"temperature": 0.2})})
    assert carry_out(warmer, session, output=tmp_path / "two").manifest["data"] == first.manifest["data"]
    deeper = recipe.model_copy(update={"negatives": recipe.negatives.model_copy(update={"ranks": [2, 9]})})
    with pytest.raises(pytest.fail.Exception, match="mined again"):
        carry_out(deeper, session, output=tmp_path / "three")


def test_held_out_queries_are_not_trained_on(tmp_path):
    values = pretraining_recipe(tmp_path, steps=0)
    recipe = KINDS["pretraining"].recipe.model_validate(values)
    counts = carry_out(recipe, Session(offline=True), output=tmp_path / "out").manifest["data"][0]["counts"]
    assert {task: counts[f"{task} pairs held out"] for task in ("ict", "bfs", "wlp")} == {"ict": 4, "bfs": 4, "wlp": 4}
    assert counts["bfs pairs"] <= 2 * (24 - 4)
    assert counts["wlp: pages that no page links to"] == 1
    missing = {**values, "sources": [{**values["sources"][0], "corpus": "nowhere.jsonl"}]}
    with pytest.raises(NotFoundError, match=r"no such corpus.*RANKLOOM_DATA"):
        carry_out(KINDS["pretraining"].recipe.model_validate(missing), Session(offline=True), output=tmp_path / "no")
