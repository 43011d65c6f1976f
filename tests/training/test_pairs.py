"""Sources: pairs of files and collections with training splits, drawn and held out by the seed."""

import json

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError
from rankloom.training.pairs import read_source
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
