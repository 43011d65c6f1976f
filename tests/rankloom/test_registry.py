"""Words for stages: those of this package, and those that other packages register."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankloom import Run
from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError
from rankloom.registry import BUILT_IN, GROUP, stage_class, stage_words
from rankloom.session import Session
from rankloom.stage_schema import parameters

STAGE = '''
from rankloom import Reranker


class Upside(Reranker):
    """Leaves everything as it is."""

    name = "upside"

    def __init__(self, *, weight: int = 1) -> None:
        self.weight = weight

    def __call__(self, run):
        return run
'''
NOT_A_STAGE = "\n\nclass Other:\n    pass\n"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What is installed is looked up once a process; here it changes."""
    yield
    stage_words.cache_clear()
    parameters.cache_clear()
    sys.modules.pop("upside_for_test", None)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *points: str, package: str = "upside") -> None:
    """A package as pip leaves it: a module, and a `dist-info` folder with its entry points."""
    (folder / "upside_for_test.py").write_text(STAGE + NOT_A_STAGE)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *points]))
    monkeypatch.syspath_prepend(folder)
    stage_words.cache_clear()


def test_every_word_of_this_package_names_a_stage_that_calls_itself_so() -> None:
    assert {word: stage_class(word).name for word in BUILT_IN} == {word: word for word in BUILT_IN}


def test_an_entry_point_makes_a_word_of_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "upside = upside_for_test:Upside")
    builder = PipelineBuilder({})
    pipeline = builder.build([{"upside": {"weight": 2}}], corpus=None, session=Session())
    assert pipeline.stages[0].params() == {"weight": 2}
    run = Run.from_dict({"q1": {"d1": 1.0}})
    assert pipeline.stages[0](run).to_dict() == run.to_dict()
    with pytest.raises(ConfigError, match=r"upside has no parameter 'wieght'; did you mean 'weight'\?"):
        builder.build([{"upside": {"wieght": 2}}], corpus=None, session=Session())


def test_a_word_that_is_taken_stays_and_the_other_stage_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(tmp_path, monkeypatch, "bm25 = upside_for_test:Upside", "twice = a:First", package="one")
    install(tmp_path, monkeypatch, "twice = b:Second", package="two")
    with caplog.at_level(logging.WARNING, logger="rankloom"):
        words = stage_words()
    assert (words["bm25"], words["twice"]) == (BUILT_IN["bm25"], "a:First")
    assert "upside_for_test:Upside can not be called 'bm25'" in caplog.text
    assert "b:Second can not be called 'twice': a:First is" in caplog.text


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("bm52", "unknown stage; got 'bm52'; .*did you mean 'bm25'"),
        ("upside_for_test:Other", "not a stage"),
        ("upside_for_test:Nothing", "can not be imported"),
        ("no_such_module_for_test:Stage", "can not be imported"),
    ],
)
def test_words_that_name_no_stage(word: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=problem):
        stage_class(word)
