import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import rankloom.cache
from rankloom.cache import Cache
from rankloom.errors import DamagedIndexError, StageError


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_values_come_back_and_unknown_keys_do_not(cache):
    cache.put({"a": b"1", "b": b""}, stage="x")
    assert cache.get(["a", "b", "c"]) == {"a": b"1", "b": b""}
    assert cache.get([]) == {}


def test_values_outlive_the_object(cache):
    cache.put({"a": b"1"}, stage="x")
    cache.close()
    assert Cache(cache.directory).get(["a"]) == {"a": b"1"}
    assert cache.get(["a"]) == {"a": b"1"}


def test_many_keys_at_once(cache):
    values = {f"k{number}": str(number).encode() for number in range(2500)}
    cache.put(values, stage="x")
    assert cache.get([*values, "other"]) == values


def test_a_value_that_is_there_is_never_changed(cache):
    cache.put({"a": b"1"}, stage="x")
    cache.put({"a": b"2", "b": b"3"}, stage="x")
    assert cache.get(["a", "b"]) == {"a": b"1", "b": b"3"}


def test_dropped_values_are_gone_and_can_come_back(cache):
    cache.put({"a": b"1", "b": b"2"}, stage="x")
    cache.drop(["a", "nothing"])
    assert cache.get(["a", "b"]) == {"b": b"2"}
    cache.put({"a": b"3"}, stage="x")
    assert cache.get(["a"]) == {"a": b"3"}


def test_a_batch_is_written_whole_or_not_at_all(cache):
    with pytest.raises(StageError, match="cache"):
        cache.put({"a": b"1", "b": object()}, stage="x")
    assert cache.get(["a"]) == {}


def test_holdings_are_told_by_stage(cache):
    before = time.time()
    cache.put({"a": b"123", "b": b"4"}, stage="x")
    cache.put({"c": b"56"}, stage="y")
    first, second = cache.holdings()
    assert (first.stage, first.entries, first.bytes) == ("x", 2, 4)
    assert (second.stage, second.entries, second.bytes) == ("y", 1, 2)
    assert before <= first.oldest <= first.newest <= time.time()


def test_old_values_are_forgotten(cache):
    cache.put({"a": b"1", "b": b"2"}, stage="x")
    assert cache.forget(older_than_seconds=1000) == 0
    assert cache.forget() == 2
    assert cache.get(["a", "b"]) == {}
    assert cache.holdings() == []


def test_sizes_of_indexes(cache):
    assert cache.index_sizes() == {}
    folder = cache.index_directory("bm25", "abc")
    assert folder == cache.directory / "indexes" / "bm25-abc"
    (folder / "inner").mkdir(parents=True)
    (folder / "a").write_bytes(b"123")
    (folder / "inner" / "b").write_bytes(b"4")
    assert cache.index_sizes() == {"bm25-abc": 4}


def test_threads_share_a_cache(cache):
    def work(number):
        cache.put({f"{number}-{n}": bytes([number]) for n in range(50)}, stage="x")
        found.append(len(cache.get([f"{number}-{n}" for n in range(50)])))
        cache.close()

    found = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [50] * 8


WRITES = """
import sys
from rankloom.cache import Cache
name, folder = sys.argv[1:]
cache = Cache(folder)
for batch in range(20):
    cache.put({f"{name}-{batch}-{n}": b"x" * 1000 for n in range(20)}, stage=name)
    cache.put({f"both-{batch}": name.encode()}, stage=name)
assert len(cache.get([f"{name}-{batch}-{n}" for batch in range(20) for n in range(20)])) == 400
"""


def test_processes_write_at_once_from_the_first_moment(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITES, name, str(tmp_path / "new")], stderr=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 4
    cache = Cache(tmp_path / "new")
    assert sum(holding.entries for holding in cache.holdings()) == 4 * 400 + 20
    assert sqlite3.connect(tmp_path / "new" / "results.sqlite").execute("PRAGMA integrity_check").fetchall() == [
        ("ok",)
    ]


OPENS = """
import sys
from rankloom.cache import Cache
for folder in sys.stdin:
    Cache(folder.strip())
    print("open", flush=True)
"""


def test_processes_make_one_cache_at_the_same_moment(tmp_path):
    """SQLite refuses, rather than waits, where two switch a new file to its write-ahead log."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", OPENS]
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    for number in range(40):
        for child in children:
            child.stdin.write(f"{tmp_path / str(number)}\n")
            child.stdin.flush()
        assert [child.stdout.readline() for child in children] == ["open\n"] * 4
    assert [child.communicate()[1] for child in children] == [""] * 4


KILLED = """
import os, signal, sys
from rankloom.cache import Cache
cache = Cache(sys.argv[1])
cache.put({"whole": b"1"}, stage="x")
connection = cache._connection()
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO entries VALUES ('half', 'x', x'00', 0)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_in_a_batch_leaves_the_batches_before(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert Cache(tmp_path).get(["whole", "half"]) == {"whole": b"1"}


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + b"\xff" * 5000, b"x" * 10_000])
def test_a_damaged_database_is_a_clear_error(tmp_path, content):
    (tmp_path / "results.sqlite").write_bytes(content)
    with pytest.raises(DamagedIndexError, match=r"results\.sqlite.*delete the file"):
        Cache(tmp_path)


def test_damage_found_later_is_a_clear_error_too(cache):
    cache.put({f"k{n}": bytes(500) for n in range(200)}, stage="x")
    cache._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cache.close()
    path = cache.directory / "results.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xee" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(DamagedIndexError, match="delete the file"):
        Cache(cache.directory).get([f"k{n}" for n in range(200)])


def test_a_locked_database_is_not_called_damaged(cache, monkeypatch):
    monkeypatch.setattr(rankloom.cache, "_WAIT_SECONDS", 0.05)
    other = sqlite3.connect(cache.directory / "results.sqlite")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StageError, match=r"^cache: the database can not be used \(database is locked\)") as caught:
        Cache(cache.directory).put({"a": b"1"}, stage="x")
    assert "delete" not in str(caught.value)
    other.rollback()
    cache.put({"a": b"1"}, stage="x")


def test_a_folder_that_can_not_hold_a_database(tmp_path):
    (tmp_path / "results.sqlite").mkdir()
    with pytest.raises(StageError, match="unable to open"):
        Cache(tmp_path)


def test_a_cache_shows_its_folder(cache):
    assert repr(cache) == f"Cache({os.fspath(cache.directory)!r})"
