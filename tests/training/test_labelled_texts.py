"""Sources of labelled texts: what is held out, and what is left out."""

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError
from rankloom.training import labelled_texts
from rankloom.training.pairs import IN_TEST
from rankloom.training.provence_config import LabelledSource
from tests.training.labelled import marked_texts, record, write_records

SHARED = "questions that share a text with held-out ones"


def read_labelled_sources(sources):
    return labelled_texts.read_labelled_sources(sources, Session(offline=True), seed=7)


def source(file, **more):
    return LabelledSource(name=file.stem, licence="CC0", labelled=str(file), **more)


def test_held_out_questions_share_neither_words_nor_texts_with_others(tmp_path):
    records = [record(f"q{n}", f"question {n}", f"d{n // 3}", ["one.", "two.", "three."], [n % 3]) for n in range(60)]
    file = write_records(tmp_path / "shared.labelled.jsonl", records)
    again = write_records(tmp_path / "again.labelled.jsonl", [{**one, "doc_id": "other"} for one in records])
    one, other = read_labelled_sources([source(file, validation=7), source(again)])
    held = {text.query_id for text in one.held_out}
    assert len(held) == 9  # three texts of three questions each: the first so many that seven questions are reached
    assert {text.doc_id for text in one.held_out}.isdisjoint(text.doc_id for text in one.training)
    assert len(one.training) == 51
    assert {query.id for query in one.source.held_out} == held
    assert {text.question for text in other.training} == {text.question for text in one.training}


def test_a_question_with_texts_on_both_sides_is_left_out(tmp_path):
    records = [record(f"q{n}", f"question {n}", f"d{n}", ["one.", "two."], [0]) for n in range(20)]
    records += [record(f"b{n // 2}", f"of two {n // 2}", f"d{n}", ["one.", "two."], []) for n in range(20)]
    file = write_records(tmp_path / "a.labelled.jsonl", records)
    left_out = []
    for validation in range(1, 9):
        (found,) = read_labelled_sources([source(file, validation=validation)])
        left_out.append(found.counts.get(SHARED, 0))
        training, held_out = ({text.query_id for text in some} for some in (found.training, found.held_out))
        assert len(held_out) >= validation
        assert len(training) + len(held_out) + left_out[-1] == 30
        assert {text.doc_id for text in found.held_out}.isdisjoint(text.doc_id for text in found.training)
    assert max(left_out) >= 2


def test_questions_of_the_same_words_are_one(tmp_path):
    records = [
        record("a", "Why blue?", "d1", ["one.", "two."], [0]),
        record("b", "why  BLUE?", "d2", ["three.", "four."], [1]),
        record("c", "why red?", "d3", ["five."], []),
    ]
    (found,) = read_labelled_sources([source(write_records(tmp_path / "a.labelled.jsonl", records))])
    assert [query.id for query in found.source.queries] == ["a", "c"]
    assert found.source.relevant == {"a": {"d1": 1, "d2": 1}, "c": {"d3": 0}}


def test_what_only_the_title_answers_is_dropped_and_counted(tmp_path):
    records = [
        record("a", "why blue", "d1", ["The sky", "It scatters."], [0], title="The sky"),
        record("b", "why is it", "d2", ["The sky", "It scatters."], [0, 1], title="The sky"),
        record("c", "is it so", "d3", ["It scatters.", "The sky"], [0], title="The sky"),
    ]
    (found,) = read_labelled_sources([source(write_records(tmp_path / "a.labelled.jsonl", records))])
    assert sorted(text.query_id for text in found.training) == ["b", "c"]
    assert found.counts == {"the title alone is relevant": 1}


def test_claims_of_other_splits_are_left_out_and_counted(tmp_path):
    import json

    def claim(number, split, words):
        return {"split": split, "claim_id": number, "claim": words, "doc_id": number, "rationale": [0],
                "sentences": ["One.", "Two."]}  # fmt: skip

    claims = [claim(1, "train", "the sky is blue"), claim(2, "train", "The Sea  is blue")]
    claims.append(claim(3, "validation", "the sea is blue"))
    file = tmp_path / "scifact-rationales.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in claims))
    told = LabelledSource(name="scifact", licence="CC BY", labelled=f"{file}/train")
    (found,) = read_labelled_sources([told])
    assert [text.question for text in found.training] == ["the sky is blue"]
    assert found.counts == {IN_TEST: 1}


def test_a_limit_counts_questions(tmp_path):
    (found,) = read_labelled_sources([source(marked_texts(tmp_path / "m.labelled.jsonl"), limit=20, validation=5)])
    assert (len(found.training), len(found.held_out)) == (15, 5)


@pytest.mark.parametrize("name", ["covid-qa.json/test", "scifact-rationales.jsonl/validation"])
def test_splits_to_measure_on_are_refused(name):
    with pytest.raises(ValueError, match="not to be trained on"):
        LabelledSource(name="a", licence="CC0", labelled=name)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFoundError, match=r"no such file of labelled sentences.*RANKLOOM_DATA"):
        read_labelled_sources([source(tmp_path / "none.labelled.jsonl")])
    file = marked_texts(tmp_path / "m.labelled.jsonl", count=6)
    with pytest.raises(DataError, match="no text is left to be trained on"):
        read_labelled_sources([source(file, validation=6)])
    records = [record("a", "why", "d", ["one."], [0]), record("b", "where", "d", ["two."], [0])]
    file = write_records(tmp_path / "two.labelled.jsonl", records)
    with pytest.raises(DataError, match="one id stands for two texts"):
        read_labelled_sources([source(file)])
