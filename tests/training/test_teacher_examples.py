"""Recipes that learn from a file of teachers' scores: whose examples are whose, and what is refused or counted."""

import json

import pytest
from pydantic import ValidationError

from rankloom import Corpus, Document, Session
from rankloom.errors import ConfigError, DataError, NotFoundError
from rankloom.retrieval import BM25
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.distillation_recipe import train
from rankloom.training.recipes import read_recipe
from rankloom.training.teacher_examples import taught_by_file
from rankloom.training.teacher_file import TEACHER, Triple, triples_of, write_triples
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")
TEXTS = {f"d{number}": f"word{number} of the sea and the sky" for number in range(8)}
QUERIES = {f"q{number}": f"what is word{number} of the sea" for number in range(8)}
QRELS = {query: {f"d{query[1:]}": 1} for query in QUERIES}


@pytest.fixture
def collection(tmp_path):
    """A folder in BEIR's layout; q8 asks what q0 asks."""
    folder = tmp_path / "own"
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": doc_id, "title": "", "text": text}) for doc_id, text in TEXTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    asked = {**QUERIES, "q8": "What is  word0 of the sea"}
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": i, "text": t}) for i, t in asked.items()))
    rows = [f"{query}\t{doc_id}\t1" for query, grades in {**QRELS, "q8": {"d0": 1}}.items() for doc_id in grades]
    (folder / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return folder


@pytest.fixture
def triples():
    corpus = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])
    return list(triples_of(BM25.of(corpus, k=4).run(QUERIES), QRELS))


def values(tmp_path, collection, *, teachers=None, **source):
    told = {"name": "own", "licence": "CC0", "collection": f"{collection}:train", **source}
    return {
        "kind": "distillation",
        "name": "tiny",
        "output": str(tmp_path / "out"),
        "sources": [told],
        "teachers": {"file": str(tmp_path / "scores.tsv"), **(teachers or {})},
        "student": {"architecture": "dot", "backbone": "none", "max_tokens": 16},
        "training": {"steps": 2, "queries": 4, "checkpoint": 1, "bfloat16": False, "device": "cpu"},
    }


def taught(tmp_path, collection, **changes):
    return taught_by_file(DistillationRecipe.model_validate(values(tmp_path, collection, **changes)), SESSION)[1]


def test_each_triple_is_an_example_with_the_scores_of_the_file(tmp_path, collection, triples):
    write_triples(triples, tmp_path / "scores.tsv")
    examples = taught(tmp_path, collection)
    found = [(*one.scores[TEACHER], one.query, *one.texts) for one in examples.training]
    assert found == [(one[0], one[1], QUERIES[one.query], TEXTS[one.positive], TEXTS[one.negative]) for one in triples]
    assert (examples.held_out, examples.left_out) == ((), ({},))


def test_held_out_queries_are_pooled_and_not_trained_on(tmp_path, collection, triples):
    write_triples(triples, tmp_path / "scores.tsv")
    examples = taught(tmp_path, collection, validation=2)
    held = {one.query for one in examples.held_out}
    assert len(held) == len(examples.held_out) == 2
    assert held.isdisjoint(one.query for one in examples.training)
    for one in examples.held_out:
        of_query = [triple for triple in triples if QUERIES[triple.query] == one.query]
        assert one.texts == (TEXTS[of_query[0].positive], *(TEXTS[triple.negative] for triple in of_query))
        assert one.scores[TEACHER] == (of_query[0][0], *(triple[1] for triple in of_query))


def test_queries_that_ask_the_same_are_one(tmp_path, collection):
    write_triples([Triple(2, 1, "q0", "d0", "d1"), Triple(3, 1, "q8", "d0", "d2")], tmp_path / "scores.tsv")
    assert [one.query for one in taught(tmp_path, collection).training] == [QUERIES["q0"]] * 2


