"""Sweeps: what a path leads to, which pipelines come of it, and what they cost."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError
from rankloom.eval.experiment import Experiment
from rankloom.eval.experiment_config import ExperimentConfig
from rankloom.eval.plan import plan_of
from rankloom.eval.sweep import Sweep, expand
from rankloom.eval.sweep_values import Range, values_of

WORDS, LENGTHS = "rankloom_test_stages:Words", "rankloom_test_stages:Lengths"
DEFINITIONS: dict[str, Any] = {
    "bm25": {"bm25": {"k": 100}},
    "hybrid": {"interpolate": {"inputs": ["bm25", "dense"], "alpha": 0.5}},
}
PIPELINES: dict[str, Any] = {
    "bm25": ["bm25"],
    "rm3": ["bm25", {"rm3": {"docs": 5}}, "bm25"],
    "short": ["hybrid", {"top": 10}],
    "text": ["bm25", {"text_prf": {"through": [{"bm25": {"b": 0.5}}, {"top": 20}], "docs": 3}}],
}


def swept(over: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(expand(PIPELINES, DEFINITIONS, Sweep(over=over, **options)).pipelines)


@pytest.fixture(autouse=True)
def work_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make the test stages importable, and log what they compute."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "stages"))
    monkeypatch.setenv("RANKLOOM_TEST_LOG", str(tmp_path / "log.txt"))
    return tmp_path / "log.txt"


# --- paths ---------------------------------------------------------------------------------------------------------


def fused(*inputs: Any, alpha: float = 0.5) -> dict[str, Any]:
    return {"interpolate": {"inputs": [[one] for one in inputs], "alpha": alpha}}


def text(bm25: dict[str, Any], *, k: int = 20, docs: int = 3) -> dict[str, Any]:
    return {"text_prf": {"docs": docs, "through": [{"bm25": bm25}, {"top": {"k": k}}]}}


BM25, TOP = {"bm25": {"k": 100}}, {"top": {"k": 10}}


@pytest.mark.parametrize(
    ("path", "name", "spec"),
    [
        ("rm3.rm3.terms", "rm3,terms=7", [BM25, {"rm3": {"docs": 5, "terms": 7}}, BM25]),
        ("rm3.bm25.k", "rm3,k=7", [{"bm25": {"k": 7}}, {"rm3": {"docs": 5}}, {"bm25": {"k": 7}}]),
        ("rm3.2.k", "rm3,k=7", [BM25, {"rm3": {"docs": 5}}, {"bm25": {"k": 7}}]),
        ("bm25.bm25.k1", "bm25,k1=7", [{"bm25": {"k": 100, "k1": 7}}]),
        ("short.top", "short,top=7", [fused(BM25, "dense"), {"top": {"k": 7}}]),
        ("short.1.k", "short,k=7", [fused(BM25, "dense"), {"top": {"k": 7}}]),
        ("short.interpolate.1.k", "short,k=7", [fused(BM25, {"dense": {"k": 7}}), TOP]),
        ("short.interpolate.bm25.k", "short,k=7", [fused({"bm25": {"k": 7}}, "dense"), TOP]),
        ("short.hybrid.alpha", "short,alpha=7", [fused(BM25, "dense", alpha=7), TOP]),
        ("text.text_prf.docs", "text,docs=7", [BM25, text({"b": 0.5}, docs=7)]),
        ("text.text_prf.through.bm25.b", "text,b=7", [BM25, text({"b": 7})]),
        ("text.text_prf.through.top", "text,top=7", [BM25, text({"b": 0.5}, k=7)]),
        ("text.text_prf.through.0.b", "text,b=7", [BM25, text({"b": 7})]),
    ],
)
def test_a_path_changes_what_it_names_and_nothing_else(path: str, name: str, spec: list[Any]) -> None:
    base = path.partition(".")[0]
    others = {other: steps for other, steps in PIPELINES.items() if other != base}
    assert swept({path: [7]}) == {**others, name: spec}


def test_a_definition_is_swept_wherever_it_is_used() -> None:
    found = swept({"bm25.k1": [1.2]})
    assert list(found) == ["bm25,k1=1.2", "rm3,k1=1.2", "short,k1=1.2", "text,k1=1.2"]
    assert found["short,k1=1.2"][0]["interpolate"]["inputs"] == [[{"bm25": {"k": 100, "k1": 1.2}}], ["dense"]]
    assert list(swept({"hybrid.alpha": [0.1]})) == ["bm25", "rm3", "short,alpha=0.1", "text"]


def test_what_is_swept_means_what_was_written() -> None:
    """A sweep over the value that is there gives pipelines that plan and fingerprint like the ones written."""
    found = swept({"rm3.rm3.docs": [5], "short.hybrid.alpha": [0.5], "text.text_prf.docs": [3]})
    assert [shown.split("  ")[0] for shown in plan_of(found, DEFINITIONS).pipelines.values()] == list(
        plan_of(PIPELINES, DEFINITIONS).pipelines.values()
    )
    for spec in found.values():
        PipelineBuilder(DEFINITIONS).check(spec, at=())


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("rm3.rm3.term", "did you mean 'rm3.rm3.terms'?"),
        ("rm.rm3.terms", "did you mean 'rm3.rm3.terms'?"),
        ("hybrid.alpa", "did you mean 'hybrid.alpha'?"),
        ("rm3.3.k", "PIPELINE.STEP.PARAMETER"),
        ("short.0.k", "PIPELINE.STEP.PARAMETER"),
        ("text.text_prf.through", "PIPELINE.STEP.PARAMETER"),
        ("text.text_prf", "PIPELINE.STEP.PARAMETER"),
        ("short.interpolate.inputs", "PIPELINE.STEP.PARAMETER"),
        ("nothing", "PIPELINE.STEP.PARAMETER"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error(path: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="leads to no parameter") as caught:
        swept({path: [1]})
    assert hint in str(caught.value)


def test_two_paths_to_one_parameter_are_an_error() -> None:
    with pytest.raises(ConfigError, match="two paths"):
        swept({"rm3.rm3.terms": [1], "rm3.1.terms": [2]})


# --- combinations and names -------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination() -> None:
    docs, terms = [3, 5], [10, 20, 50]
    expansion = expand(PIPELINES, DEFINITIONS, Sweep(over={"rm3.rm3.docs": docs, "rm3.rm3.terms": terms}))
    assert [tuple(setting.values()) for setting in expansion.settings.values()] == list(itertools.product(docs, terms))
    assert expansion.groups == {"rm3": list(expansion.settings)}
    # in the place of the swept pipeline
    assert list(expansion.pipelines) == ["bm25", *expansion.settings, "short", "text"]
    for name, setting in expansion.settings.items():
        given = expansion.pipelines[name][1]["rm3"]
        assert given == {"docs": setting["rm3.rm3.docs"], "terms": setting["rm3.rm3.terms"]}


@pytest.mark.parametrize("samples", [1, 5, 29, 30, 31, 100])
def test_a_random_sweep_draws_distinct_settings(samples: int) -> None:
    over = {"rm3.rm3.docs": list(range(1, 7)), "rm3.rm3.terms": {"min": 10, "max": 14}}
    sweep = Sweep.model_validate({"over": over, "method": "random", "samples": samples})
    expansion = expand(PIPELINES, DEFINITIONS, sweep, seed=1)
    drawn = [tuple(setting.values()) for setting in expansion.settings.values()]
    assert len(drawn) == len(set(drawn)) == min(samples, 30)
    assert set(drawn) <= set(itertools.product(range(1, 7), range(10, 15)))
    assert expand(PIPELINES, DEFINITIONS, sweep, seed=1).settings == expansion.settings
    if samples == 5:
        assert expand(PIPELINES, DEFINITIONS, sweep, seed=2).settings != expansion.settings
        assert expand(PIPELINES, DEFINITIONS, sweep.model_copy(update={"seed": 1}), seed=2) == expansion


def test_a_random_sweep_of_a_definition_keeps_what_pipelines_share() -> None:
    found = swept({"bm25.k1": Range(min=0.1, max=2.0)}, method="random", samples=4)
    values = {base: [n.split("=")[1] for n in found if n.startswith(f"{base},")] for base in PIPELINES}
    assert values["bm25"] == values["rm3"] == values["short"]
    assert len(set(values["bm25"])) == 4


@given(
    values=st.lists(
        st.one_of(st.integers(-9, 9), st.floats(allow_nan=False), st.text(max_size=60), st.booleans(), st.none()),
        min_size=1,
        max_size=8,
        unique_by=repr,
    )
)
@settings(max_examples=60, deadline=None)
def test_names_are_distinct_file_names(values: list[Any]) -> None:
    found = expand({"p": ["bm25", {"top": 1}]}, {}, Sweep(over={"p.top": values})).pipelines
    assert len({name.lower() for name in found}) == len(values)
    config = {"collection": "mini", "measures": ["AP"], "output": "o"}
    for name in found:
        ExperimentConfig.model_validate({**config, "pipelines": {name: ["bm25"]}})
        assert len(name) < 100
        Experiment.from_dict({**config, "pipelines": {name: ["bm25"]}})


def test_labels_tell_paths_apart() -> None:
    assert (
        list(swept({"short.bm25.k": [5], "short.dense.k": [6], "short.top": [7]}))[2]
        == "short,bm25.k=5,dense.k=6,top=7"
    )


def test_ranges() -> None:
    assert values_of(Range(min=5, max=12, step=3), drawn=False) == [5, 8, 11]
    assert values_of(Range(min=0.0, max=1.0, step=0.1), drawn=False) == [n / 10 for n in range(11)]
    assert values_of(Range(min=3, max=6), drawn=False) == [3, 4, 5, 6]
    assert values_of(Range(min=0.0, max=1.0, points=5), drawn=False) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert values_of(Range(min=1, max=1000, points=4, scale="log"), drawn=False) == [1, 10, 100, 1000]
    fine = values_of(Range(min=0.01, max=100.0, scale="log"), drawn=True)
    assert math.isclose(fine[0], 0.01)
    assert math.isclose(fine[500], 1.0)
    assert math.isclose(fine[1000], 100.0)
    small = Counter(values_of(Range(min=1, max=1000, scale="log"), drawn=True))
    assert abs(sum(small[n] for n in range(1, 10)) / 1001 - 1 / 3) < 0.03  # a decade is a third of the scale
    with pytest.raises(ConfigError, match="add `step` or `points`"):
        values_of(Range(min=0.0, max=1.0), drawn=False)


# --- in files ---------------------------------------------------------------------------------------------------------

FILE = """\
collection: mini
measures: [AP]
pipelines:
  bm25: [bm25]
  rm3: [bm25, rm3, bm25]
