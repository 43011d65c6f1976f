"""Relative paths in an experiment's file: from the file's folder, else from the current one, never a guess."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rankloom.cli import main
from rankloom.errors import ConfigError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.eval.experiment import Experiment
from rankloom.eval.forecast import earlier_costs, forecast
from rankloom.session import Session
from tests.tiny_models import tiny_cross_encoder

FILES = {"corpus": "data/corpus.jsonl", "queries": "data/queries.jsonl", "qrels": "data/qrels/test.tsv"}


def put_collection(folder: Path, text: str = "the sky is blue") -> None:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d1", "title": "", "text": text}) + "\n")
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "sky"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is not that of the file."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def written(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    values = {"collection": "data", "measures": ["RR"], "pipelines": {"bm25": ["bm25"]}, "output": "out", **changes}
    (folder / "exp.yaml").write_text(yaml.safe_dump(values))
    return folder / "exp.yaml"


def text_of(experiment: Experiment) -> str:
    return next(iter(experiment.load(Session()).corpus)).text


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("collection", ["data", "data:test", "./data", "../study/data", FILES])
def test_a_collection_beside_the_file(tmp_path: Path, collection: Any) -> None:
    put_collection(tmp_path / "study" / "data")
    experiment = Experiment.from_yaml(written(tmp_path / "study", collection=collection))
    assert text_of(experiment) == "the sky is blue"


@pytest.mark.parametrize("collection", ["data", "data:test", FILES])
def test_a_collection_in_the_current_folder(tmp_path: Path, elsewhere: Path, collection: Any) -> None:
    put_collection(elsewhere / "data")
    assert text_of(Experiment.from_yaml(written(tmp_path / "study", collection=collection))) == "the sky is blue"


@pytest.mark.parametrize("collection", ["data", FILES])
def test_two_of_them_are_an_error_that_names_both(tmp_path: Path, elsewhere: Path, collection: Any) -> None:
    put_collection(tmp_path / "study" / "data")
    put_collection(elsewhere / "data")
    experiment = Experiment.from_yaml(written(tmp_path / "study", collection=collection))
    with pytest.raises(ConfigError, match=rf"two places.*{tmp_path}/study/data.*, {elsewhere}/data.*in full"):
        experiment.load(Session())
    shutil.rmtree(elsewhere / "data")
    (elsewhere / "data").symlink_to(tmp_path / "study" / "data")
    assert text_of(experiment) == "the sky is blue"  # one and the same


def test_a_collection_that_is_in_neither_place(tmp_path: Path, elsewhere: Path) -> None:
    for collection, name in (("./data", "data"), (FILES, "data/corpus.jsonl")):
        experiment = Experiment.from_yaml(written(tmp_path / "study", collection=collection))
        with pytest.raises(NotFoundError, match=rf"{tmp_path}/study/{name} and {elsewhere}/{name}"):
            experiment.load(Session())


@pytest.mark.usefixtures("elsewhere")
def test_names_are_not_taken_for_paths(tmp_path: Path) -> None:
    (tmp_path / "study" / "mini").mkdir(parents=True)  # holds no collection
    assert load_collection("mini", folder=tmp_path / "study").id == "mini/test"


def test_the_files_of_stages(tmp_path: Path, elsewhere: Path) -> None:
    put_collection(tmp_path / "study" / "data")
    pipelines = {"terms": [{"stored_terms": "terms.tsv"}, "bm25"]}
    file = written(tmp_path / "study", pipelines=pipelines)
    with pytest.raises(NotFoundError, match=rf"{tmp_path}/study/terms.tsv and {elsewhere}/terms.tsv"):
        Experiment.from_yaml(file)
    (tmp_path / "study" / "terms.tsv").write_text("q1\tblue\n")
    experiment = Experiment.from_yaml(file)
    result = experiment.run(experiment.session(offline=True))
    assert result.outcomes["terms"].run["q1"].doc_ids == ["d1"]
    assert (elsewhere / "out" / "manifest.json").is_file()  # what is written goes to the current folder
    assert experiment.plan().stages[0].given["source"] == str(tmp_path / "study" / "terms.tsv")
    assert "source=terms.tsv" in experiment.plan().pipelines["terms"]
    (elsewhere / "terms.tsv").write_text("q1\tsky\n")
    with pytest.raises(ConfigError, match=r"exp.yaml:\d+: .*two places"):
        Experiment.from_yaml(file)


@pytest.mark.usefixtures("elsewhere")
def test_the_price_of_a_model_beside_the_file_goes_by_its_name_there(tmp_path: Path) -> None:
    put_collection(tmp_path / "study" / "data")
    tiny_cross_encoder(tmp_path / "study" / "tiny")
    pipelines = {"ce": ["bm25", {"cross_encoder": {"model": "tiny", "depth": 5}}]}
    prices = {"tiny": {"call": 3.0}, "cross_encoder": {"call": 100.0}}
    file = written(tmp_path / "study", pipelines=pipelines, prices=prices, measures=["RR", "money"])
    experiment = Experiment.from_yaml(file)
    result = experiment.run(experiment.session(offline=True))
    assert result.outcomes["ce"].costs()["money"] == 3.0
    earlier = earlier_costs(Path("out"))
    assert [(cost.stage, cost.model) for cost in earlier] == [("bm25", ""), ("cross_encoder", "tiny")]
    stages = experiment.plan().stages
    assert (stages[1].model, stages[1].given["model"]) == ("tiny", str(tmp_path / "study" / "tiny"))
    (_, expected) = forecast(stages, 1, earlier=earlier, prices=experiment.config.prices)
    assert expected.money == pytest.approx(3.0 * 5)  # as many as the depth allows, and there was one
    unknown = written(tmp_path / "study", pipelines=pipelines, prices={"tinny": {"call": 3.0}})
    with pytest.raises(ConfigError, match=r"'tinny'.*did you mean 'tiny'"):
        Experiment.from_yaml(unknown).evaluate(Session(offline=True))


@pytest.mark.usefixtures("elsewhere")
def test_the_folder_of_results_knows_the_file(tmp_path: Path, capsys: Any) -> None:
    put_collection(tmp_path / "study" / "data")
    assert main(["run", str(written(tmp_path / "study")), "--no-cache"]) == 0
    capsys.readouterr()
    assert main(["explain", "out", "bm25", "q1", "--no-cache"]) == 0
    assert "1. d1" in capsys.readouterr().out
