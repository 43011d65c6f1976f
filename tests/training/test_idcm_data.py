"""What IDCM's recipes learn from and are measured on, by hand: passages, held-out queries, measures."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from rankloom import Document, Query, Session
from rankloom.corpus import Corpus
from rankloom.errors import DataError
from rankloom.training.hard_negatives import _positives
from rankloom.training.idcm import _of_passages
from rankloom.training.idcm_passages import passage_sources
from rankloom.training.idcm_validation import measured, validation_pool
from rankloom.training.pairs import SourceTexts, read_source
from rankloom.training.pool import Pool
from rankloom.training.recipe_config import TrainingSource
from rankloom.training.recipes import KINDS
from tests.training.long_documents import idcm_recipe

KIND = KINDS["idcm"].recipe
SESSION = Session(offline=True, device="cpu")


def letters(text, **_):
    """A tokenizer whose tokens are words."""
    ends = [place for place in range(len(text) + 1) if place == len(text) or text[place] == " "]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return {"offset_mapping": list(zip(starts, ends, strict=True))}


def source_of(documents, queries, relevant):
    told = TrainingSource.model_validate({"name": "some", "licence": "CC0", "collection": "x"})
    return SourceTexts(told, Corpus.of(documents), tuple(queries), (), relevant, ())


def test_an_answer_begins_where_it_is_marked():
    text = "Answers x x x x answer x x answer"
    documents = [Document("d", text, title="An answer"), Document("e", "reanswered answer")]
    queries = [
        Query("marked", "?", metadata={"answers": ["answer"], "answer_starts": {"d": [text.rindex("answer")]}}),
        Query("looked for", "?", metadata={"answers": ["answer"]}),
        Query("nowhere", "?", metadata={"answers": ["swer"]}),
    ]
    relevant = {"marked": {"d": 1}, "looked for": {"e": 1}, "nowhere": {"d": 1}}
    ((found, left_out),) = passage_sources([source_of(documents, queries, relevant)], letters, core=1, overlap=0)
    texts = {document.id: document.text for document in found.corpus}
    best = {query: [one for one, grade in own.items() if grade == 2] for query, own in found.relevant.items()}
    assert best == {"marked": ["d#000010"], "looked for": ["e#000001"]}
    assert texts["d#000010"] == texts["e#000001"] == "answer"
    assert left_out == 1


def test_only_passages_with_an_answer_are_relevant_whatever_is_said_of_documents(tmp_path):
    values = idcm_recipe(tmp_path)
    values["negatives"]["positives"] = 3
    how = _of_passages(KIND.model_validate(values)).negatives
    grades = {"beside": 1, "answer": 2, "also beside": 1}
    assert _positives(grades, how.positives, np.random.default_rng(1)) == ["answer"]


# --- measures ---------------------------------------------------------------------------------------------------


def pool_of(candidates, relevant):
    """A pool of one query whose documents are their own names."""
    pool = Pool()
    pool.put("s", "q", "why", relevant)
    pool.candidates["s\tq"] = [f"s\t{one}" for one in candidates]
    pool.documents.update({f"s\t{one}": one for one in candidates})
    return pool


def measures(pool, windows, chosen, *, sample):
    """What is measured of a teacher and a student with these scores of windows, by document."""
    sizes = SimpleNamespace(sample=sample)
    reader = SimpleNamespace(model=SimpleNamespace(weights=torch.ones(1), sizes=sizes))
    teacher = SimpleNamespace(of=lambda asked: np.array(windows[asked[1]], dtype=np.float32))
    student = SimpleNamespace(scores=lambda asked: torch.tensor(chosen[asked[1]]))
    return measured(reader, teacher, student, pool)


@pytest.mark.parametrize("relevant", [["b"], ["b", "not found"], ["not found"]])
def test_a_teacher_that_repeats_the_first_stage_is_as_good_as_it(relevant):
    pool = pool_of("abc", relevant)
    windows = {one: [-float(place), -9.0] for place, one in enumerate("abc")}
    found = measures(pool, windows, windows, sample=1)
    for measure in ("nDCG@10", "RR@10"):
        assert found[f"{measure}, first stage"] == found[f"{measure}, all windows"] == found[f"{measure}, 1 windows"]


def test_the_share_is_of_documents_with_something_to_choose():
    pool = pool_of("abc", ["a"])
    windows = {"a": [3.0, 2.0, 1.0, 0.0], "b": [1.0], "c": [2.0, 1.0]}
    found = measures(pool, windows, {"a": [3.0, 0.0, 2.0, 1.0], "b": [1.0], "c": [1.0, 2.0]}, sample=2)
    assert found["share of the teacher's 2 best windows that are chosen"] == 0.5
    assert found["pairs of a query and a document of more than 2 windows"] == 1
    found = measures(pool, windows, windows, sample=4)
    assert found["pairs of a query and a document of more than 4 windows"] == 0
    assert not any("share" in name for name in found)


# --- held-out queries -------------------------------------------------------------------------------------------


def test_the_pool_holds_what_the_first_stage_finds_and_no_query_that_is_trained_on(tmp_path):
    recipe = KIND.model_validate(idcm_recipe(tmp_path))
    whole, none = validation_pool(recipe, SESSION)
    assert none == 0
    assert len(whole) == 3
    assert set(whole.documents) == {one for found in whole.candidates.values() for one in found}
    source = read_source(recipe.sources[0], SESSION, seed=7)
    asked = [Query(f"t{number}", f"  {text.upper()}") for number, text in enumerate(list(whole.queries.values())[:1])]
    source = SourceTexts(source.source, source.corpus, tuple(asked), (), source.relevant, ())
    pool, left_out = validation_pool(recipe, SESSION, trained_on=[source])
    assert left_out == 1
    assert not set(pool.queries.values()) & {next(iter(whole.queries.values()))}


def test_a_collection_that_is_trained_on_is_not_measured_on(tmp_path):
    values = idcm_recipe(tmp_path)
    values["validation"]["collection"] = values["sources"][0]["collection"]
    with pytest.raises(ValidationError, match="is trained on"):
        KIND.model_validate(values)
    values["validation"]["collection"] = f"{tmp_path}/./articles.json/train"
    recipe = KIND.model_validate(values)
    sources = [read_source(one, SESSION, seed=7) for one in recipe.sources]
    with pytest.raises(DataError, match="every query to measure on is trained on"):
        validation_pool(recipe, SESSION, trained_on=sources)
