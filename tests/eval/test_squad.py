"""Files in SQuAD's format as collections of whole articles."""

import json

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError
from rankloom.eval import sources
from rankloom.eval.collections import load_collection
from rankloom.training.pairs import read_source
from rankloom.training.recipe_config import TrainingSource

SPLITS = ("train", "validation", "test")


def question(number, text, answers=("yes",), **more):
    return {"id": number, "question": text, "answers": [{"text": one, "answer_start": 0} for one in answers], **more}


@pytest.fixture
def file(tmp_path):
    """Ten articles with two questions each; the second is the same one for all."""
    data = [
        {
            "title": f"Title {number}",
            "paragraphs": [
                {"document_id": 100 + number, "context": f"yes {number}.", "qas": [question(number, f"Why {number}?")]},
                {"context": f"more of {number}", "qas": [question(50 + number, "And  what?", ("no", f"{number}"))]},
            ],
        }
        for number in range(10)
    ]
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"data": data}))
    return path


def test_articles_and_their_questions_are_split(file):
    splits = {split: load_collection(f"{file}/{split}") for split in SPLITS}
    assert {split: len(one.corpus) for split, one in splits.items()} == {"train": 4, "validation": 1, "test": 5}
    ids = [document.id for one in splits.values() for document in one.corpus]
    assert sorted(ids) == [str(100 + number) for number in range(10)]
    for split, collection in splits.items():
        assert collection.id == f"{file}/{split}"
        own = {document.id: document for document in collection.corpus}
        assert len(collection.queries) == len(own) + 1
        for query in collection.queries:
            relevant = set(collection.qrels[query.id])
            assert relevant == set(own) if query.text == "And  what?" else len(relevant) == 1
            assert relevant <= set(own)
        one = next(query for query in collection.queries if query.text.startswith("Why"))
        number = one.text[4]
        assert collection.qrels[one.id] == {f"10{number}": 1}
        assert collection.answers[one.id] == ("yes",)
        assert own[f"10{number}"].contents == f"Title {number} yes {number}.\n\nmore of {number}"
    assert load_collection(str(file)).id == splits["test"].id == load_collection(str(file), split="test").id


def test_what_training_reads_is_not_asked_by_the_test_split(file):
    told = {"name": "some", "licence": "CC0", "collection": f"{file}/train"}
    found = read_source(TrainingSource.model_validate(told), Session(offline=True), seed=7)
    assert len(found.queries) == 4
    assert found.in_test == 1  # the question that all articles share
    with pytest.raises(ValueError, match="not to be trained on"):
        TrainingSource.model_validate({**told, "collection": f"{file}/test"})


def test_questions_without_an_answer_are_left_out_and_counted(file):
    content = json.loads(file.read_text())
    for article in content["data"]:
        article["paragraphs"][0]["qas"] = [question(1, "Why?", ()), question(2, "How?", is_impossible=True)]
    file.write_text(json.dumps(content))
    collection = load_collection(f"{file}/test")
    assert [query.text for query in collection.queries] == ["And  what?"]
    assert [(note.kind, note.amount) for note in collection.notes] == [("skipped_record", 2)] * 5


def changed(file, change):
    """The file, each of whose articles was changed."""
    content = json.loads(file.read_text())
    for number, article in enumerate(content["data"]):
        change(number, article["paragraphs"])
    file.write_text(json.dumps(content))
    return file


def test_question_ids_that_begin_anew_with_each_article(file):
    def anew(number, paragraphs):
        for place, paragraph in enumerate(paragraphs):
            paragraph["qas"][0]["id"] = place
            paragraph["qas"][0]["question"] += f" {number}"

    changed(file, anew)
    for split, articles in (("train", 4), ("validation", 1), ("test", 5)):
        collection = load_collection(f"{file}/{split}")
        ids = {document.id for document in collection.corpus}
        assert {query.id for query in collection.queries} == {f"{one}#{place}" for one in ids for place in (0, 1)}
        assert len(ids) == articles
        for query in collection.queries:
            assert collection.qrels[query.id] == {query.id.partition("#")[0]: 1}
            assert query.text.endswith(f" {int(query.id.partition('#')[0]) - 100}")


def test_an_id_stands_for_one_thing(file):
    kept = file.read_text()
    changed(file, lambda _, paragraphs: [one["qas"][0].update(id=7) for one in paragraphs])
    with pytest.raises(DataError, match=r"two questions about the article '100' have the same id.*'7'"):
        load_collection(str(file))
    file.write_text(kept)
    changed(file, lambda number, paragraphs: paragraphs[0].update(document_id=number // 9))
    with pytest.raises(DataError, match=r"articles 1 and 2 have the same id.*'0'"):
        load_collection(str(file))


def test_a_number_of_zero_is_an_id(file):
    changed(file, lambda number, paragraphs: paragraphs[0].update(document_id=number))
    ids = {document.id for split in SPLITS for document in load_collection(f"{file}/{split}").corpus}
    assert ids == {str(number) for number in range(10)}


def test_answers_stand_where_they_are_marked(file):
    def marked(number, paragraphs):
        second = {"text": " yes", "answer_start": 20}  # counted as if a character more were before it
        paragraphs[1].update(context="yes, eyes and also yes", qas=[question(50 + number, f"How {number}?")])
        paragraphs[1]["qas"][0]["answers"] = [second, {"text": "nowhere", "answer_start": 3}]

    collection = load_collection(f"{changed(file, marked)}/test")
    texts = {document.id: document.text for document in collection.corpus}
    for query in collection.queries:
        ((doc_id, starts),) = query.metadata["answer_starts"].items()
        assert [doc_id] == list(collection.qrels[query.id])
        assert starts == [0] if query.text.startswith("Why") else [len("yes 1.\n\n") + 19]
        assert all(texts[doc_id].startswith("yes", start) for start in starts)


def test_what_is_no_such_file_is_refused(file, tmp_path):
    with pytest.raises(NotFoundError, match=r"no split.*'dev'.*test, validation, train"):
        load_collection(f"{file}/dev")
    (tmp_path / "other.json").write_text('{"data": [{"paragraphs": []}]}')
    with pytest.raises(DataError, match=r"article 1 can not be read.*SQuAD"):
        load_collection(str(tmp_path / "other.json"))
    with pytest.raises(NotFoundError, match="no such collection"):
        load_collection(str(tmp_path / "nowhere.json"))
    content = json.loads(file.read_text())
    file.write_text(json.dumps({"data": content["data"][:1]}))
    with pytest.raises(DataError, match="too few"):
        load_collection(f"{file}/validation")


def data_is_there():
    try:
        data = sources.data_folder()
    except NotFoundError:
        return False
    return data is not None and (data / "sentences" / "covid-qa.json").is_file()


@pytest.mark.skipif(not data_is_there(), reason="RANKLOOM_DATA holds no covid-qa.json")
@pytest.mark.slow
def test_covid_qa():
    splits = {split: load_collection(f"covid-qa.json/{split}") for split in SPLITS}
    assert {split: len(one.corpus) for split, one in splits.items()} == {"train": 40, "validation": 9, "test": 49}
    assert sum(len(one.queries) for one in splits.values()) >= 1356
    for one in splits.values():
        texts = {document.id: document.contents for document in one.corpus}
        for query in one.queries:
            (doc_id, *_) = one.qrels[query.id]
            assert any(answer in texts[doc_id] for answer in one.answers[query.id])
