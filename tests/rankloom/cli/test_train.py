"""The verb that trains: what it checks before, what it says after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rankloom.cli import main
from tests.training.long_documents import idcm_recipe
from tests.training.recipes import tiny_recipe


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKLOOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(tiny_recipe(tmp_path, steps=2)))
    return file


def test_a_dry_run_checks_and_trains_nothing(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(recipe), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "2 steps of 4 queries" in said.err
    assert not Path("out").exists()


def test_mistakes_have_the_exit_codes_of_all_verbs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "nowhere.yaml"]) == 4
    assert main(["train", str(recipe), "--set", "training.stepps=3"]) == 5
    assert "did you mean 'steps'" in capsys.readouterr().err
    assert main(["train", str(recipe), "--set", "sources.0.pairs.file=nowhere.jsonl"]) == 4
    assert main(["train", str(recipe), "--set", "student.backbone=nowhere", "--offline"]) == 4


@pytest.mark.slow
def test_it_trains_and_says_where_and_how_well(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(recipe), "--output-dir", "there", "--offline", "--output", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == str(Path("there") / "adapter")
    assert said["recipe"]["training"]["steps"] == 2
    assert said["end"]["terms"] > 0
    assert main(["train", str(recipe), "--output-dir", "there", "--offline"]) == 0
    assert f"nDCG@10 {said['end']['nDCG@10']}" in capsys.readouterr().out
    assert main(["train", str(recipe), "--output-dir", "there", "--set", "seed=8", "--offline"]) == 5


@pytest.mark.slow
def test_what_is_measured_at_the_end_only_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "idcm.yaml"
    file.write_text(yaml.safe_dump(idcm_recipe(tmp_path)))
    assert main(["train", str(file), "--output-dir", "there", "--offline"]) == 0
    said = capsys.readouterr().out
    assert "end: nDCG@10, first stage" in said
    assert "start:" not in said
