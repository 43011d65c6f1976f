import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankloom.corpus_formats import read_documents
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.records import Document

GOOD = b'{"_id": "d1", "title": "T", "text": "one"}\n'


def read(path: Path, content: bytes | str, **options: object) -> list[Document]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_documents(path, **options))  # type: ignore[arg-type]


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        {"_id": "a", "title": None, "text": "x\u2028y", "url": "u", "metadata": {"year": 3}},
        {"id": 7, "contents": "seven"},
        {"docid": "c", "text": "", "metadata": "plain"},
    ]
    content = "\ufeff" + "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert read(tmp_path / "c.jsonl", content) == [
        Document("a", "x\u2028y", "", {"url": "u", "year": 3}),
        Document("7", "seven"),
        Document("c", "", "", {"metadata": "plain"}),
    ]


def test_gzip_is_seen_through_and_cut_gzip_is_an_error(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD * 1)
    assert [one.id for one in read(tmp_path / "c.jsonl.gz", packed)] == ["d1"]
    for bad in (packed[:-9], b"not gzip", packed[:15] + b"\xff\xff" + packed[17:]):
        with pytest.raises(DataError, match=r"c\.jsonl\.gz: damaged gzip"):
            read(tmp_path / "c.jsonl.gz", bad, on_bad_record="skip")


BAD_LINES = {
    b'{"_id": "a", "text": ': "malformed JSON (Expecting value, character 21)",
    b'["a", "b"]': "not an object",
    b'{"text": "no id"}': "no id",
    b'{"_id": "", "text": "t"}': "needs an id",
    b'{"_id": "a"}': "no text",
    b'{"_id": "a", "text": null}': "no text",
    b'{"_id": "a", "text": 5}': "text is not a string",
    b'{"_id": 1.5, "text": "t"}': "id is not a string",
    b'{"_id": true, "text": "t"}': "id is not a string",
    b'{"_id": "a", "title": ["t"], "text": "t"}': "title is not a string",
    b'{"_id": "a", "text": "\xff"}': "not UTF-8",
    b'{"_id": "a", "text": "\\ud800"}': "surrogate",
    b'{"_id": "a", "text": "t", "u": 1, "metadata": {"u": 2}}': "both in the record and in its metadata",
}


@pytest.mark.parametrize(("line", "reason"), BAD_LINES.items())
def test_a_bad_line_is_an_error_with_place_and_reason(line: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"c\.jsonl line 2: .*{re.escape(reason)}"):
        read(tmp_path / "c.jsonl", GOOD + line + b"\n")


def test_skipping_notes_every_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(GOOD + b"\n".join(BAD_LINES) + b"\n" + GOOD.replace(b"d1", b"d2"))
    reader = read_documents(path, on_bad_record="skip")
    assert [one.id for one in reader] == ["d1", "d2"]
    assert len(reader.notes) == len(BAD_LINES)
    for number, (note, reason) in enumerate(zip(reader.notes, BAD_LINES.values(), strict=True), start=2):
        assert note.kind == "skipped_record"
        assert f"c.jsonl line {number}: " in note.detail
        assert reason in note.detail


def test_tsv_with_and_without_titles_and_with_a_header(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    assert read(path, "a\tone\nb\ttwo\n") == [Document("a", "one"), Document("b", "two")]
    assert read(path, "a\tT\tone\n") == [Document("a", "one", "T")]
    assert read(path, "id\ttext\ttitle\na\tone\tT\n") == [Document("a", "one", "T")]
    with pytest.raises(DataError, match="line 2: 3 tab-separated columns instead of 2"):
        read(path, "a\tone\nb\ttwo\twith a tab\n")
    with pytest.raises(DataError, match="line 1: 1 tab-separated columns"):
        read(path, "just text\n")


TREC = """<DOC>
<DOCNO> FT-1 </DOCNO>
<HEADLINE>Rain &amp; sun</HEADLINE>
<TEXT>
First <P>line</P>
</TEXT>
<TEXT>Second.</TEXT>
</DOC>

<doc><docno>FT-2</docno><text>One line.</text></doc>
"""


def test_trec_text(tmp_path: Path) -> None:
    first, second = read(tmp_path / "c.trec", TREC)
    assert first.id == "FT-1"
    assert first.title == "Rain & sun"
    assert first.text.split() == ["First", "line", "Second."]
    assert second == Document("FT-2", "One line.")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("<DOC>\n<DOCNO>x</DOCNO>\n</DOC>\n", "line 11: .*no text"),
        ("<DOC>\n<TEXT>t</TEXT>\n</DOC>\n", "line 11: .*needs an id"),
        ("stray\n", "line 11: text outside"),
        ("<DOC>\n<DOCNO>x</DOCNO>\n", "line 11: .*not closed at the end"),
        ("<DOC>\n<DOC>\n<DOCNO>x</DOCNO><TEXT></TEXT></DOC>\n", "line 11: .*not closed before the next"),
        ("<DOC><DOCNO>x</DOCNO></DOC><DOC></DOC>\n", "line 11: more than one <DOC>"),
    ],
)
def test_bad_trec_text(bad: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path / "c.trec", TREC + bad)
    reader = read_documents(tmp_path / "c.trec", on_bad_record="skip")
    assert [one.id for one in reader][:2] == ["FT-1", "FT-2"]
    assert sum(note.kind == "skipped_record" for note in reader.notes) == 1


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b", None], "text": ["one", "two", "three"], "year": [1, 2, 3]})
    pq.write_table(table, tmp_path / "c.parquet")
    reader = read_documents(tmp_path / "c.parquet", on_bad_record="skip")
    assert list(reader) == [Document("a", "one", "", {"year": 1}), Document("b", "two", "", {"year": 2})]
    assert "c.parquet row 3" in reader.notes[0].detail
    with pytest.raises(DataError, match="not a readable Parquet"):
        read(tmp_path / "bad.parquet", b"PAR1 nothing")