def test_queries_that_are_not_drawn_are_counted(tmp_path, collection, triples):
    write_triples(triples, tmp_path / "scores.tsv")
    examples = taught(tmp_path, collection, limit=3)
    used = {one.query for one in examples.training}
    assert len(used) == 3
    left = sum(QUERIES[one.query] not in used for one in triples)
    assert examples.left_out == ({"triples of queries that are not drawn": left},)


def test_unknown_ids_are_an_error_or_counted(tmp_path, collection, triples):
    write_triples(
        [*triples, Triple(1, 0, "q0", "d0", "else"), Triple(1, 0, "who", "d0", "d1")], tmp_path / "scores.tsv"
    )
    with pytest.raises(DataError, match="no text of this passage; got 'else'"):
        taught(tmp_path, collection)
    examples = taught(tmp_path, collection, teachers={"missing": "count"})
    assert len(examples.training) == len(triples)
    assert examples.left_out == ({"triples of an unknown query": 1, "triples of an unknown passage": 1},)


def test_a_file_of_another_collection_is_refused(tmp_path, collection):
    write_triples([Triple(1, 0, "who", "d0", "d1")], tmp_path / "scores.tsv")
    with pytest.raises(DataError, match=r"no triple of a query that is trained on; left out: .*unknown query.: 1"):
        taught(tmp_path, collection, teachers={"missing": "count"})


def test_a_file_that_is_not_there(tmp_path, collection):
    with pytest.raises(NotFoundError, match="no such file of scores of teachers"):
        taught(tmp_path, collection)


@pytest.mark.parametrize(
    ("teachers", "problem"),
    [
        ({"documents": 4}, "leave out documents"),
        ({"stages": {"bm25": ["bm25"]}, "candidates": ["bm25"]}, "leave out stages, candidates"),
    ],
)
def test_a_file_and_stages_are_not_both_asked(tmp_path, collection, teachers, problem):
    with pytest.raises(ValidationError, match=problem):
        DistillationRecipe.model_validate(values(tmp_path, collection, teachers=teachers))


def test_a_file_needs_one_collection(tmp_path, collection):
    told = values(tmp_path, collection)
    with pytest.raises(ValidationError, match="needs one source, a `collection`"):
        DistillationRecipe.model_validate({**told, "sources": told["sources"] * 2})
    asked = {"stages": {"bm25": ["bm25"]}, "ensemble": ["bm25"], "candidates": ["bm25"], "missing": "count"}
    with pytest.raises(ValidationError, match="`missing` belongs to a `file`"):
        DistillationRecipe.model_validate({**told, "teachers": asked})


def test_a_recipe_of_a_file_is_read_from_yaml(tmp_path, collection):
    place = tmp_path / "recipe.yaml"
    place.write_text(json.dumps(values(tmp_path, collection)))
    recipe = read_recipe(place)
    assert (recipe.teachers.ensemble, recipe.teachers.mix) == ([TEACHER], "mean")
    assert DistillationRecipe.model_validate(recipe.model_dump()) == recipe
    place.write_text(json.dumps({**values(tmp_path, collection), "teachers": {"fil": "x"}}))
    with pytest.raises(ConfigError, match="did you mean 'file'"):
        read_recipe(place)


@pytest.mark.slow
def test_a_student_is_trained_by_a_file(tmp_path, collection, triples):
    write_triples(triples, tmp_path / "scores.tsv")
    told = values(tmp_path, collection, validation=2)
    told["student"]["backbone"] = str(tiny_encoder(tmp_path / "tiny", max_length=32))
    trained = train(DistillationRecipe.model_validate(told), SESSION, output=tmp_path / "out")
    assert trained.manifest["examples"] == 6 * 3
    assert trained.manifest["held_out"] == 2
    assert set(trained.manifest["end"]) == {"nDCG@10"}
    card = (tmp_path / "out" / "student" / "README.md").read_text()
    assert "scores.tsv (mix: mean, scale 1)" in card
