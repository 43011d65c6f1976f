import gzip
from pathlib import Path

import pytest

from rankloom.errors import DataError, NotFoundError
from rankloom.lines import byte_lines, json_lines, text_lines


def test_numbers_count_blank_lines_and_the_byte_order_mark_goes(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffone\r\n\n \ntw\u2028o".encode())
    assert list(text_lines(path, stage="test")) == [(1, "one"), (4, "tw\u2028o")]
    assert list(byte_lines(path, stage="test"))[1] == (2, b"\n")


def test_json_objects_only(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n"text"\n')
    with pytest.raises(DataError, match=r"test: .*x\.jsonl line 2: not a JSON object"):
        list(json_lines(path, stage="test"))
    path.write_text('{"a": 1}\n{"b": two}\n')
    with pytest.raises(DataError, match=r"line 2: malformed JSON \(Expecting value, character 7\)"):
        list(json_lines(path, stage="test"))
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="line 1: malformed JSON"):
        list(json_lines(path, stage="test"))


def test_damage(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"one\ntwo\n" * 9)[:-9])
    with pytest.raises(DataError, match=r"x\.gz: damaged gzip data after line \d+"):
        list(text_lines(tmp_path / "x.gz", stage="test"))
    (tmp_path / "x.txt").write_bytes(b"one\n\xfe\n")
    with pytest.raises(DataError, match=r"x\.txt line 2: not UTF-8"):
        list(text_lines(tmp_path / "x.txt", stage="test"))
    with pytest.raises(NotFoundError):
        list(text_lines(tmp_path / "nowhere", stage="test"))
