"""Examples of a recipe: asked once, kept, and the same for every ensemble of the same teachers."""

import json

import pytest

from rankloom import Session
from rankloom.errors import DataError
from rankloom.training.examples import examples_of, source_data
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.model_card import data_table
from rankloom.training.pairs import read_sources
from tests.tiny_models import tiny_encoder
from tests.training.recipes import tiny_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return InferenceFreeRecipe.model_validate(tiny_recipe(tmp_path_factory.mktemp("recipe")))


def read(recipe, session):
    return read_sources(recipe.sources, session, seed=recipe.seed)


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


@pytest.fixture(params=[True, False], ids=["cache", "output"])
def kept(request, tmp_path):
    """A recipe of its own files, examples that are kept in the cache or in the folder, and how to ask again."""
    values = tiny_recipe(tmp_path)
    values["teachers"]["stages"]["dense"] = [{"dense": {"model": values["student"]["backbone"]}}]
    recipe = InferenceFreeRecipe.model_validate(values)
    session = Session(cache=tmp_path / "cache" if request.param else None, offline=True, device="cpu")
    return tmp_path, lambda: examples_of(recipe, read(recipe, session), session, tmp_path)


@pytest.mark.parametrize("what", ["queries", "documents", "model"])
def test_teachers_are_asked_anew_when_what_lies_under_a_name_has_changed(kept, what):
    folder, asked = kept
    before = asked()
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").open()]
    if what == "model":
        tiny_encoder(folder / "tiny", seed=2, max_length=64)
    elif what == "queries":
        pairs = [{**one, "q": f"about {one['q']}"} for one in pairs]
    else:
        pairs = [{**one, "d": f"{one['d']} As is well known."} for one in pairs]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs))
    after = asked()
    if what == "model":
        assert [one.scores["bm25"] for one in after.training] == [one.scores["bm25"] for one in before.training]
        assert [one.scores["dense"] for one in after.training] != [one.scores["dense"] for one in before.training]
    elif what == "queries":
        assert all(one.query.startswith("about ") for one in [*after.training, *after.held_out])
    else:
        assert all(text.endswith("As is well known.") for one in after.training for text in one.texts)


def test_queries_that_give_no_example_are_counted(tmp_path):
    values = tiny_recipe(tmp_path)
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").open()]
    pairs += [{"q": f"zzyzx {n} zzyzx {n}", "d": f"nothing of it is in document {n}"} for n in range(3)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs))
    values["teachers"]["candidates"] = ["bm25", {"top": 3}]
    del values["sources"][0]["validation"]
    recipe = InferenceFreeRecipe.model_validate(values)
    session = Session(offline=True)
    sources = read(recipe, session)
    found = examples_of(recipe, sources, session, tmp_path)
    (described,) = source_data(sources, found)
    assert described["left_out"]["no relevant document among the candidates"] >= 3
    assert sum(described["left_out"].values()) == described["queries"] - len(found.training) > 3
    (row,) = [line for line in data_table({"data": [described]}) if line.startswith("| titles")]
    assert all(f"{why} {number}" in row for why, number in described["left_out"].items())
