"""Sources of labelled texts: what is held out, and what is left out."""

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError
from rankloom.training import labelled_texts
from rankloom.training.held_out_texts import SEEN, SHARED, halves, sentences_of, shares
from rankloom.training.pairs import IN_TEST
from rankloom.training.provence_config import LabelledSource
from tests.training.labelled import marked_texts, record, write_records

SENTENCE = "texts that share a sentence with held-out ones"


def read_labelled_sources(sources, *, seen=()):
    return labelled_texts.read_labelled_sources(sources, Session(offline=True), seed=7, seen=seen)


def source(file, **more):
    return LabelledSource(name=file.stem, licence="CC0", labelled=str(file), **more)


def test_held_out_questions_share_neither_words_nor_texts_with_others(tmp_path):
    texts = [[f"{one} of {n}." for one in ("one", "two", "three")] for n in range(20)]
    records = [record(f"q{n}", f"question {n}", f"d{n // 3}", texts[n // 3], [n % 3]) for n in range(60)]
    file = write_records(tmp_path / "shared.labelled.jsonl", records)
    again = write_records(
        tmp_path / "again.labelled.jsonl", [{**one, "doc_id": f"{one['doc_id']} again"} for one in records]
    )
    one, other = read_labelled_sources([source(file, validation=7), source(again)])
    held = {text.query_id for text in one.held_out}
    assert len(held) == 9  # three texts of three questions each: the first so many that seven questions are reached
    assert {text.doc_id for text in one.held_out}.isdisjoint(text.doc_id for text in one.training)
    assert len(one.training) == 51
    assert {query.id for query in one.source.held_out} == held
    assert {text.question for text in other.training} == {text.question for text in one.training}


def test_a_question_with_texts_on_both_sides_is_left_out(tmp_path):
    texts = [[f"one of {n}.", f"two of {n}."] for n in range(20)]
    records = [record(f"q{n}", f"question {n}", f"d{n}", texts[n], [0]) for n in range(20)]
    records += [record(f"b{n // 2}", f"of two {n // 2}", f"d{n}", texts[n], []) for n in range(20)]
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
    assert found.helping == {"why blue?": {"one.", "four."}, "why red?": set()}


def test_labels_of_questions_of_the_same_words_are_put_together(tmp_path):
    records = [
        record("a", "Why blue?", "d1", ["one.", "two.", "three."], [2]),
        record("b", "why  BLUE?", "d1", ["one.", "two.", "three."], [0]),
        record("c", "WHY blue?", "d1", ["one. two.", "three."], [0]),
    ]
    (found,) = read_labelled_sources([source(write_records(tmp_path / "a.labelled.jsonl", records))])
    assert [(text.query_id, text.relevant) for text in found.training] == [("a", (0, 2))]
    assert found.counts == {"cut into other sentences for the same question": 1}


def claims(count, *, shared):
    """Claims about pages, each with texts of its own; every so many claims share the gold sentence of their page."""
    for n in range(count):
        page = n // shared
        yield record(f"c{n}", f"claim {n}", f"t{n}", [f"Other {n}.", f"GOLD of  page {page}."], [1])


def test_no_sentence_of_a_held_out_text_is_trained_on_in_any_source(tmp_path):
    one = write_records(tmp_path / "one.labelled.jsonl", claims(30, shared=3))
    silver = [
        record(f"s{n}", f"asked otherwise {n}", f"silver {n}", [f"gold of page {n}.", "Same."], []) for n in range(10)
    ]
    two = write_records(tmp_path / "two.labelled.jsonl", silver)
    first, second = read_labelled_sources([source(one, validation=4), source(two)])
    held = sentences_of(first.held_out)
    pages = {int(text.sentences[1].rstrip(".").split()[-1]) for text in first.held_out}
    assert len(first.held_out) == 4
    assert not any(shares(text, held) for some in (first, second) for text in some.training)
    assert first.counts[SENTENCE] == 3 * len(pages) - 4 > 0
    assert second.counts[SENTENCE] == len(pages)
    assert len(second.training) == 10 - len(pages)
    left = {text.doc_id for some in (first, second) for text in (*some.training, *some.held_out)}
    assert {document.id for some in (first, second) for document in some.source.corpus} == left  # nothing else is mined


def test_the_draw_depends_on_what_is_asked_alone(tmp_path):
    records = list(claims(40, shared=1))
    one = write_records(tmp_path / "one.labelled.jsonl", records)
    renamed = [{**one, "query_id": f"other {one['query_id']}", "question": one["question"].upper()} for one in records]
    other = write_records(tmp_path / "other.labelled.jsonl", renamed[::-1])
    held = []
    for file in (one, other):
        (found,) = read_labelled_sources([source(file, validation=6, limit=30)])
        held.append([text.doc_id for text in found.held_out])
    assert held[0] == held[1]
    assert len(held[0]) == 6


def test_what_the_start_was_trained_on_is_not_held_out(tmp_path):
    file = write_records(tmp_path / "one.labelled.jsonl", claims(20, shared=1))
    (before,) = read_labelled_sources([source(file, validation=4)])
    seen = {text.question for text in before.held_out}
    (found,) = read_labelled_sources([source(file, validation=4)], seen=seen)
    assert len(found.held_out) == 4
    assert seen.isdisjoint(text.question for text in found.held_out)
    assert SEEN not in found.counts
    known = {f"claim {n}" for n in range(17)}
    (found,) = read_labelled_sources([source(file, validation=4)], seen=known)
    assert sorted(text.question for text in found.held_out) == ["claim 17", "claim 18", "claim 19"]
    assert found.counts == {SEEN: 1}


def test_a_threshold_is_chosen_on_other_questions_and_sentences_than_it_is_measured_on(tmp_path):
    file = write_records(tmp_path / "one.labelled.jsonl", claims(40, shared=3))
    (found,) = read_labelled_sources([source(file, validation=20)])
    chosen_on, others = halves(found.held_out)
    assert len(chosen_on) == 10
    assert 0 < len(others) < 10
    assert not any(shares(text, sentences_of(chosen_on)) for text in others)


def test_files_for_evaluation_are_refused(tmp_path):
    (tmp_path / "trecqa-train.xml").write_text("")
    told = LabelledSource(name="trecqa", licence="none", labelled=f"{tmp_path / 'trecqa-train.xml'}/raw")
    with pytest.raises(DataError, match=r"for evaluation only.*trecqa-train\.xml"):
        read_labelled_sources([told])


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
    titled = [
        record("a", "why", "d", ["one."], [0], title="One"),
        record("b", "where", "d", ["one."], [0], title="Two"),
    ]
    for place, some in enumerate((records, titled)):
        file = write_records(tmp_path / f"two-{place}.labelled.jsonl", some)
        with pytest.raises(DataError, match="one id stands for two texts"):
            read_labelled_sources([source(file)])
