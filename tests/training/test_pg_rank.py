"""Recipes of PG-RANK, whole, on tiny models: nDCG rises, what they leave behind, and that a killed one ends alike."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from rankloom import Document, Run, Session
from rankloom.errors import DataError
from rankloom.eval.measures import evaluate
from rankloom.rerank import CrossEncoder
from rankloom.retrieval import Dense
from rankloom.training.candidate_lists import CandidateList
from rankloom.training.pairs import read_sources
from rankloom.training.pg_rank_config import PgRankRecipe, PolicyGradient
from rankloom.training.pg_rank_fit import utility
from rankloom.training.policies import load_policy
from rankloom.training.recipes import carry_out
from tests.tiny_models import tiny_cross_encoder
from tests.training.killed import begin_and_kill
from tests.training.recipes import pg_rank_cross_recipe, pg_rank_recipe

SESSION = Session(offline=True, device="cpu")
LIST = CandidateList("why", ("sky blue", "sky", "bread"), (2.0, 1.0, 0.0))


@pytest.fixture(scope="module", params=[pg_rank_recipe, pg_rank_cross_recipe])
def finished(request, tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    values = request.param(folder, steps=90, checkpoint=30, queries=6, learning_rate=5e-3)
    recipe = PgRankRecipe.model_validate(values)
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


@pytest.mark.slow
def test_ndcg_rises_where_it_is_trained_on_and_where_it_is_not(finished):
    _, output, result = finished
    trained_on = result.manifest["trained_on"]
    assert trained_on["lists"] == 60
    assert trained_on["end"]["sampled nDCG@10"] > trained_on["start"]["sampled nDCG@10"] + 0.05
    assert result.manifest["end"]["nDCG@10"] > result.manifest["start"]["nDCG@10"] + 0.02
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    utilities = [-one["loss"] for one in logged if "loss" in one]
    assert len(utilities) == 9
    assert all(0 < one <= 1 for one in utilities)
    assert sum(utilities[-3:]) > sum(utilities[:3])


@pytest.mark.slow
def test_the_best_checkpoint_is_what_remains(finished):
    _, output, result = finished
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    measured = [one["eval_nDCG@10"] for one in logged if "eval_nDCG@10" in one]
    assert len(measured) == 3
    assert result.manifest["end"]["nDCG@10"] == pytest.approx(max(measured), abs=1e-4)


@pytest.mark.slow
def test_the_stage_takes_it_and_ranks_as_was_measured(finished):
    recipe, _, result = finished
    (source,) = read_sources(recipe.sources, SESSION, seed=recipe.seed)
    assert result.stage == ("dense" if recipe.encoder.architecture == "bi_encoder" else "cross_encoder")
    if result.stage == "dense":
        run = Dense.of(source.corpus, model=str(result.model), session=SESSION).run(source.held_out, session=SESSION)
        relevant = {query.id: source.relevant_to(query.id) for query in source.held_out}
        binary = {query: dict.fromkeys(grades, 1) for query, grades in relevant.items()}
        found = evaluate(run, binary, ["nDCG@10"]).means["nDCG@10"]
        assert found == pytest.approx(result.manifest["end"]["nDCG@10"], abs=1e-3)  # the pool holds all passages
        return
    policy = load_policy(recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={
        "model": str(result.model)})}), SESSION).eval()  # fmt: skip
    texts = ["sky blue " * 3, "bread yeast " * 3, "sea moon " * 3]
    run = Run.from_documents("why is the sky blue", [Document(str(n), text) for n, text in enumerate(texts)])
    hits = CrossEncoder(str(result.model), precision="float32").run(run, session=SESSION)["q1"]
    with torch.inference_mode():
        expected = policy(["why is the sky blue"], texts)[0].tolist()
    found = {int(doc_id): score for doc_id, score in zip(hits.doc_ids, hits.scores, strict=True)}
    assert [found[place] for place in range(3)] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_manifest_and_the_card_tell_what_was_done(finished):
    _, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    card = (result.model / "README.md").read_text()
    for told in (
        "CC0",
        "at most 5",
        f"| after training | {written['end']['nDCG@10']:g} |",
        f"| after training | {written['trained_on']['end']['sampled nDCG@10']:g} |",
    ):
        assert told in card


@pytest.mark.slow
def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    (tmp_path / "once").mkdir()
    recipe = PgRankRecipe.model_validate(pg_rank_recipe(tmp_path / "once"))
    once = carry_out(recipe, SESSION, output=tmp_path / "once" / "out")
    begin_and_kill(recipe, tmp_path)
    again = carry_out(recipe, SESSION, output=tmp_path / "out")
    first, second = (load_file(one.model / "model.safetensors") for one in (once, again))
    assert first.keys() == second.keys()
    for name, one in first.items():
        assert torch.equal(one, second[name]), name


def test_whole_cross_encoders_are_trained_too_and_encoders_refused_for_one(tmp_path):
    values = pg_rank_recipe(tmp_path)
    encoder = {"architecture": "cross_encoder", "model": str(tiny_cross_encoder(tmp_path / "cross"))}
    recipe = PgRankRecipe.model_validate({**values, "encoder": encoder})
    policy = load_policy(recipe, SESSION)
    assert policy.folder == "model"
    assert all(one.requires_grad for one in policy.parameters())
    assert policy(["why", "is"], ["sky", "blue", "sea", "moon"]).shape == (2, 2)
    encoder["model"] = values["encoder"]["model"]
    with pytest.raises(DataError, match="no scoring head"):
        load_policy(PgRankRecipe.model_validate({**values, "encoder": encoder}), SESSION)


def test_texts_beyond_what_is_read_are_counted(tmp_path):
    long = ["sky " * 60, "sky"]
    for recipe_of in (pg_rank_recipe, pg_rank_cross_recipe):
        (tmp_path / recipe_of.__name__).mkdir()
        policy = load_policy(PgRankRecipe.model_validate(recipe_of(tmp_path / recipe_of.__name__)), SESSION)
        assert policy.share_cut(["why", "is"], long, seed=1) == 0.5


def test_a_list_without_a_negative_is_refused(tmp_path):
    values = pg_rank_recipe(tmp_path)
    with pytest.raises(ValidationError, match=r"at most `negatives\.count`"):
        PgRankRecipe.model_validate({**values, "negatives": {**values["negatives"], "positives": 10}})


class _Given(nn.Module):
    """A policy of given scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def forward(self, *_):
        return torch.tensor([self.scores])


def test_utility_is_the_mean_over_drawn_rankings():
    how = PolicyGradient(k=1)
    assert utility(_Given([9.0, 1.0, -99.0]), [LIST], how, seed=1) == {"sampled nDCG@1": 1.0, "nDCG@1": 1.0}
    even = utility(_Given([0.0, 0.0, -99.0]), [LIST] * 200, how, seed=1)  # worth 1 or 1/2, as often
    assert even["sampled nDCG@1"] == pytest.approx(0.75, abs=0.01)
    assert even == utility(_Given([0.0, 0.0, -99.0]), [LIST] * 200, how, seed=1)
