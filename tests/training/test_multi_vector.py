"""Recipes for multi-vector encoders, whole, on a tiny one: what they leave behind, and that a killed one ends alike."""

import json

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder, SentenceTransformer

from rankloom import Corpus, Document, Session
from rankloom.errors import ConfigError
from rankloom.reduction import reductions
from rankloom.retrieval.multi_vector import MultiVector
from rankloom.token_adapter import load_adapter, read_settings
from rankloom.training.recipes import KINDS, carry_out, read_recipe
from tests.training.killed import begin_and_kill
from tests.training.recipes import multi_vector_recipe

pytestmark = pytest.mark.slow
KIND = KINDS["multi_vector"].recipe


def whole(folder):
    values = multi_vector_recipe(folder)
    changed = {"encoder": {**values["encoder"], "lora": None, "expand_queries": True}, "reduction": "k2"}
    return {**values, **changed, "loss": {"temperature": 0.1, "mini_batch": 3}}


@pytest.fixture(scope="module", params=[multi_vector_recipe, whole])
def finished(request, tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = KIND.model_validate(request.param(folder))
    return recipe, folder / "out", carry_out(recipe, Session(offline=True), output=folder / "out")


def encoder_of(recipe, result):
    """What was trained, as sentence-transformers has it."""
    if recipe.encoder.lora is None:
        return MultiVectorEncoder(str(result.model), device="cpu").eval()
    return load_adapter(result.model, SentenceTransformer(recipe.encoder.model, device="cpu"))


def reduced(vectors, reduction):
    return reduction(vectors[0][None], torch.ones(1, len(vectors[0]), dtype=torch.bool))[0]


def weights_of(output):
    (found,) = [*output.glob("adapter/adapter.safetensors"), *output.glob("model/model.safetensors")]
    return load_file(found)


def test_it_leaves_an_encoder_that_gives_all_vectors_and_says_its_reduction(finished):
    recipe, _, result = finished
    encoder = encoder_of(recipe, result)
    if recipe.encoder.lora is None:
        assert json.loads((result.model / "reduction.json").read_text()) == {"reduction": "K2"}
    else:
        settings = read_settings(result.model)
        assert (settings.reduction, settings.rank, settings.backbone) == ("C3x5", 2, recipe.encoder.model)
    (vectors,) = encoder.encode_document(["the sky is blue, the sea is blue"], convert_to_numpy=True)
    assert vectors.shape == (10, 16)
    assert (vectors**2).sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert len(encoder.encode_query(["the sky"])[0]) == (12 if recipe.encoder.expand_queries else 4)


def test_multi_vector_takes_it_and_reduces_as_it_was_trained(finished):
    recipe, _, result = finished
    corpus = Corpus.of([Document("sky", "why is the sky so blue, and the sea"), Document("bread", "bread and yeast")])
    session, query = Session(offline=True, device="cpu"), "why is the blue sky blue"
    stage = MultiVector.of(corpus, model=str(result.model), session=session)
    hits = stage.search(query, session=session)
    encoder, both = encoder_of(recipe, result), reductions(recipe.reduction)
    asked = reduced(encoder.encode_query([query]), both.query)[0]
    found = {
        one.id: float((asked @ reduced(encoder.encode_document([one.contents]), both.document)[0].T).amax(1).sum())
        for one in corpus
    }
    assert dict(zip(hits.doc_ids, hits.scores, strict=True)) == pytest.approx(found, abs=1e-2)  # stored as float16
    assert result.stage == "multi_vector"


def test_the_manifest_and_the_card_tell_what_was_done(finished):
    recipe, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    assert written["start"].keys() == written["end"].keys() == {"nDCG@10", "MRR@10", "R@10"}
    assert 0 < written["documents_cut"] <= 1
    assert 0 < written["projection_holds"] < 1
    card = (result.model / "README.md").read_text()
    for said in (f"`{recipe.reduction}`", *(one["licence"] for one in written["data"])):
        assert said in card
    assert f"| after training | {written['end']['nDCG@10']:g} |" in card


def test_the_best_checkpoint_is_what_remains_measured_with_the_reduction(finished):
    _, output, result = finished
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    measured = [one["eval_held_out_maxsim_ndcg@10"] for one in logged if "eval_held_out_maxsim_ndcg@10" in one]
    assert len(measured) == 3
    assert result.manifest["end"]["nDCG@10"] == pytest.approx(max(measured), abs=1e-4)


def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path)
    carry_out(recipe, Session(offline=True), output=tmp_path / "out")
    once, twice = weights_of(output), weights_of(tmp_path / "out")
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


def test_a_recipe_names_a_reduction_that_there_is(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(multi_vector_recipe(tmp_path), indent=1))
    assert read_recipe(file, ["reduction=c4x8"]).reduction == "C4x8"
    with pytest.raises(ConfigError, match=r"recipe.yaml:\d+: reduction: .*no such reduction.*C8x32"):
        read_recipe(file, ["reduction=CC8"])
