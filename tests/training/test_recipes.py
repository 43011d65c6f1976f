"""What a recipe may say, and how what it may not is told."""

from pathlib import Path

import pytest
import yaml

from rankloom.errors import ConfigError, NotFoundError
from rankloom.training.recipes import KINDS, read_recipe

SHIPPED = Path(__file__).parents[2] / "configs" / "training" / "inference_free.yaml"
RECIPE = {
    "kind": "inference_free",
    "name": "tiny",
    "output": "out",
    "sources": [{"name": "a", "licence": "CC0", "collection": "scifact/train"}],
    "teachers": {"stages": {"bm25": ["bm25"]}, "ensemble": ["bm25"], "candidates": ["bm25", {"top": 20}]},
    "training": {"steps": 5},
}


def written(folder, **changes):
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False))
    return file


@pytest.mark.parametrize("file", sorted(SHIPPED.parent.glob("*.yaml")), ids=lambda file: file.stem)
def test_recipes_that_are_shipped_are_valid(file):
    recipe = read_recipe(file)
    assert type(recipe) is KINDS[recipe.kind].recipe
    assert all(source.licence for source in recipe.sources)


def test_the_model_that_is_shipped_is_trained_on_what_it_may_be():
    recipe = read_recipe(SHIPPED)
    assert recipe.teachers.ensemble == ["bm25", "dense"]
    for source in recipe.sources:
        assert "non-commercial" not in source.licence.lower()
        told = source.collection or source.pairs.file
        assert not any(name in told for name in ("nfcorpus", "trec-dl", "msmarco", "candidates", "test"))


def test_defaults_and_overrides(tmp_path):
    recipe = read_recipe(written(tmp_path), ["training.steps=9", "penalty.idf_power=0.0"])
    assert (recipe.training.steps, recipe.penalty.idf_power, recipe.teachers.documents) == (9, 0.0, 4)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kind": "inference_fre"}, r"recipe.yaml:1: a recipe needs a `kind`.*did you mean 'inference_free'"),
        ({"kind": None}, r"recipe.yaml:1: a recipe needs a `kind`.*accepted: .*inference_free"),
        ({"trainig": {}}, "recipe.yaml:.*'trainig'; did you mean 'training'"),
        ({"training": {"steps": 5, "learning_rat": 1.0}}, "training.learning_rat'; did you mean 'learning_rate'"),
        ({"training": {"steps": "many"}}, "training.steps: .*'many'"),
        ({"sources": [{**RECIPE["sources"][0], "licens": "CC0"}]}, "sources.0.licens'; did you mean 'licence'"),
        ({"loss": {"hinge": 1.0}}, "loss"),
        ({"sources": []}, "sources"),
        ({"sources": [{"name": "a", "licence": "CC0"}]}, "either a `collection` or `pairs`"),
        ({"sources": [{"name": "a", "licence": "CC0", "collection": "scifact/test"}]}, "not to be trained on"),
        ({"sources": [{"name": "a", "collection": "scifact/train"}]}, "licence"),
        ({"teachers": {**RECIPE["teachers"], "ensemble": ["dense"]}}, "no such teacher.*'dense'"),
        ({"teachers": {**RECIPE["teachers"], "candidates": ["bm52"]}}, "did you mean 'bm25'"),
        ({"teachers": {**RECIPE["teachers"], "stages": {"bm25": [{"top": 3}]}}}, "top"),
    ],
)
def test_a_mistake_is_named(tmp_path, changes, match):
    with pytest.raises(ConfigError, match=match):
        read_recipe(written(tmp_path, **changes))


CONTRASTIVE = {
    "kind": "contrastive",
    "name": "tiny",
    "output": "out",
    "sources": RECIPE["sources"],
    "negatives": {"pipeline": ["bm25", {"top": 20}]},
    "training": {"steps": 5},
}
PRETRAINING = {
    "kind": "pretraining",
    "name": "tiny",
    "output": "out",
    "sources": [{"name": "a", "licence": "CC0", "corpus": "corpus.jsonl"}],
    "tasks": {"ict": {}},
    "training": {"steps": 5},
}


@pytest.mark.parametrize(
    ("recipe", "changes", "match"),
    [
        (
            CONTRASTIVE,
            {"sources": [{**RECIPE["sources"][0], "collection": "own/dev"}]},
            "not to be trained on",
        ),
        (CONTRASTIVE, {"negatives": {"pipeline": ["bm52"]}}, r"recipe.yaml:\d+: unknown stage.*did you mean 'bm25'"),
        (CONTRASTIVE, {"negatives": {"pipeline": ["bm25"], "judge": "bi_encodr"}}, "did you mean 'bi_encoder'"),
        (CONTRASTIVE, {"negatives": {"pipeline": ["bm25"], "ranks": [5, 2]}}, "a first and a last rank"),
        (CONTRASTIVE, {"negatives": {"pipeline": ["bm25"], "shar": 0.9}}, "did you mean 'share'"),
        (CONTRASTIVE, {"encoder": {"lora": {"rang": 3}}}, "encoder.lora.rang'; did you mean 'rank'"),
        (CONTRASTIVE, {"loss": {"temperature": 0.0}}, "greater than 0"),
        (CONTRASTIVE, {"tasks": {"ict": {}}}, "there is no 'tasks'"),
        (PRETRAINING, {"tasks": {}}, "name at least one of `ict`, `bfs`, `wlp`"),
        (PRETRAINING, {"tasks": {"ict": {"keep": 2.0}}}, "less than or equal to 1"),
        (PRETRAINING, {"tasks": {"bfs": {"keep": 0.5}}}, "there is no 'tasks.bfs.keep'"),
    ],
)
def test_a_mistake_in_another_kind_is_named(tmp_path, recipe, changes, match):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({**recipe, **changes}, sort_keys=False))
    with pytest.raises(ConfigError, match=match):
        read_recipe(file)


@pytest.mark.parametrize("judge", ["bi_encoder", ["bi_encoder", {"top": 50}], {"dense": {"k": 1000}}, ["bm25"]])
def test_a_judge_is_a_reranker_or_a_retriever(tmp_path, judge):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({**CONTRASTIVE, "negatives": {"pipeline": ["bm25"], "judge": judge}}))
    assert read_recipe(file).negatives.judge == judge


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="no such configuration"):
        read_recipe(tmp_path / "nowhere.yaml")