def test_a_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.md").write_text("# B\nbody\n")
    (tmp_path / "inner" / "a.txt").write_text("deep")
    (tmp_path / "ignored.csv").write_text("x")
    reader = read_documents(tmp_path)
    assert list(reader) == [Document("b.md", "body\n", "B"), Document("inner/a.txt", "deep")]
    assert [(note.kind, note.amount) for note in reader.notes] == [("skipped_files", 1)]
    assert "ignored.csv" in reader.notes[0].detail
    assert list(read_documents(tmp_path / "b.md")) == [Document("b.md", "body\n", "B")]
    (tmp_path / "c.txt").write_bytes(b"ok\n\xff\n")
    with pytest.raises(DataError, match=r"c\.txt line 1: not UTF-8"):
        list(read_documents(str(tmp_path)))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"no \.txt or \.md"):
        read_documents(empty)


def test_records_and_what_is_no_record() -> None:
    assert list(read_documents([Document("a", "x"), {"id": "b", "text": "y"}])) == [
        Document("a", "x"),
        Document("b", "y"),
    ]
    with pytest.raises(DataError, match=r"record 1: .*not an object"):
        list(read_documents(["just a text"]))  # type: ignore[list-item]
    for source in ({"id": "a"}, 5):
        with pytest.raises(DataError, match="not documents"):
            read_documents(source)  # type: ignore[arg-type]


def test_wrong_calls(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_documents(tmp_path / "nowhere.jsonl")
    (tmp_path / "c.docx").write_bytes(b"")
    with pytest.raises(DataError, match="say what it is: format="):
        read_documents(tmp_path / "c.docx")
    assert read(tmp_path / "c.docx", GOOD, format="jsonl") == [Document("d1", "one", "T")]
    with pytest.raises(UsageError):
        read_documents([], on_bad_record="ignore")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        read_documents([], format="csv")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "title", "text"),
    [
        ("# The sky #\n\nIt is blue.\n", "The sky", "It is blue.\n"),
        ("\n#  Tides\r\n\r\nThe moon pulls.", "Tides", "The moon pulls."),
        ("# Only a title", "Only a title", ""),
        ("## A section\nIts text.", "", "## A section\nIts text."),
        ("#hashtag first\nText.", "", "#hashtag first\nText."),
        ("Text first.\n# Then a heading", "", "Text first.\n# Then a heading"),
    ],
)
def test_the_first_heading_of_a_markdown_file_is_its_title(tmp_path: Path, content: str, title: str, text: str) -> None:
    (tmp_path / "a.md").write_bytes(content.encode())
    (tmp_path / "b.txt").write_text("# not Markdown")
    markdown, plain = read_documents(tmp_path)
    assert (markdown.title, markdown.text) == (title, text)
    assert (plain.title, plain.text) == ("", "# not Markdown")


def test_a_document_without_title_and_text_is_noted(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"_id": "a", "text": " "}\n{"_id": "b", "text": "", "title": "Bread"}\n')
    reader = read_documents(tmp_path / "c.jsonl")
    assert [document.id for document in reader] == ["a", "b"]
    assert [(note.kind, note.doc_id) for note in reader.notes] == [("empty_document", "a")]
