"""Teachers' files through reading, joining and writing."""

import gzip

import pytest

from rankloom import Run
from rankloom.errors import DataError
from rankloom.training.teacher_file import Triple, join, read_triples, triples_of, write_triples

LINES = "9.5\t-1.25\t7\tp1\tp2\n3.0\t3.5\t8\tp2\tp3\n"
TRIPLES = [Triple(9.5, -1.25, "7", "p1", "p2"), Triple(3.0, 3.5, "8", "p2", "p3")]
QUERIES = {"7": "why is the sky blue", "8": "tides"}
PASSAGES = {"p1": "light", "p2": "the moon", "p3": "bread"}


def test_the_papers_format_comes_back(tmp_path):
    path = tmp_path / "scores.tsv"
    path.write_text(LINES)
    assert list(read_triples(path)) == TRIPLES
    assert write_triples(TRIPLES, tmp_path / "again.tsv") == 2
    assert (tmp_path / "again.tsv").read_text() == LINES
    with gzip.open(tmp_path / "scores.tsv.gz", "wt") as file:
        file.write(LINES)
    assert list(read_triples(tmp_path / "scores.tsv.gz")) == TRIPLES


def test_the_text_form_keeps_scores_bit_for_bit_and_one_line_a_triple(tmp_path):
    score = 0.1 + 0.2
    write_triples([Triple(score, -1e-9, "why\tis it", "two\nlines", "naïve  日本")], tmp_path / "texts.tsv")
    assert list(read_triples(tmp_path / "texts.tsv")) == [Triple(score, -1e-9, "why is it", "two lines", "naïve 日本")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [("1.0\t2.0\tq\tp", "4 fields"), ("high\t2.0\tq\tp\tn", "no score"), ("nan\t2.0\tq\tp\tn", "not finite")],
)
def test_a_bad_line_is_named(tmp_path, line, problem):
    (tmp_path / "bad.tsv").write_text(f"{LINES}{line}\n")
    with pytest.raises(DataError, match=rf"bad\.tsv line 3.*{problem}"):
        list(read_triples(tmp_path / "bad.tsv"))


def test_joining_keeps_the_order_of_passages_and_the_teachers_scores():
    joined = join(TRIPLES, QUERIES, PASSAGES)
    assert [(one.query, one.texts) for one in joined.examples] == [
        ("why is the sky blue", ("light", "the moon")),
        ("tides", ("the moon", "bread")),
    ]
    assert joined.examples[1].scores == {"teacher": (3.0, 3.5)}  # the teacher prefers the other: its margin is below 0
    assert joined.missing == {"query": 0, "passage": 0}


def test_a_missing_id_is_an_error_or_counted():
    unknown = [*TRIPLES, Triple(1.0, 0.0, "9", "p1", "p2"), Triple(1.0, 0.0, "7", "p1", "p9")]
    with pytest.raises(DataError, match=r"no text of this query.*9"):
        join(unknown, QUERIES, PASSAGES)
    with pytest.raises(DataError, match=r"no text of this passage.*p9"):
        join(unknown[3:], QUERIES, PASSAGES)
    joined = join(unknown, QUERIES, PASSAGES, missing="count")
    assert len(joined.examples) == 2
    assert joined.missing == {"query": 1, "passage": 1}


def test_any_run_writes_its_margins():
    run = Run.from_dict({"q1": {"a": 3.0, "b": 2.0, "c": 1.0}, "q2": {"a": 1.0}}, queries={"q1": "sky", "q2": "sea"})
    found = list(triples_of(run, {"q1": {"b": 1, "c": 0, "x": 1}}))
    assert found == [Triple(2.0, 3.0, "q1", "b", "a"), Triple(2.0, 1.0, "q1", "b", "c")]


def test_blank_fields_are_refused(tmp_path):
    with pytest.raises(DataError, match="blank field"):
        write_triples([Triple(1.0, 0.0, "q", " ", "n")], tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()
