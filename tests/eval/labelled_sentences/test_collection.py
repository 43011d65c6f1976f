"""Files of labelled sentences as collections, small ones and the real ones."""

import json
from dataclasses import replace

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError
from rankloom.eval import Experiment, load_collection, sources
from rankloom.eval.labelled_sentences import LabelledText, find_labelled, read_labelled, write_labelled
from rankloom.eval.outputs import read_evaluations

SELQA = [
    {"article": "A", "section": "S", "question": "Why?", "answers": [1], "candidates": ["One. ", "Two."]},
    {"article": "A", "section": "S", "question": "How?", "answers": [], "candidates": ["One.", "Two."]},
    {"article": "B", "section": "S", "question": "Who?", "answers": [0], "candidates": ["One."]},
]


def test_a_collection_of_labelled_texts(tmp_path):
    path = tmp_path / "hotpotqa_x.json"
    question = {"_id": "h1", "question": "Which?", "context": [["A", ["One.", " Two."]], ["B", ["Three."]]]}
    path.write_text(json.dumps([question | {"supporting_facts": [["A", 1]]}]))
    collection = load_collection(str(path), session=Session(offline=True))
    assert collection.id == str(path)
    assert [(query.id, query.text) for query in collection.queries] == [("h1", "Which?")]
    assert collection.qrels == {"h1": {"A": 1, "B": 0}}
    assert {document.id: (document.title, document.text) for document in collection.corpus} == {
        "A": ("A", "One. Two."),
        "B": ("B", "Three."),
    }
    assert collection.sentences == {"h1": {"A": ((5, 9),)}}


def test_one_text_for_an_id(tmp_path):
    path = tmp_path / "selqa.json"
    path.write_text(json.dumps([*SELQA, SELQA[0] | {"question": "When?", "candidates": ["One. ", "Else."]}]))
    with pytest.raises(DataError, match=r"two texts have the same id.*'A#S'"):
        [load_collection(f"{path}/{split}") for split in ("train", "test")]


def data_is_there():
    try:
        data = sources.data_folder()
    except NotFoundError:
        return False
    return data is not None and (data / "sentences").is_dir()


needs_data = pytest.mark.skipif(not data_is_there(), reason="RANKLOOM_DATA holds no labelled sentences")


@needs_data
@pytest.mark.parametrize(
    ("name", "queries", "texts", "sentences", "relevant"),
    [
        ("scifact-rationales.jsonl/train", 505, 564, 5494, 1025),
        ("scifact-rationales.jsonl/validation", 188, 209, 2031, 366),
        ("selqa-dev.json/train", 306, 306, 3648, 358),
        ("selqa-dev.json/validation", 78, 78, 963, 85),
        ("selqa-dev.json/test", 400, 400, 4758, 449),
        ("trecqa-train.xml", 93, 93, 4718, 348),
        ("trecqa-dev.xml", 81, 81, 1148, 222),
        ("trecqa-test.xml", 95, 95, 1517, 284),
        ("trecqa-test.xml/clean", 68, 68, 1442, 248),
        ("fool-me-twice-dev.jsonl", 1169, 1169, 12042, 1472),
        ("hotpotqa_train.json", 100, 994, 4137, 229),
        pytest.param("covid-qa.json/train", 477, 477, 85164, 549, marks=pytest.mark.slow),
    ],
)
def test_real_files(name, queries, texts, sentences, relevant):
    collection = load_collection(name, session=Session(offline=True))
    read = read_labelled(find_labelled(name))
    assert len(collection.queries) == len({text.query_id for text in read}) == queries
    assert len(read) == texts
    assert sum(len(text.sentences) for text in read) == sentences
    assert sum(len(text.relevant) for text in read) == relevant
    assert not [text for text in read if len(f"{text.doc_id}{text.query_id}".split()) != 1]  # runs hold no such ids
    documents = {document.id: document.text for document in collection.corpus}
    for text in read:
        assert documents[text.doc_id] == text.text
        labels = collection.sentences.get(text.query_id, {}).get(text.doc_id, ())
        assert labels == text.offsets()
        assert [documents[text.doc_id][start:end] for start, end in labels] == [
            text.sentences[place].strip() for place in text.relevant
        ]


