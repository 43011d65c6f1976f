import json
import signal
import subprocess
import sys

import pytest

from rankloom.errors import DamagedIndexError, NotFoundError, UsageError
from rankloom.files import MANIFEST, Manifest, atomic_path, checksum, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- whole or absent ------------------------------------------------------------------------------------------------


def test_a_file_appears_with_its_parents(tmp_path):
    target = tmp_path / "a" / "b" / "file.txt"
    write_text(target, "é\nline\n")
    assert target.read_bytes() == "é\nline\n".encode()
    assert names(target.parent) == ["file.txt"]


def test_json_is_readable_and_keeps_its_order(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'


def test_nothing_shows_before_the_block_ends(tmp_path):
    target = tmp_path / "file"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_text() == "new"


@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_the_old_content_and_no_rubbish(tmp_path, old):
    target = tmp_path / "file"
    if old:
        target.write_text(old)

    def write():
        with atomic_path(target) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == (["file"] if old else [])
    assert old is None or target.read_text() == old


def write_folder(target, *files):
    with atomic_path(target) as temporary:
        temporary.mkdir()
        for name in files:
            (temporary / name).write_text(name)


def test_a_directory_replaces_a_full_one(tmp_path):
    write_folder(tmp_path / "index", "a", "b", MANIFEST)
    write_folder(tmp_path / "index", "c")
    assert names(tmp_path / "index") == ["c"]
    assert names(tmp_path) == ["index"]


def test_a_directory_that_another_process_has_just_finished_is_replaced(tmp_path):
    target = tmp_path / "index"
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "mine").write_text("")
        write_folder(target, "its")
    assert names(target) == ["mine"]
    assert names(tmp_path) == ["index"]


def test_an_error_leaves_the_old_directory(tmp_path):
    target = tmp_path / "index"
    write_folder(target, "a", MANIFEST)

    def write():
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / "b").write_text("")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        write()
    assert names(target) == ["a", MANIFEST]
    assert names(tmp_path) == ["index"]


def test_a_file_does_not_silently_replace_what_can_not_be_replaced(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError, match="file"):
        write_folder(tmp_path / "file", "a")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from rankloom.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    with temporary.open("w") as file:
        file.write("half of the n")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_writing_leaves_the_old_content(tmp_path):
    target = tmp_path / "file"
    write_text(target, "old")
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    write_text(target, "new")
    assert target.read_text() == "new"


# --- manifests ------------------------------------------------------------------------------------------------------


def index(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    Manifest.write(folder, format="test-index", version=3, fields={"k": 1})
    return folder


def read(folder, *, verify=False, version=3, format="test-index"):
    return Manifest.read(folder, format=format, version=version, verify=verify)


@pytest.fixture
def folder(tmp_path):
    return index(tmp_path / "index", a=b"content", empty=b"")


@pytest.mark.parametrize("verify", [False, True])
def test_a_whole_directory_opens(folder, verify):
    manifest = read(folder, verify=verify)
    assert (manifest.format, manifest.version, dict(manifest.fields)) == ("test-index", 3, {"k": 1})
    assert dict(manifest.checksums) == {"a": checksum(folder / "a"), "empty": checksum(folder / "empty")}


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="no test-index directory"):
        read(tmp_path / "nowhere")


def test_a_directory_of_something_else(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DamagedIndexError, match=r"no readable manifest\.json.*build it again"):
        read(tmp_path)


def test_another_format_or_version(folder):
    with pytest.raises(DamagedIndexError, match=r"test-index 3\)'; accepted: other-index 3; fix: build it again"):
        read(folder, format="other-index")
    with pytest.raises(DamagedIndexError, match=r"test-index 3\)'; accepted: test-index 4"):
        read(folder, version=4)


WHOLE = {"format": "test-index", "version": 3, "sizes": {}, "checksums": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[1, 2]",
        "null",
        "3",
        '"x"',
        "{}",
        '{"format": "test-index"}',
        '{"format": "test-index", "version": 3}',
        json.dumps({**WHOLE, "checksums": None}),
        json.dumps({**WHOLE, "checksums": 3}),
        json.dumps({**WHOLE, "checksums": ["a"]}),
        json.dumps({**WHOLE, "version": "3"}),
        json.dumps({**WHOLE, "version": None}),
        json.dumps({**WHOLE, "checksums": {"gone": "00"}}),
        json.dumps({**WHOLE, "sizes": {"gone": 1}, "checksums": {"gone": "00"}}),
        b"\xff\xfe",
        "\x00" * 50,
    ],
    ids=repr,
)
@pytest.mark.parametrize("verify", [False, True])
def test_a_damaged_manifest_is_a_clear_error(folder, text, verify):
    (folder / MANIFEST).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DamagedIndexError):
        read(folder, verify=verify)


def test_a_manifest_that_is_a_directory(folder):
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    with pytest.raises(DamagedIndexError):
        read(folder)


def test_a_missing_file_is_found(folder):
    (folder / "a").unlink()
    with pytest.raises(DamagedIndexError, match="the file a is missing"):
        read(folder)


def test_an_emptied_file_is_found(folder):
    (folder / "a").write_bytes(b"")
    with pytest.raises(DamagedIndexError, match="the file a is missing or has changed"):
        read(folder)


def test_a_changed_file_is_found(folder):
    (folder / "a").write_bytes(b"cOntent")
    with pytest.raises(DamagedIndexError, match="the file a is missing or has changed"):
        read(folder)


def test_a_large_file_is_held_against_its_size_and_read_only_when_asked(folder, monkeypatch):
    monkeypatch.setattr("rankloom.files._QUICK", 3)
    (folder / "a").write_bytes(b"cOntent")
    read(folder)
    with pytest.raises(DamagedIndexError, match="the file a is missing or has changed"):
        read(folder, verify=True)
    (folder / "a").write_bytes(b"content, and more")
    with pytest.raises(DamagedIndexError, match="the file a is missing or has changed"):
        read(folder)


def test_files_that_came_later_do_not_matter(folder):
    (folder / "later").write_bytes(b"x")
    assert read(folder, verify=True).version == 3


def test_the_checksum_is_blake2b(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert checksum(tmp_path / "x") == "cf4ab791c62b8d2b2109c90275287816"


def test_a_folder_with_other_things_in_it_is_never_replaced(tmp_path):
    target = tmp_path / "papers"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds other things"), atomic_path(target) as temporary:
        temporary.mkdir()
    assert (target / "thesis.txt").read_text() == "years of work"


def test_a_place_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"), atomic_path(tmp_path / "file" / "index"):
        pass


def test_a_file_never_takes_the_place_of_a_folder(folder, tmp_path):
    (tmp_path / "free").mkdir()
    for target in (folder, tmp_path / "free"):
        with pytest.raises(UsageError, match=r"a folder, where a file was to be written.*fix: name a file"):
            write_text(target, "a run")
    assert (folder / "a").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []
