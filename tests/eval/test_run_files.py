"""Finding runs in files and folders, and naming them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rankloom.errors import NotFoundError
from rankloom.eval.run_files import find_runs

LINE = "q1 Q0 d1 1 2.0 tag\n"


def put(folder: Path, *names: str, text: str = LINE) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def experiment(folder: Path, *pipelines: str) -> None:
    put(folder, *(f"runs/{name}.trec" for name in pipelines))
    put(folder, "per_query.csv", text="query,pipeline,measure,value\n")
    (folder / "manifest.json").write_text(json.dumps({"experiment": "x", "pipelines": dict.fromkeys(pipelines)}))


def test_a_folder_gives_every_run_below_it_and_tells_what_else_was_there(tmp_path: Path) -> None:
    put(tmp_path, "b.trec", "a.run.gz", "deep/er/c.txt", "input.pubs", ".hidden.trec")
    put(tmp_path, "qrels.txt", text="q1 0 d1 1\n")
    put(tmp_path, "words.txt", text="one two three four five six\n")  # six columns, and no score
    put(tmp_path, "blank.trec", text="\n\n")
    (tmp_path / "damaged.trec.gz").write_bytes(b"not gzip")
    found = find_runs([tmp_path])
    assert list(found.files) == ["a", "b", "c", "input.pubs"]
    assert found.files["c"] == tmp_path / "deep/er/c.txt"
    assert {one.path.name for one in found.skipped} == {"qrels.txt", "words.txt", "blank.trec", "damaged.trec.gz"}


def test_an_experiment_gives_its_pipelines_in_their_order(tmp_path: Path) -> None:
    experiment(tmp_path / "exp", "zeta", "alpha")
    put(tmp_path / "exp", "runs/of-another.trec")
    assert list(find_runs([tmp_path / "exp"]).files) == ["zeta", "alpha"]
    assert list(find_runs([tmp_path]).files) == ["zeta", "alpha"]  # also from above
    (tmp_path / "exp/runs/zeta.trec").unlink()
    found = find_runs([tmp_path / "exp"])
    assert list(found.files) == ["alpha"]
    assert "not there any more" in found.skipped[0].reason


def test_clashing_names_get_the_folders_that_tell_them_apart(tmp_path: Path) -> None:
    put(tmp_path, "x/one/bm25.trec", "y/one/bm25.trec", "y/two/bm25.run", "y/two/other.trec")
    assert list(find_runs([tmp_path]).files) == ["x/one/bm25", "y/one/bm25", "two/bm25", "other"]
    experiment(tmp_path / "e1", "bm25")
    experiment(tmp_path / "e2", "bm25", "dense")
    found = find_runs([tmp_path / "e1", tmp_path / "e2"])
    assert list(found.files) == ["e1/bm25", "e2/bm25", "dense"]


def test_files_of_one_folder_that_differ_by_their_ending(tmp_path: Path) -> None:
    put(tmp_path, "f/a.trec", "f/a.txt", "f/b.trec")
    assert list(find_runs([tmp_path]).files) == ["f/a.trec", "f/a.txt", "b"]


def test_files_are_taken_as_they_are_and_once(tmp_path: Path) -> None:
    put(tmp_path, "a.trec", "odd.csv")
    found = find_runs([tmp_path / "odd.csv", tmp_path / "a.trec", tmp_path])
    assert list(found.files) == ["odd.csv", "a"]
    assert [one.path.name for one in found.skipped] == ["a.trec", "odd.csv"]
    assert "already" in found.skipped[0].reason


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file or folder"):
        find_runs([tmp_path / "nowhere"])
    put(tmp_path, "qrels.txt", text="q1 0 d1 1\n")
    with pytest.raises(NotFoundError, match="holds no run"):
        find_runs([tmp_path])
