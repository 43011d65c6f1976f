"""Examples of a recipe: asked once, kept, and the same for every ensemble of the same teachers."""

import pytest

from rankloom import Session
from rankloom.errors import DataError
from rankloom.training.examples import examples_of
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.pairs import read_source
from tests.training.recipes import tiny_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return InferenceFreeRecipe.model_validate(tiny_recipe(tmp_path_factory.mktemp("recipe")))


def read(recipe, session):
    return [read_source(one, session, seed=recipe.seed) for one in recipe.sources]


def test_every_example_has_all_teachers_and_the_relevant_document_first(recipe, tmp_path):
    session = Session(offline=True)
    sources = read(recipe, session)
    found = examples_of(recipe, sources, session, tmp_path)
    texts = {document.id: document.text for document in sources[0].corpus}
    answers = {
        query.text: {texts[doc_id] for doc_id in sources[0].relevant[query.id]}
        for query in [*sources[0].queries, *sources[0].held_out]
    }
    assert found.training
    assert found.held_out
    for one in [*found.training, *found.held_out]:
        assert one.scores.keys() == {"bm25", "flat"}
        assert one.texts[0] in answers[one.query]
    assert {len(one.texts) for one in found.training} == {3}
    held = {query.text for query in sources[0].held_out}
    assert not {one.query for one in found.training} & held
    assert {one.query for one in found.held_out} <= held


def test_teachers_are_asked_once_whoever_is_in_the_ensemble(recipe, tmp_path, monkeypatch):
    session = Session(cache=tmp_path / "cache", offline=True)
    first = examples_of(recipe, read(recipe, session), session, tmp_path)
    monkeypatch.setattr("rankloom.training.examples.teach", lambda *_, **__: pytest.fail("asked again"))
    single = recipe.model_copy(update={"teachers": recipe.teachers.model_copy(update={"ensemble": ["flat"]})})
    assert examples_of(single, read(single, session), session, tmp_path / "elsewhere") == first


def test_other_teachers_are_asked_anew(recipe, tmp_path):
    session = Session(cache=tmp_path / "cache", offline=True)
    first = examples_of(recipe, read(recipe, session), session, tmp_path)
    stages = {"bm25": ["bm25"], "flat": [{"bm25": {"b": 0.1}}]}
    other = recipe.model_copy(update={"teachers": recipe.teachers.model_copy(update={"stages": stages})})
    assert examples_of(other, read(other, session), session, tmp_path) != first


def test_no_example_is_an_error(recipe, tmp_path):
    session = Session(offline=True)
    none = recipe.model_copy(update={"teachers": recipe.teachers.model_copy(update={"documents": 25})})
    with pytest.raises(DataError, match="no example"):
        examples_of(none, read(none, session), session, tmp_path)
