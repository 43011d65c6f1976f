"""Pruning curves: over a real sweep, and drawn."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from rankloom import Session
from rankloom.errors import UsageError
from rankloom.eval.experiment import Experiment
from rankloom.eval.pareto import Point
from rankloom.eval.pruning_curves import PruningCurves, pruning_curves
from rankloom.eval.pruning_plot import pruning_svg
from rankloom.eval.report.plots import pruning_html

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def result():
    texts = {"bm25": {"k": 3}}
    pipelines = {
        "whole": [texts],
        "lead": [texts, {"lead_pruner": {"n": 1}}, {"top": 1}],
        "share": [texts, {"lead_pruner": {"share": 0.5}}],
        "oracle": [texts, "oracle_pruner"],
    }
    config = {
        "collection": "mini",
        "measures": ["retention", "sentence_f2", "nDCG@10", "compression"],
        "pipelines": pipelines,
        "sweep": {"lead.lead_pruner.n": [5, 1, 2]},
        "output": "runs/unwritten",
    }
    return Experiment.from_dict(config).evaluate(Session(offline=True))


def test_a_swept_pruner_is_a_curve(result):
    curves = pruning_curves(result, "retention")
    names = {name: [point.name for point in points] for name, points in curves.curves.items()}
    assert names == {"lead": ["lead,n=5", "lead,n=2", "lead,n=1"], "share": ["share"], "oracle": ["oracle"]}
    assert curves.saved == "compression"
    for points in curves.curves.values():
        for point in points:
            means = result.outcomes[point.name].evaluation.means
            assert (point.effectiveness, point.cost) == (means["retention"], means["compression"])


def test_the_front_is_of_pruners_that_do_not_know_the_labels(result):
    curves = pruning_curves(result, "sentence_f2")
    assert curves.bounds == {"oracle"}
    points = [point for name, of_one in curves.curves.items() if name != "oracle" for point in of_one]
    for point in points:
        beaten = any(
            other.effectiveness >= point.effectiveness and other.cost >= point.cost and other[1:] != point[1:]
            for other in points
        )
        assert (point.name in curves.front) != beaten
    assert "oracle" not in curves.front


def test_what_has_no_curves(result):
    with pytest.raises(UsageError, match=r"unknown measure.*nDCG@10"):
        pruning_curves(result, "nDCG@10")
    whole = replace(result, outcomes={"whole": result.outcomes["whole"]})
    assert pruning_curves(whole, "retention") is None
    assert pruning_html(whole) == ""
    unmeasured = replace(result, summary=replace(result.summary, measures=("retention",)))
    assert pruning_curves(unmeasured, "retention") is None


CURVES = PruningCurves(
    "retention",
    "compression",
    {
        "a<b>": (Point("a,t=1", 0.9, 0.1), Point("a,t=2", 0.5, 0.8)),
        "lead": (Point("lead", 0.4, 0.5),),
        "oracle": (Point("oracle", 1.0, 0.9),),
    },
    ("a,t=2", "a,t=1"),
    frozenset({"oracle"}),
)


def test_the_plot_tells_curves_apart_without_colour():
    text = pruning_svg(CURVES, id='x"y')
    root = ET.fromstring(text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|script", text)
    marks = root.findall(f"{SVG}path")
    assert [mark.get("fill-opacity") for mark in marks] == [None, None, "0", "0"]  # filled on the front
    assert len({mark.get("d") for mark in marks}) == 3
    assert marks[0].find(f"{SVG}title").text == "a,t=1: retention 0.9000, compression 0.1000"
    assert {"a<b>", "lead", "oracle", "retention", "compression"} <= {one.text for one in root.iter(f"{SVG}text")}
    desc = root.find(f"{SVG}desc").text
    assert desc.startswith("On the Pareto front, from the shortest texts: a,t=2, a,t=1. Not compared, ")
    assert "oracle: 1.0000 at 0.9000" in desc
    band, curve = root.findall(f"{SVG}polyline")
    assert sorted(band.get("points").split()) == sorted(curve.get("points").split())
    assert ET.fromstring(pruning_svg(replace(CURVES, curves={}, front=()))).findall(f"{SVG}path") == []


def test_it_stands_in_the_report(result):
    page = pruning_html(result)
    assert page.count("<svg") == 4  # two measures, each for wide and narrow pages
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert "nDCG" not in page
