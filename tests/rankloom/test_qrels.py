import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.qrels import read_qrels, read_qrels_noted, write_qrels

IDS = st.text(alphabet=st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=4)


@given(
    qrels=st.dictionaries(
        IDS, st.dictionaries(IDS, st.integers(-2, 4), min_size=1, max_size=4), min_size=1, max_size=4
    ),
    format=st.sampled_from(["trec", "beir"]),
)
@settings(deadline=None, max_examples=50)
def test_round_trip(qrels: dict[str, dict[str, int]], format: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("qrels") / "q.txt"
    write_qrels(qrels, path, format=format)  # type: ignore[arg-type]
    assert read_qrels(path) == qrels


def test_the_three_spellings(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    wanted = {"q1": {"d1": 2, "d2": 0}}
    for text in (
        "q1 0 d1 2\nq1\t0  d2 0\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n",
        "q1\td1\t2\nq1\td2\t0",
    ):
        path.write_text(text)
        assert read_qrels(path) == wanted
    zipped = tmp_path / "q.txt.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_qrels(zipped) == wanted


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q1 0", "line 2: 2 columns"),
        ("q1 0 d1 2 x", "line 2: 5 columns"),
        ("q1 0 1", "line 2: 3 columns"),  # a TREC line without its grade, not document 0 with grade 1
        ("q1 0 d1 good", "line 2: the grade 'good'"),
        ("q1 0 d1 1.5", "line 2: the grade '1.5'"),
        ("q1\t\t1", "line 2: "),
        ("q0 0 d0 2", "line 2: query 'q0' judges 'd0' as 2, and before as 1"),
    ],
)
def test_bad_lines(line: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(f"q0 0 d0 1\n{line}\n")
    with pytest.raises(DataError, match=rf"q\.txt {reason}"):
        read_qrels(tmp_path / "q.txt")


@pytest.mark.parametrize("line", ["q1 0 d1", "q1\td1\tgood", "query-id corpus-id score"])
def test_a_bad_first_line_is_not_taken_for_a_header(line: str, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(f"{line}\nq2 0 d1 1\n")
    with pytest.raises(DataError, match=r"q\.txt line 1"):
        read_qrels(tmp_path / "q.txt")


def test_the_last_of_two_grades_wins_where_asked_and_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "q.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nq\td\t1\nq\te\t1\nq\td\t2\nq\te\t1\n")
    qrels, notes = read_qrels_noted(path)
    assert qrels == {"q": {"d": 2, "e": 1}}
    assert [(note.kind, note.query_id, note.doc_id) for note in notes] == [("skipped_record", "q", "d")]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_qrels(tmp_path / "nowhere")
    (tmp_path / "q.tsv").write_text("query-id\tcorpus-id\tscore\n")
    with pytest.raises(DataError, match="no judgement"):
        read_qrels(tmp_path / "q.tsv")
    with pytest.raises(DataError, match="white space"):
        write_qrels({"q 1": {"d": 1}}, tmp_path / "q.txt")
    with pytest.raises(UsageError, match="trec, beir"):
        write_qrels({}, tmp_path / "q.txt", format="csv")  # type: ignore[arg-type]