@needs_data
def test_scifact_rationales_are_of_beirs_claims_and_abstracts():
    beir = {document.id: document.text for document in load_collection("scifact/test").corpus}
    tested = {query.id: query.text for query in load_collection("scifact/test").queries}
    for split in ("train", "validation"):
        file = find_labelled(f"scifact-rationales.jsonl/{split}")
        assert file.format.tested == ("scifact/test",)
        for text in read_labelled(file):
            assert beir[text.doc_id] == text.text
            assert (text.query_id in tested) == (split == "validation")
            assert tested.get(text.query_id, text.question) == text.question


@pytest.fixture
def folder(tmp_path):
    """A collection of three documents and two queries, of which `own.labelled.jsonl` labels one."""
    texts = {"d1": "Air scatters light. Bread is old.", "d2": "The sea.", "d3": "The moon."}
    (tmp_path / "qrels").mkdir()
    documents = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(documents))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "Why blue?"}\n{"_id": "q2", "text": "Sea?"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    return tmp_path


def labels(folder, *, query_id="q1", question="why  BLUE?", first="Air scatters light. "):
    one = LabelledText(query_id, question, "d1", "A title", (first, "Bread is old."), (0,))
    return str(write_labelled(folder / "own.labelled.jsonl", [one, replace(one, query_id="q9", question="Gone?")]))


def test_labels_are_laid_over_a_whole_corpus(folder):
    collection = load_collection(folder, sentences=labels(folder))
    assert collection.sentences == {"q1": {"d1": ((0, 19),)}}
    assert [query.id for query in collection.queries] == list(collection.qrels) == ["q1"]
    assert len(collection.corpus) == 3
    assert [(note.kind, note.query_id) for note in collection.notes] == [("skipped_record", "q9")]
    whole = load_collection(folder)
    assert collection.id == f"{whole.id} with {folder / 'own.labelled.jsonl'}"
    assert collection.corpus.fingerprint() == whole.corpus.fingerprint()


def test_labels_of_other_queries_or_texts_are_refused(folder):
    with pytest.raises(NotFoundError, match=r"no such file of labelled sentences.*absent\.jsonl"):
        load_collection(folder, sentences="absent.jsonl")
    with pytest.raises(DataError, match=r"asks something else.*q1"):
        load_collection(folder, sentences=labels(folder, question="Why red?"))
    with pytest.raises(DataError, match=r"no query of .* is one of the collection"):
        load_collection(folder, sentences=labels(folder, query_id="q7"))
    shifted = load_collection(folder, sentences=labels(folder, first="The air scatters light. "))
    with pytest.raises(DataError, match=r"reads otherwise in the corpus.*d1"):
        _ = shifted.corpus


def test_an_experiment_lays_labels_over_its_collection(folder, tmp_path):
    values = {
        "collection": {"id": str(folder), "sentences": labels(folder)},
        "pipelines": {"oracle": ["bm25", "oracle_pruner"]},
        "measures": ["retention"],
        "output": str(tmp_path / "out"),
    }
    result = Experiment.from_dict(values).run()
    assert result.collection.sentences == {"q1": {"d1": ((0, 19),)}}
    evaluation = result.outcomes["oracle"].evaluation
    assert evaluation.nothing_to_keep == {"sentences": ("q1",)}  # BM25 finds no text for it
    assert read_evaluations(tmp_path / "out") == {"oracle": evaluation}
    assert " 1 of 1 queries had no labelled sentences" in (tmp_path / "out" / "summary.md").read_text()


@needs_data
def test_rationales_lie_over_all_of_scifact():
    collection = load_collection("scifact/test", sentences="scifact-rationales.jsonl/validation")
    assert (len(collection.queries), len(collection.corpus)) == (188, 5183)
