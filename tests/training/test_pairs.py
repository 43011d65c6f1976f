"""Sources: pairs of files and collections with training splits, drawn and held out by the seed."""

import json

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.training.examples import Examples, source_data
from rankloom.training.mined_examples import SourceExamples, data_of
from rankloom.training.pairs import read_source, read_sources
from rankloom.training.recipe_config import TrainingSource

SESSION = Session(offline=True)


def source(file, **more):
    pairs = {"file": str(file), "query": "q", "document": "d"}
    return TrainingSource.model_validate({"name": "some", "licence": "CC0", "pairs": pairs, **more})


@pytest.fixture
def lines(tmp_path):
    """Twelve pairs, two of them with one document, and one that says nothing."""
    file = tmp_path / "pairs.jsonl"
    records = [{"q": f"what is the question {n}", "d": f"the answer of number {n % 11}"} for n in range(12)]
    file.write_text("".join(json.dumps(one) + "\n" for one in [*records, {"q": "why?", "d": "because it is so"}]))
    return file


def test_a_field_may_lie_in_others(tmp_path):
    file = tmp_path / "nested.jsonl"
    evidence = [{"text": "the moon pulls", "from": "a"}, {"text": "at the sea", "from": "b"}]
    file.write_text(json.dumps({"asked": {"words": "why are there tides"}, "evidence": evidence}) + "\n")
    pairs = {"file": str(file), "query": "asked.words", "document": "evidence.text"}
    told = TrainingSource.model_validate({"name": "some", "licence": "CC0", "pairs": pairs})
    found = read_source(told, Session(), seed=1)
    assert [query.text for query in found.queries] == ["why are there tides"]
    assert [document.text for document in found.corpus] == ["the moon pulls at the sea"]


def test_pairs_become_queries_documents_and_judgements(lines):
    found = read_source(source(lines), SESSION, seed=7)
    assert len(found.queries) == 12
    assert len(found.corpus) == len(found.texts) == 11
    texts = {document.id: document.text for document in found.corpus}
    for query in found.queries:
        ((doc_id, grade),) = found.relevant[query.id].items()
        assert (texts[doc_id], grade) == (f"the answer of number {int(query.text.split()[-1]) % 11}", 1)


def test_what_is_held_out_is_not_trained_on_and_follows_the_seed(lines):
    found = read_source(source(lines, validation=3, limit=8), SESSION, seed=7)
    trained, held = ({query.text for query in queries} for queries in (found.queries, found.held_out))
    assert (len(trained), len(held)) == (5, 3)
    assert not trained & held
    assert len(found.texts) == 11  # those that were not drawn count terms
    again = read_source(source(lines, validation=3, limit=8), SESSION, seed=7)
    assert [query.text for query in again.held_out] == [query.text for query in found.held_out]
    other = read_source(source(lines, validation=3, limit=8), SESSION, seed=8)
    assert [query.text for query in other.held_out] != [query.text for query in found.held_out]


@pytest.fixture
def asked_twice(tmp_path):
    """Twenty questions, each asked twice with different answers, once in other letters and spaces."""
    file = tmp_path / "twice.jsonl"
    records = [{"q": f"What is the question {n}", "d": f"the first answer of {n}"} for n in range(20)]
    records += [{"q": f"what is  the question {n}", "d": f"another answer of {n}"} for n in range(20)]
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return file


@pytest.mark.parametrize("seed", range(5))
def test_a_question_that_is_asked_twice_is_one_with_all_its_answers(asked_twice, seed):
    found = read_source(source(asked_twice, validation=8), SESSION, seed=seed)
    trained, held = ({query.text.split()[-1] for query in queries} for queries in (found.queries, found.held_out))
    assert (len(found.queries), len(found.held_out)) == (len(trained), len(held)) == (12, 8)
    assert not trained & held
    texts = {document.id: document.text for document in found.corpus}
    for query in [*found.queries, *found.held_out]:
        number = query.text.split()[-1]
        assert {texts[doc_id] for doc_id in found.relevant_to(query.id)} == {
            f"the first answer of {number}", f"another answer of {number}",
        }  # fmt: skip


def test_a_limit_counts_queries_and_brings_all_their_answers(asked_twice):
    found = read_source(source(asked_twice, limit=5), SESSION, seed=7)
    assert (len(found.queries), len(found.corpus), len(found.texts)) == (5, 10, 40)
    assert found.relevant.keys() == {query.id for query in found.queries}


def test_what_one_source_holds_out_another_does_not_train_on(asked_twice):
    told = [source(asked_twice, validation=8), source(asked_twice)]
    first, second = read_sources(told, SESSION, seed=7)
    held = {query.text for query in first.held_out}
    assert (len(held), len(first.queries), len(second.queries)) == (8, 12, 12)
    assert not held & {query.text for query in second.queries}
    with pytest.raises(DataError, match=r"no query is left.*lower the validation"):
        read_sources([source(asked_twice, limit=12, validation=10), source(asked_twice, limit=10)], SESSION, seed=7)


