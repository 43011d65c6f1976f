"""Lists of candidates: what is in them, and what it is worth, against the judgements."""

import pytest

from rankloom import Session
from rankloom.training.candidate_lists import lists_of, prepared
from rankloom.training.hard_negatives import Mined
from rankloom.training.pairs import read_source
from rankloom.training.pg_rank_config import PgRankRecipe
from rankloom.training.recipe_config import TrainingSource
from tests.training.recipes import graded_topics, pg_rank_recipe

SESSION = Session(offline=True, device="cpu")


@pytest.fixture
def source(tmp_path):
    return read_source(TrainingSource.model_validate(graded_topics(tmp_path / "graded")), SESSION, seed=7)


def test_a_list_holds_all_relevant_documents_and_then_the_first_negatives(source):
    query = source.queries[0]
    text = {document.id: document.contents for document in source.corpus}
    grades = source.relevant_to(query.id)
    best = next(doc_id for doc_id, grade in grades.items() if grade == 2)
    near = next(doc_id for doc_id, grade in grades.items() if grade == 1)
    far = tuple(doc_id for doc_id in text if doc_id not in grades)[:4]
    mined = [Mined(query.id, best, far), Mined(query.id, near, far[::-1]), Mined(source.queries[1].id, "d0", far)]
    first, second = lists_of(source, mined, documents=5)
    assert first.query == query.text
    assert first.texts == tuple(text[doc_id] for doc_id in (best, near, *far[:3]))
    assert first.gains == (2, 1, 0, 0, 0)
    assert len(second.texts) == len(second.gains) == 5


def test_mined_lists_are_of_one_size_and_tell_the_grades(tmp_path):
    recipe = PgRankRecipe.model_validate(pg_rank_recipe(tmp_path))
    lists, pool, (data,) = prepared(recipe, SESSION, tmp_path / "out")
    assert len(lists) == 28 * 3 - 24 == data["counts"]["queries"]
    assert len(pool) == 24
    assert not {one.query for one in lists} & set(pool.queries.values())
    for one in lists:
        assert len(set(one.texts)) == 10
        shared = [len(set(one.query.split()) & set(text.split())) for text in one.texts]
        common = min(shared)  # words such as "the" are in no passage
        assert [float(number - common) for number in shared] == list(one.gains)
        assert one.gains[0] == 2
        assert sorted(one.gains, reverse=True) == [2, 1, 1, 1, 1, 0, 0, 0, 0, 0]
