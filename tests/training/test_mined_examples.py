"""What is mined is kept, and mined anew when what it was mined of is another."""

import json

import pytest

from rankloom import Session
from rankloom.training.contrastive_config import ContrastiveRecipe
from rankloom.training.mined_examples import examples_of
from rankloom.training.pairs import read_sources
from tests.training.recipes import contrastive_recipe


@pytest.fixture
def collection(tmp_path):
    """A folder with 28 passages, eight of them about tides, and five queries that have one relevant passage each."""
    (tmp_path / "qrels").mkdir()
    things = ["tide"] * 8 + ["bread"] * 20
    texts = [f"the {thing} of day {n} comes late" for n, thing in enumerate(things)]
    lines = [json.dumps({"_id": f"d{n}", "text": text}) for n, text in enumerate(texts)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    lines = [json.dumps({"_id": f"q{n}", "text": f"when does the tide of day {n} come"}) for n in range(5)]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines) + "\n")
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(5))
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return tmp_path


def mined(folder, held_out=1):
    values = contrastive_recipe(folder)
    told = {"name": "own", "licence": "CC0", "collection": f"{folder}:train", "validation": held_out}
    recipe = ContrastiveRecipe.model_validate({**values, "sources": [told]})
    session = Session(cache=folder / "cache", offline=True)
    (found,), pool = examples_of(recipe, read_sources(recipe.sources, session, seed=7), session, folder)
    return found.rows, pool


def replaced(file, old, new):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_document_that_is_judged_relevant_later_is_no_negative(collection):
    before, _ = mined(collection, held_out=0)
    query, negative = next((one.query, one.negatives[0]) for one in before)
    place, found = (text.split()[-3 if text.endswith("late") else -2] for text in (query, negative))
    with (collection / "qrels" / "train.tsv").open("a") as file:
        file.write(f"q{place}\td{found}\t1\n")
    after, _ = mined(collection, held_out=0)
    assert all(negative not in one.negatives for one in after if one.query == query)


def test_what_has_not_changed_is_not_mined_again(collection, monkeypatch):
    before, pool = mined(collection)
    monkeypatch.setattr("rankloom.training.mined_examples.mine", lambda *_, **__: pytest.fail("mined again"))
    after, again = mined(collection)
    assert (after, again.queries) == (before, pool.queries)


@pytest.mark.parametrize("of_held_out", [False, True])
def test_queries_that_have_changed_are_mined_again(collection, monkeypatch, of_held_out):
    rows, pool = mined(collection)
    (held,) = pool.queries.values()
    changed = held if of_held_out else rows[0].query
    replaced(collection / "queries.jsonl", changed, changed.replace("when", "at what hour"))
    monkeypatch.setattr("rankloom.training.mined_examples.mine", lambda *_, **__: pytest.fail("mined again"))
    with pytest.raises(pytest.fail.Exception, match="mined again"):
        mined(collection)