sweep:
  rm3.rm3.terms: [10, 20]
output: out
"""


def read(folder: Path, old: str = "", new: str = "") -> Experiment:
    assert old in FILE
    (folder / "exp.yaml").write_text(FILE.replace(old, new, 1), encoding="utf-8")
    return Experiment.from_yaml(folder / "exp.yaml")


def test_a_sweep_in_a_file_becomes_pipelines(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert list(found.config.pipelines) == ["bm25", "rm3,terms=10", "rm3,terms=20"]
    assert found.settings == {f"rm3,terms={n}": {"rm3.rm3.terms": n} for n in (10, 20)}
    again = Experiment.from_dict(found.config.model_dump())  # what is understood can be read again, and is the same
    assert again.config == found.config
    assert again.fingerprint() == found.fingerprint()


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("rm3.rm3.terms:", "rm3.rm3.trems:", ["exp.yaml:7", "'rm3.rm3.trems'", "did you mean 'rm3.rm3.terms'?"]),
        ("[10, 20]", "[10, many]", ["exp.yaml:7", "rm3.terms", "'many'"]),
        ("[10, 20]", "[10, 0]", ["exp.yaml:7", "terms is out of range", "got 0"]),
        ("[10, 20]", "[]", ["exp.yaml:7", "sweep.rm3.rm3.terms", "at least 1"]),
        ("[10, 20]", "{min: 1, mxa: 2}", ["exp.yaml:7", "'sweep.rm3.rm3.terms.mxa'", "did you mean 'max'?"]),
        ("[10, 20]", "{min: 3, max: 2}", ["exp.yaml:7", "`min` must be less"]),
        ("[10, 20]", "{min: 0.0, max: 1.0}", ["exp.yaml:7", "add `step` or `points`"]),
        ("[10, 20]", "{min: 0, max: 1, scale: log}", ["exp.yaml:7", "begin above 0"]),
        ("[10, 20]", "20", ["exp.yaml:7", "valid list", "got 20"]),
        ("  rm3.rm3", "  method: random\n  over:\n    rm3.rm3", ["exp.yaml:6", "sweep", "`samples`"]),
        ("  rm3.rm3", "  samples: 3\n  over:\n    rm3.rm3", ["exp.yaml:6", "sweep", "`samples`"]),
        ("  rm3.rm3", "  sampels: 3\n  over:\n    rm3.rm3", ["exp.yaml:7", "'sweep.sampels'", "'samples'"]),
        ("  rm3.rm3", "  method: grid\n  over:\n    rm3.rm3.x: [1]\n    rm3.rm3", ["exp.yaml:9", "'rm3.rm3.x'"]),
        ("output:", "compare: {baseline: rm3}\noutput:", ["exp.yaml:8", "baseline is swept", "rm3,terms=10"]),
        ("[bm25, rm3, bm25]", "[bm25, rm4, bm25]", ["exp.yaml:5", "'rm4'"]),
    ],
)  # fmt: skip
def test_problems_name_line_and_remedy(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, old, new)
    for part in parts:
        assert part in str(caught.value)


# --- what it costs ----------------------------------------------------------------------------------------------------


def computed(log: Path) -> Counter[str]:
    return Counter(log.read_text(encoding="utf-8").splitlines()) if log.exists() else Counter()


def sweep_of_24(folder: Path) -> Experiment:
    """24 pipelines: 4 depths of retrieval, 3 rerankers behind each, and each reranked or fused with the first stage."""
    return Experiment.from_dict(
        {
            "collection": "mini",
            "measures": ["nDCG@10"],
            "define": {"words": {WORDS: {"k": 20}}, "lengths": {LENGTHS: {}}},
            "pipelines": {
                "plain": ["words", "lengths"],
                "fused": [{"rrf": {"inputs": ["words", ["words", "lengths"]]}}],
            },
            "sweep": {"words.k": [5, 10, 15, 20], "lengths.power": [0.5, 1.0, 2.0]},
            "output": str(folder / "out"),
        }
    )


@pytest.mark.parametrize("cached", [False, True])
def test_a_sweep_costs_no_more_than_its_distinct_stages(tmp_path: Path, work_log: Path, cached: bool) -> None:
    done = sweep_of_24(tmp_path)
    assert len(done.config.pipelines) == 24
    plan = done.plan()
    distinct_words, distinct_lengths, fusions = 4, 4 * 3, 4 * 3
    assert (plan.total, plan.distinct) == (12 * 2 + 12 * 4, distinct_words + distinct_lengths + fusions)
    cache = tmp_path / "cache" if cached else None
    done.run(done.session(cache=cache))
    work = computed(work_log)
    stages = Counter[str]()
    for line, times in work.items():
        stages[line.split()[0]] += times
    if not cached:
        assert stages == {"words": distinct_words, "lengths": distinct_lengths}
    else:  # a query at a time, and queries with the same few hits at two depths are reranked once
        assert stages["words"] == distinct_words * 50
        assert 0 < stages["lengths"] <= distinct_lengths * 50
        done.run(done.session(cache=cache))
        assert computed(work_log) == work  # the second run costs nothing
