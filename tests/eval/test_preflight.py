"""What is missing is named before anything is done, all of it at once."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from rankloom.errors import DataError, MissingExtraError, NotFoundError
from rankloom.eval import preflight as module
from rankloom.eval.experiment import Experiment
from rankloom.eval.plan import plan_of
from rankloom.eval.preflight import NeededModel, Preflight, preflight
from rankloom.extras import extra_of
from rankloom.registry import BUILT_IN, stage_class
from rankloom.stage_schema import kinds
from tests.tiny_models import tiny_cross_encoder


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty Hugging Face cache, and no way to another machine."""

    def refuse(*arguments: object, **_: object) -> None:
        pytest.fail(f"opened a socket: {arguments}")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def found(*pipelines: Any, offline: bool = True, folder: Path = Path()) -> Preflight:
    plan = plan_of({str(number): spec for number, spec in enumerate(pipelines)}, {}, folder=folder)
    return preflight(plan.stages, offline=offline, folder=folder)


def reranked(model: str) -> list[Any]:
    return ["bm25", {"cross_encoder": {"model": model}}]


def test_models_that_are_here(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path / "study" / "tiny")
    needs = found(["dense"], reranked("tiny"), reranked("tiny"), ["bm25", "bi_encoder"], folder=tmp_path / "study")
    assert needs.problems == ()
    assert needs.models == (
        NeededModel("dense", "all-MiniLM-L6-v2", True),
        NeededModel("cross_encoder", str(tmp_path / "study" / "tiny"), True),
        NeededModel("bi_encoder", "all-MiniLM-L6-v2", True),
    )
    assert list(needs.lines()) == []


def test_models_that_would_be_downloaded() -> None:
    needs = found(reranked("ms-marco-MiniLM-L6-v2"), ["bm25", {"bi_encoder": {"model": "someone/else"}}], offline=False)
    assert list(needs.lines()) == [
        "will be downloaded: ms-marco-MiniLM-L6-v2 (for cross_encoder)",
        "will be downloaded: someone/else (for bi_encoder)",
    ]
    needs.raise_problems()  # nothing to raise


def test_models_that_are_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cross_encoder: the model was not found.*'no/where'.*offline=False"):
        found(reranked("no/where")).raise_problems()
    with pytest.raises(NotFoundError, match=rf"looked for: the folder nowhere, .*{tmp_path}/nowhere.*'./nowhere'"):
        found(reranked("./nowhere"), offline=False, folder=tmp_path).raise_problems()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no model"):
        found(reranked(str(tmp_path / "empty")), offline=False).raise_problems()


def test_all_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fusion = [{"rrf": {"inputs": ["bm25", ["milvus"], "rank_bm25"]}}, {"cross_encoder": {"model": "no/where"}}]
    monkeypatch.setattr(module, "installed", lambda name: name not in ("rank_bm25", "pymilvus"))
    with pytest.raises(MissingExtraError) as raised:
        found(fusion, fusion).raise_problems()
    first, *lines = str(raised.value).splitlines()
    assert first == "3 things are missing"
    assert lines[0] == "milvus: the module 'pymilvus' is not installed; fix: pip install 'rankloom[milvus]'"
    assert lines[1] == "rank_bm25: the module 'rank_bm25' is not installed; fix: pip install 'rankloom[reference]'"
    assert "'no/where'" in lines[2]


def test_a_run_finds_out_before_it_does_anything(tmp_path: Path) -> None:
    values = {
        "collection": "no-such-collection",  # which would be the next to be looked for
        "measures": ["AP"],
        "pipelines": {"bm25": ["bm25"], "reranked": reranked("no/where")},
        "output": str(tmp_path / "out"),
    }
    experiment = Experiment.from_dict(values)
    with pytest.raises(NotFoundError, match="no/where"):
        experiment.run(experiment.session(offline=True))


def test_every_stage_with_a_model_says_so() -> None:
    """A parameter called `model` that is no `ModelName` would be found missing only when it is needed."""
    for word in BUILT_IN:
        stage = stage_class(word)
        assert all(extra_of(name) for name in stage.requires)
        loads = {"sentence_transformers", "transformers"} & set(stage.requires)
        with_model = bool(loads) or word == "milvus"  # which also searches by BM25 alone
        assert with_model == ("model" in kinds(word)), word
