"""A folder belongs to one recipe, on one set of data, from one model."""

import pytest

from rankloom import Session
from rankloom.errors import DataError
from rankloom.training.recipes import KINDS, carry_out
from tests.tiny_models import tiny_encoder
from tests.training.recipes import contrastive_recipe, pretraining_recipe, tiny_recipe

pytestmark = pytest.mark.slow
SESSION = Session(offline=True, device="cpu")


def distillation_recipe(folder, **training):
    values = tiny_recipe(folder, **training)
    shared = {part: one for part, one in values.items() if part not in ("penalty", "loss")}
    student = {"architecture": "dot", "backbone": values["student"]["backbone"], "max_tokens": 32}
    return {**shared, "kind": "distillation", "student": student}


@pytest.fixture(params=[contrastive_recipe, pretraining_recipe, tiny_recipe, distillation_recipe])
def untrained(request, tmp_path):
    """A recipe of each kind, carried out with no step."""
    values = request.param(tmp_path, steps=0)
    recipe = KINDS[values["kind"]].recipe.model_validate(values)
    carry_out(recipe, SESSION, output=tmp_path / "out")
    return recipe, tmp_path


def test_the_same_data_and_model_go_on(untrained):
    recipe, folder = untrained
    start = (folder / "out" / "start.json").read_bytes()
    assert carry_out(recipe, SESSION, output=folder / "out").manifest["start"]
    assert (folder / "out" / "start.json").read_bytes() == start


def test_data_that_have_changed_under_their_name_are_refused(untrained):
    recipe, folder = untrained
    file = folder / ("pages.jsonl" if recipe.kind == "pretraining" else "pairs.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-8]))
    with pytest.raises(DataError, match=r"data or the model have changed.*name another folder"):
        carry_out(recipe, SESSION, output=folder / "out")


def test_a_model_that_has_changed_under_its_name_is_refused(untrained):
    recipe, folder = untrained
    tiny_encoder(folder / "tiny", seed=2, max_length=64)
    with pytest.raises(DataError, match=r"data or the model have changed.*name another folder"):
        carry_out(recipe, SESSION, output=folder / "out")
    carry_out(recipe, SESSION, output=folder / "elsewhere")
