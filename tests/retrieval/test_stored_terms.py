"""Encoded queries and documents from files."""

import gzip
import json

import pytest

from rankloom import Run
from rankloom.errors import DataError, NotFoundError
from rankloom.retrieval.stored_terms import StoredTerms, read_term_documents, read_term_queries
from rankloom.testing import StageConformance


def test_repeated_terms_and_json_weights(tmp_path):
    file = tmp_path / "queries.tsv.gz"
    with gzip.open(file, "wt") as out:
        out.write('q1\tsky sky ##blue\nq2\t{"sky": 1.5, "sea": 0}\n')
    assert read_term_queries(file) == {"q1": {"sky": 2.0, "##blue": 1.0}, "q2": {"sky": 1.5}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("q1 sky\n", "line 1: no id and tab"),
        ("q1\tsky\nq1\tsea\n", "line 2: the query id 'q1' stands twice"),
        ('q1\t{"sky": \n', "line 1: malformed JSON"),
        ('q1\t{"sky": -1}\n', "line 1: the weight of 'sky' is -1"),
        ('q1\t{"sky": NaN}\n', "line 1: the weight of 'sky' is nan"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, reason):
    file = tmp_path / "queries.tsv"
    file.write_text(content)
    with pytest.raises(DataError, match=reason):
        read_term_queries(file)


def test_documents_of_a_file_or_a_folder(tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps({"id": 2, "vector": {"sea": 3}}) + "\n")
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "d1", "contents": "", "vector": {"sky": 1, "the": 0}}) + "\n")
    assert list(read_term_documents(tmp_path)) == [("d1", {"sky": 1.0}), ("2", {"sea": 3.0})]
    assert list(read_term_documents(tmp_path / "b.jsonl")) == [("2", {"sea": 3.0})]
    (tmp_path / "c.jsonl").write_text('{"id": "d3"}\n')
    with pytest.raises(DataError, match=r"c\.jsonl line 1: no terms and weights"):
        list(read_term_documents(tmp_path))
    with pytest.raises(NotFoundError):
        list(read_term_documents(tmp_path / "nothing"))


def test_the_stage_writes_terms_and_notes_what_is_missing(tmp_path):
    file = tmp_path / "queries.tsv"
    file.write_text("q1\tsky sky\n")
    run = StoredTerms(file).run({"q1": "blue", "q2": "sea"})
    assert dict(run.queries[0].terms or {}) == {"sky": 2.0}
    assert run.queries[1].terms is None
    assert [(note.kind, note.query_id) for note in run.ledger.notes] == [("no_feedback", "q2")]
    before = StoredTerms(file).fingerprint()
    file.write_text("q1\tsky\n")
    assert StoredTerms(file).fingerprint() != before
    with pytest.raises(NotFoundError, match="no such file"):
        StoredTerms(tmp_path / "nothing.tsv")


class TestStoredTerms(StageConformance):
    own_process = False

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.file = tmp_path / "queries.tsv"
        self.file.write_text("q1\tsky sky\nq2\tsea\n")

    def make_stage(self):
        return StoredTerms(self.file)

    def make_run(self):
        return Run.start({"q1": "blue", "q2": "tide"})
