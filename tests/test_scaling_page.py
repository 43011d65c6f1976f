"""The page on sizes holds what its script computes, from figures that the results hold."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def script():
    spec = importlib.util.spec_from_file_location("sizing", ROOT / "benchmarks" / "sizing.py")
    module = sys.modules["sizing"] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes():
    sizing = script()
    assert sizing.PAGE.read_text(encoding="utf-8") == sizing.page_with(sizing.rendered(sizing.Plan()))


def test_measured_figures_stand_in_the_results():
    sizing, results = script(), (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for figure in sizing.FIGURES:
        assert figure.where.startswith("results.md, ")
        section = results.partition(f"# {figure.where.removeprefix('results.md, ')}\n")[2].partition("\n#")[0]
        assert f"{figure.value:,}" in section, figure


def test_twice_the_passages_take_twice_the_work():
    sizing = script()
    assert sizing.rate(sizing.BM25_RATE, 10**6) == sizing.BM25_RATE.value
    assert sizing.rate(sizing.BM25_RATE, 2 * 10**6) == sizing.BM25_RATE.value / 2
    plan = sizing.Plan(node_cores=10, node_memory=100, headroom=0.5, queries=1)
    assert sizing.nodes(10**9, 100, sizing.CODES_RATE, plan) == (2, "memory")  # 100 GB, 50 to a node
    busy = sizing.Plan(node_cores=1, node_memory=100, queries=870)
    assert sizing.nodes(10**7, 100, sizing.CODES_RATE, busy) == (10, "queries")
