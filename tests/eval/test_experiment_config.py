"""Experiment files: what is accepted, and that every problem is reported with file, line and the nearest word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rankloom.errors import ConfigError, NotFoundError
from rankloom.eval.experiment import Experiment
from rankloom.eval.experiment_config import experiment_schema
from rankloom.registry import stage_words
from rankloom.stage_schema import FUSIONS

GOOD = """\
collection: mini
measures: [nDCG@10, AP, seconds]
define:
  bm25: {bm25: {k: 100}}
pipelines:
  bm25: [bm25]
  short: [bm25, {top: 5}]
output: out
"""


def read(folder: Path, text: str, *overrides: str) -> Experiment:
    path = folder / "exp.yaml"
    path.write_text(text, encoding="utf-8")
    return Experiment.from_yaml(path, overrides)


def problem(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, *overrides)
    return str(caught.value)


def test_defaults_and_overrides(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD).config
    assert (config.collection.id, config.baseline, config.compare.correction) == ("mini", "bm25", "holm")
    assert config.effectiveness == ["nDCG@10", "AP"]
    assert config.costs == ["seconds"]
    changed = read(tmp_path, GOOD, "compare.baseline=short", "define.bm25.bm25.k=7", "session.seed=3").config
    assert (changed.baseline, changed.define["bm25"], changed.session.seed) == ("short", {"bm25": {"k": 7}}, 3)


def test_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    first = read(tmp_path, GOOD)
    assert first.fingerprint() == read(tmp_path, GOOD, "output=elsewhere").fingerprint()
    assert first.fingerprint() != read(tmp_path, GOOD, "session.seed=8").fingerprint()


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("measures:", "mesures:", ["exp.yaml:2", "unknown key 'mesures'", "did you mean 'measures'?"]),
        ("collection: mini\n", "", ["exp.yaml:1", "'collection' is missing"]),
        ("output: out", "output: 5", ["exp.yaml:8", "output", "got 5"]),
        ("output: out", "output: out\ncompare: {baselin: bm25}", ["exp.yaml:9", "compare.baselin", "'baseline'"]),
        ("output: out", "output: out\ncompare: {baseline: bm52}", ["exp.yaml:9", "'bm52'", "did you mean 'bm25'?"]),
        ("output: out", "output: out\ncompare: {baseline: dense}", ["exp.yaml:9", "'dense'", "there are bm25, short"]),
        ("output: out", "output: out\nsession: {cache: here}", ["exp.yaml:9", "session.cache", "RANKLOOM_CACHE"]),
        ("[bm25, {top: 5}]", "[bm25, hyde, bm25]", ["exp.yaml:7", "hyde needs 'model': a language model, such as {"]),
        ("[bm25, {top: 5}]", "[rocchio]", ["exp.yaml:7", "fix"]),
        ("output: out", "output: out\ncompare: {correction: bonferoni}", ["exp.yaml:9", "'bonferroni'", "'bonferoni'"]),
        ("output: out", "output: out\ncompare: {test: t}", ["exp.yaml:9", "'randomisation'", "got 't'"]),
        ("output: out", "output: out\ncompare: {intervals: all}", ["exp.yaml:9", "'bootstrap'", "got 'all'"]),
        ("output: out", "output: out\nsession: {seed: many}", ["exp.yaml:9", "session.seed", "'many'"]),
        ("nDCG@10, AP", "nDGC@10, AP", ["exp.yaml:2", "nDGC@10", "'nDCG@10'", "seconds, tokens, calls"]),
        ("seconds]", "latncy_p95]", ["exp.yaml:2", "latncy_p95", "did you mean 'latency_p95'?"]),
        ("seconds]", "money]", ["exp.yaml:2", "'money' needs `prices`"]),
        ("output: out", "output: out\nprices: {bm25: {inputs: 1.0}}", ["exp.yaml:9", "prices.bm25", "'input'"]),
        ("output: out", "output: out\ntiming: {queries: 0}", ["exp.yaml:9", "timing.queries", "got 0"]),
        ("nDCG@10, AP", "AP, AP", ["exp.yaml:2", "stands twice"]),
        ("[nDCG@10, AP, seconds]", "[seconds]", ["exp.yaml:2", "effectiveness"]),
        ("[bm25, {top: 5}]", "[bm25, {topp: 5}]", ["exp.yaml:7", "unknown stage", "'topp'", "did you mean 'top'?"]),
        ("[bm25, {top: 5}]", "[bm25, {top: five}]", ["exp.yaml:7", "top.k", "'five'"]),
        ("[bm25, {top: 5}]", "[{top: 5}]", ["exp.yaml:7", "top", "put a retriever before it"]),
        ("{k: 100}", "{kk: 100}", ["exp.yaml:4", "bm25 has no parameter 'kk'", "did you mean 'k'?"]),
        ("{k: 100}", "{k: 0}", ["exp.yaml:4", "bm25: k is out of range; got 0"]),
        ("[bm25, {top: 5}]", "[{interpolate: {inputs: [bm25]}}]", ["exp.yaml:7", "interpolate.inputs", "at least 2"]),
        ("[bm25, {top: 5}]", "[{rrf: {inputs: []}}]", ["exp.yaml:7", "rrf.inputs", "at least 1"]),
        ("short:", "../short:", ["exp.yaml:7", "'../short'", "file name"]),
        ("short:", "BM25:", ["exp.yaml:7", "'BM25' and 'bm25'"]),
        ("collection: mini", "collection: {id: mini, qrels: q.tsv}", ["exp.yaml:1", "corpus", "qrels"]),
        ("collection: mini", "collection: {ids: mini}", ["exp.yaml:1", "collection.ids", "did you mean 'id'?"]),
    ],
)
def test_problems_name_line_and_remedy(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    assert old in GOOD
    text = problem(tmp_path, GOOD.replace(old, new, 1))
    for part in parts:
        assert part in text


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = problem(tmp_path, GOOD.replace("nDCG@10", "nope@10").replace("{top: 5}", "{topp: 5}").replace("AP", "AX"))
    assert "3 problems" in text
    assert all(part in text for part in ("nope@10", "'AX'", "topp"))
    text = problem(tmp_path, GOOD.replace("measures", "m").replace("output", "o"))
    assert all(part in text for part in ("unknown key 'm'", "unknown key 'o'", "'measures' is missing"))


def test_an_error_in_a_definition_stands_once(tmp_path: Path) -> None:
    assert problem(tmp_path, GOOD.replace("{k: 100}", "{kk: 100}")).count("'kk'") == 1


def test_broken_files(tmp_path: Path) -> None:
    text = problem(tmp_path, "collection: mini\nmeasures: [AP\noutput: out\n")
    assert "exp.yaml:3: not valid YAML" in text
    assert "keys and values" in problem(tmp_path, "- a\n- b\n")
    assert "stands twice" in problem(tmp_path, GOOD + "output: again\n")
    with pytest.raises(NotFoundError):
        Experiment.from_yaml(tmp_path / "nowhere.yaml")


def test_schema_names_every_key_and_stage() -> None:
    schema: dict[str, Any] = experiment_schema()
    assert schema["title"] == "rankloom experiment"
    keys = {"collection", "measures", "define", "pipelines", "sweep", "tune", "compare", "session", "timing", "prices"}
    assert keys | {"output"} == set(schema["properties"])
    assert set(schema["stages"]) == {*stage_words(), *FUSIONS}
    assert {"bm25", "top", "interpolate"} <= set(schema["stages"])
