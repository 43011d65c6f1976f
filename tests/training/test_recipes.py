"""What a recipe may say, and how what it may not is told."""

from pathlib import Path

import pytest
import yaml

from rankloom.errors import ConfigError, NotFoundError
from rankloom.training.recipes import read_recipe

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


def test_the_recipe_that_is_shipped_is_valid_and_trains_on_what_it_may():
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


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="no such configuration"):
        read_recipe(tmp_path / "nowhere.yaml")
