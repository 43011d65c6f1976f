"""Recipes for models that compare two documents, whole, on a tiny backbone."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from rankloom import Session
from rankloom.cross_encoder_adapter import load_adapter, read_settings
from rankloom.errors import DataError
from rankloom.training.cross_encoder_config import JudgeDistillation
from rankloom.training.duo_fit import BothOrders, compared, measured
from rankloom.training.pool import Pool
from rankloom.training.recipes import KINDS, carry_out
from tests.training.killed import begin_and_kill
from tests.training.recipes import cross_encoder_recipe, duo_recipe

pytestmark = pytest.mark.slow
KIND = KINDS["duo"].recipe
SESSION = Session(offline=True, device="cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = KIND.model_validate(duo_recipe(folder))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


@pytest.fixture(scope="module")
def comparing(finished):
    """What was trained."""
    recipe, _, result = finished
    return load_adapter(result.model, SentenceTransformer(recipe.encoder.model, device="cpu"), documents=2)


def logit(model, query, first, second):
    """What a model says of whole texts, given as sentence-transformers reads a pair: the second text has two parts."""
    found = model.predict([(query, f"{first}[SEP]{second}")], activation_fn=torch.nn.Identity())
    return float(found[0])


def test_the_adapter_says_that_it_compares(finished):
    recipe, _, result = finished
    assert (result.stage, read_settings(result.model).documents) == ("duo", 2)
    with pytest.raises(DataError, match=r"reads 2 document.*take Duo"):
        load_adapter(result.model, SentenceTransformer(recipe.encoder.model, device="cpu"))


def test_the_loss_is_that_of_both_orders(comparing):
    queries, documents = ["why", "tide"], [["the sky", "blue", "sea"], ["moon", "bread", "yeast light"]]
    expected = []
    for query, (relevant, *others) in zip(queries, documents, strict=True):
        for other in others:
            right, wrong = logit(comparing, query, relevant, other), logit(comparing, query, other, relevant)
            expected += [np.log1p(np.exp(-right)), np.log1p(np.exp(wrong))]
    assert BothOrders(comparing)([queries, documents], None).item() == pytest.approx(np.mean(expected), abs=1e-5)
    scores = [[0.9, 0.8, 0.95], [0.3, 0.1, 0.0]]
    expected = []
    for query, (relevant, *others), (own, *their) in zip(queries, documents, scores, strict=True):
        for other, score in zip(others, their, strict=True):
            target = 0.75 + 0.25 / (1 + np.exp(-(own - score) / 0.1))
            right, wrong = logit(comparing, query, relevant, other), logit(comparing, query, other, relevant)
            expected += [np.log1p(np.exp(right)) - target * right, np.log1p(np.exp(wrong)) - (1 - target) * wrong]
    judged = BothOrders(comparing, JudgeDistillation(share=0.25, temperature=0.1))
    found = judged([queries, documents], torch.tensor(scores)).item()
    assert found == pytest.approx(np.mean(expected), abs=1e-5)


def test_measures_are_those_of_all_pairs(comparing):
    pool = Pool()
    texts = {"a": "the sky", "b": "blue sea", "c": "moon", "d": "yeast", "e": "light light"}
    for number, (query, relevant) in enumerate({"why": "b", "tide": "e", "the moon": "c", "is": "none"}.items()):
        pool.put("s", str(number), query, [relevant] if relevant in texts else [])
        pool.candidates[f"s\t{number}"] = [f"s\t{one}" for one in "abcd"]
    pool.documents = {f"s\t{name}": text for name, text in texts.items()}
    ndcg, won = [], []
    for query, relevant, shown in (("why", "b", "abc"), ("tide", "e", "abe"), ("the moon", "c", "abc")):
        likely = {
            (a, b): 1 / (1 + np.exp(-logit(comparing, query, texts[a], texts[b])))
            for a in shown
            for b in shown
            if a != b
        }
        total = {a: sum(likely[a, b] + 1 - likely[b, a] for b in shown if b != a) for a in shown}
        rank = sorted(shown, key=lambda a: -total[a]).index(relevant)
        ndcg.append(1 / np.log2(rank + 2))
        won += [likely[relevant, b] > likely[b, relevant] for b in shown if b != relevant]
    found = measured(comparing, pool, depth=3)
    assert found == {
        "nDCG@10": pytest.approx(np.mean(ndcg), abs=1e-4),
        "pair accuracy": pytest.approx(np.mean(won), abs=1e-4),
    }
    assert measured(comparing, Pool(), depth=3) == {}


def test_held_out_queries_without_a_pair_to_tell_are_measured_by_nothing(comparing):
    pool = Pool()
    pool.put("s", "0", "why", ["b"])
    pool.candidates["s\t0"] = ["s\tb"]
    pool.documents = {"s\tb": "blue sea"}
    assert compared(pool, 3) == measured(comparing, pool, depth=3) == {}


def test_a_training_goes_on_from_a_cross_encoder(tmp_path):
    values = cross_encoder_recipe(tmp_path, steps=0)
    scoring = carry_out(KINDS["cross_encoder"].recipe.model_validate(values), SESSION, output=tmp_path / "scoring")
    values = duo_recipe(tmp_path, steps=0)
    values["encoder"]["start"] = str(scoring.model)
    result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "comparing")
    once, again = (load_file(one.model / "adapter.safetensors") for one in (scoring, result))
    assert all(torch.equal(one, again[name]) for name, one in once.items())
    assert read_settings(result.model).documents == 2


def test_the_manifest_and_the_card_tell_what_was_done(finished):
    _, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    assert written["start"].keys() == written["end"].keys() == {"nDCG@10", "pair accuracy"}
    card = (result.model / "README.md").read_text()
    assert all(one["licence"] in card for one in written["data"])
    assert f"| after training | {written['end']['nDCG@10']:g} |" in card


def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path)
    carry_out(recipe, SESSION, output=tmp_path / "out")
    once, twice = (load_file(one / "adapter" / "adapter.safetensors") for one in (output, tmp_path / "out"))
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


def test_training_learns_to_compare(tmp_path):
    values = {**duo_recipe(tmp_path, steps=60, checkpoint=30, learning_rate=3e-3), "judged": {"share": 0.2}}
    values["encoder"]["lora"]["rank"] = 8
    result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")
    logged = [json.loads(line) for line in (tmp_path / "out" / "checkpoints" / "losses.jsonl").open()]
    losses = [one["loss"] for one in logged if "loss" in one]
    assert losses[-1] < 0.9 * losses[0]
    assert "with the scores of the judge" in (result.model / "README.md").read_text()
    assert result.manifest["end"]["nDCG@10"] >= result.manifest["start"]["nDCG@10"]


@pytest.mark.parametrize(
    ("change", "problem"), [({"compared": 3}, r"more than `negatives\.count`"), ({"judged": {}}, "there is none")]
)
def test_what_a_recipe_lacks_is_told(change, problem, tmp_path):
    values = duo_recipe(tmp_path)
    values["negatives"]["judge"] = None
    with pytest.raises(ValueError, match=problem):
        KIND.model_validate({**values, **change})
