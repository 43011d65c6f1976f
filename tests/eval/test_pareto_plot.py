"""The plot is well-formed, says in words what it shows, and puts every pipeline inside its frame."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.eval.costs import COSTS
from rankloom.eval.pareto import Point, TradeOff, pareto_front
from rankloom.eval.pareto_plot import pareto_svg

SVG = "{http://www.w3.org/2000/svg}"


def trade(points: list[Point], cost: str = "tokens") -> TradeOff:
    return TradeOff("nDCG@10", COSTS[cost], tuple(points), pareto_front(points, better=COSTS[cost].better), {})


def drawn(points: list[Point], cost: str = "tokens") -> ET.Element:
    return ET.fromstring(pareto_svg(trade(points, cost)))


NAMED = [Point("bm25", 0.31, 10.0), Point("a<b>&\"c'", 0.52, 4000.0), Point("worse", 0.2, 2000.0)]


def test_it_is_an_image_with_a_title_and_a_description() -> None:
    root = drawn(NAMED)
    assert root.get("role") == "img"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text == "nDCG@10 against tokens/query"
    assert desc.text is not None
    assert "front, from the cheapest: bm25, a<b>&\"c'." in desc.text
    assert "worse: 0.2000 at 2000" in desc.text


def test_it_needs_no_script_no_network_and_no_colour() -> None:
    text = pareto_svg(trade(NAMED))
    assert "script" not in text
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(", text)
    assert text.count("currentColor") > 3
    ids = re.findall(r'id="([^"]+)"', pareto_svg(trade(NAMED), id="second"))
    assert ids == ["second-title", "second-desc"]


def test_the_front_is_a_line_of_filled_marks() -> None:
    root = drawn(NAMED)
    circles = root.findall(f"{SVG}circle")
    assert [circle.get("fill-opacity") for circle in circles] == [None, None, "0"]
    line = root.find(f"{SVG}polyline")
    assert line is not None
    places = [f"{circle.get('cx')},{circle.get('cy')}" for circle in circles]
    assert (line.get("points") or "").split() == places[:2]
    assert {"bm25", "a<b>&\"c'", "worse"} <= {text.text for text in root.iter(f"{SVG}text")}


def test_costs_of_different_sizes_stand_on_a_logarithmic_axis() -> None:
    across = [
        float(circle.get("cx") or 0)
        for circle in drawn([Point("a", 1, 1), Point("b", 2, 10), Point("c", 3, 100)]).findall(f"{SVG}circle")
    ]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)
    across = [
        float(circle.get("cx") or 0)
        for circle in drawn([Point("a", 1, 0), Point("b", 2, 50), Point("c", 3, 100)]).findall(f"{SVG}circle")
    ]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(1e-9, 1e12) | st.sampled_from([0.0, 5.0])),
        max_size=8,
    )
)
def test_every_mark_is_inside_among_a_few_ticks(pairs: list[tuple[float, float]]) -> None:
    points = [Point(f"pipeline {number}", *pair) for number, pair in enumerate(pairs)]
    root = drawn(points)
    circles = root.findall(f"{SVG}circle")
    assert len(circles) == len(points)
    for circle in circles:
        assert 64 <= float(circle.get("cx") or 0) <= 640 - 24
        assert 24 <= float(circle.get("cy") or 0) <= 400 - 52
    ticks = root.findall(f"{SVG}g/{SVG}path")
    assert 4 <= len(ticks) <= 24  # of both axes together
    ups = [float(circle.get("cy") or 0) for circle in circles]
    assert [up for _, up in sorted(zip([-p.effectiveness for p in points], ups, strict=True))] == sorted(ups)


def test_labels_do_not_cover_one_another_where_there_is_room() -> None:
    close = [Point("bm25", 0.50, 10.0), Point("dense", 0.502, 10.1), Point("far", 0.9, 20.0)]
    root = drawn(close)
    boxes = []
    for text in root.findall(f"{SVG}text"):
        if text.text in {"bm25", "dense", "far"}:
            left, base = float(text.get("x") or 0), float(text.get("y") or 0)
            boxes.append((left, base - 10, left + 6.6 * len(text.text or ""), base + 4))
    assert len(boxes) == 3
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_nothing_to_show() -> None:
    desc = drawn([]).find(f"{SVG}desc")
    assert desc is not None
    assert desc.text == "No pipeline has a known cost."