def test_a_source_is_known_by_what_its_file_holds(lines):
    told = source(lines, validation=3)
    before = read_source(told, SESSION, seed=7)
    assert read_source(told, SESSION, seed=7).fingerprint() == before.fingerprint()
    assert read_source(told, SESSION, seed=8).fingerprint() != before.fingerprint()
    lines.write_text(lines.read_text().replace("what is the question 3", "what is the third question"))
    assert read_source(told, SESSION, seed=7).fingerprint() != before.fingerprint()


def test_an_array_of_lists_of_sentences_is_read_too(tmp_path):
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps([{"q": "what is the question", "d": ["The answer.", "And more of it."]}] * 2))
    found = read_source(source(file), SESSION, seed=7)
    assert [document.text for document in found.corpus] == ["The answer. And more of it."]


def test_a_collection_s_judgements_are_taken_as_they_are(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "sky", "text": "blue"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "why"}\n')
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    told = TrainingSource(name="own", licence="CC0", collection=f"{tmp_path}:train")
    found = read_source(told, SESSION, seed=7)
    assert found.relevant["q1"] == {"d1": 2}
    assert found.texts == ("sky blue",)


def test_what_is_missing_is_named(tmp_path, lines):
    with pytest.raises(NotFoundError, match="RANKLOOM_DATA"):
        read_source(source("nowhere.jsonl"), SESSION, seed=7)
    (tmp_path / "odd.jsonl").write_text('{"q": "what is the question"}\n')
    with pytest.raises(DataError, match=r"record 1 lacks a field.*'d'"):
        read_source(source(tmp_path / "odd.jsonl"), SESSION, seed=7)
    (tmp_path / "odd.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        read_source(source(tmp_path / "odd.json"), SESSION, seed=7)
    with pytest.raises(DataError, match="no query is left"):
        read_source(source(lines, validation=12), SESSION, seed=7)


def test_queries_of_a_collection_that_ask_the_same_are_one(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text("".join(f'{{"_id": "d{n}", "text": "blue {n}"}}\n' for n in range(3)))
    (tmp_path / "queries.jsonl").write_text("".join(f'{{"_id": "q{n}", "text": "why"}}\n' for n in range(2)))
    judged = "q0\td0\t1\nq0\td1\t2\nq1\td1\t1\nq1\td2\t1\n"
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    found = read_source(TrainingSource(name="own", licence="CC0", collection=f"{tmp_path}:train"), SESSION, seed=7)
    (query,) = found.queries
    assert found.relevant_to(query.id) == {"d0": 1, "d1": 2, "d2": 1}


@pytest.fixture
def two_splits(tmp_path):
    """A collection of eight training queries, of which two ask what its test split asks."""
    folder = tmp_path / "some" / "own"  # the name of tmp_path is that of a test split
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "blue"}\n')
    texts = {f"q{n}": f"why number {n}" for n in range(8)} | {"t1": "Why  NUMBER 3", "t2": "why number 5", "t3": "how"}
    lines = (json.dumps({"_id": query_id, "text": text}) + "\n" for query_id, text in texts.items())
    (folder / "queries.jsonl").write_text("".join(lines))
    for split, start in (("train", "q"), ("test", "t")):
        judged = "".join(f"{query_id}\td1\t1\n" for query_id in texts if query_id.startswith(start))
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


@pytest.mark.parametrize("seed", range(3))
def test_what_the_test_split_asks_is_neither_trained_on_nor_held_out(two_splits, seed):
    told = TrainingSource(name="own", licence="CC0", collection=f"{two_splits}:train", validation=2)
    found = read_source(told, SESSION, seed=seed)
    queries = {query.id for query in (*found.queries, *found.held_out)}
    assert queries == {"q0", "q1", "q2", "q4", "q6", "q7"}
    assert (len(found.queries), len(found.held_out), found.in_test) == (4, 2, 2)
    assert data_of(found, SourceExamples((), {}, ()))["counts"]["left out as queries of the test split"] == 2
    (said,) = source_data([found], Examples((), (), ({"fewer": 1},)))
    assert said["left_out"] == {"left out as queries of the test split": 2, "fewer": 1}


def test_the_order_of_the_others_stays(two_splits):
    told = TrainingSource(name="own", licence="CC0", collection=f"{two_splits}:train")
    without = [query.id for query in read_source(told, SESSION, seed=7).queries]
    (two_splits / "qrels" / "test.tsv").unlink()
    found = read_source(told, SESSION, seed=7)
    assert [query.id for query in found.queries if query.id not in {"q3", "q5"}] == without
    assert found.in_test == 0


def test_a_test_split_that_no_name_tells_is_refused(two_splits):
    told = TrainingSource(name="own", licence="CC0", collection=str(two_splits))
    with pytest.raises(DataError, match="a test split is not to be trained on"):
        read_source(told, SESSION, seed=7)


def test_the_two_claims_of_scifact_that_its_test_split_has_too():
    try:
        load_collection("scifact/train", session=SESSION)
    except NotFoundError:
        pytest.skip("SciFact is not on this machine")
    told = TrainingSource(name="claims", licence="CC BY 4.0", collection="scifact/train", validation=60)
    found = read_source(told, SESSION, seed=7)
    assert found.in_test == 2
    assert not {"871", "1291"} & {query.id for query in (*found.queries, *found.held_out)}
