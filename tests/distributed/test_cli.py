"""The command line with a cluster: the same files as without."""

import json

import pytest
import yaml

from rankloom.cli import main
from tests.distributed.test_index import files
from tests.tiny_models import WORDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]


@pytest.fixture
def documents(tmp_path):
    words = [word for word in WORDS if word.isalpha()]
    lines = [
        json.dumps({"_id": f"d{number}", "title": word, "text": f"{word} {other} {number}"})
        for number, (word, other) in enumerate((word, other) for word in words for other in words)
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    return tmp_path / "corpus.jsonl"


def test_an_index_is_the_same_files(documents, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--dense", "--model", models["dense"], "--offline", "--device", "cpu"]
    assert main(["index", str(documents), "there", *more, "--ray", "local", "--workers", "2"]) == 0
    assert main(["index", str(documents), "here", *more]) == 0
    assert files("there") == files("here")


@pytest.mark.usefixtures("documents")
def test_an_experiment_writes_the_same_runs(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queries.tsv").write_text(
        "\n".join(f"q{number}\twhy is the {word}" for number, word in enumerate(WORDS))
    )
    (tmp_path / "qrels.txt").write_text("\n".join(f"q{number} 0 d{number} 1" for number in range(len(WORDS))))
    config = {
        "collection": {"corpus": "corpus.jsonl", "queries": "queries.tsv", "qrels": "qrels.txt"},
        "pipelines": {
            "bm25": ["bm25"],
            "reranked": ["bm25", {"cross_encoder": {"model": models["cross"], "depth": 9}}],
        },
        "session": {"device": "cpu"},
        "measures": ["nDCG@10"],
        "output": "out",
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(config))
    verb = ["run", "experiment.yaml", "--offline", "--output-dir"]
    assert main([*verb, "out-there", "--cache", "cache-there", "--ray", "local"]) == 0
    assert main([*verb, "out-here", "--cache", "cache-here"]) == 0
    runs = {path.name: path.read_bytes() for path in (tmp_path / "out-here" / "runs").iterdir()}
    assert runs
    assert {path.name: path.read_bytes() for path in (tmp_path / "out-there" / "runs").iterdir()} == runs


def test_workers_without_a_cluster_are_refused(documents, tmp_path, capsys):
    assert main(["index", str(documents), str(tmp_path / "index"), "--workers", "2"]) == 2
    assert "--workers is for --ray; fix: add --ray local" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_a_run_without_a_cache_is_refused(tmp_path, capsys):
    assert (
        main(
            [
                "run",
                "configs/quickstart.yaml",
                "--no-cache",
                "--offline",
                "--ray",
                "local",
                "--output-dir",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert "ray: results come through the cache" in capsys.readouterr().err
