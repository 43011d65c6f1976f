"""The page on sizes holds what its script computes, from figures that the results hold."""

import importlib.util
import re
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
        whole = rf"(?<![\d.,]){re.escape(f'{figure.value:,}')}(?![\d]|[.,]\d)"  # not the end of a longer number
        assert re.search(whole, section), figure


def test_twice_the_passages_take_twice_the_work():
    sizing = script()
    assert sizing.rate(sizing.BM25_RATE, 10**6) == sizing.BM25_RATE.value
    assert sizing.rate(sizing.BM25_RATE, 2 * 10**6) == sizing.BM25_RATE.value / 2
    assert sizing.rate(sizing.SCAN_RATE, 4 * 10**5) == sizing.SCAN_RATE.value / 2  # measured at 200,000


def test_an_index_fits_one_node_or_asks_for_a_larger_one():
    sizing = script()
    plan = sizing.Plan(node_cores=1, node_memory=100, headroom=0.5, queries=870)
    assert sizing.node_memory(10**8, 100, plan) == 100
    assert sizing.node_memory(10**9, 100, plan) == 200  # 100 GB, and half of a node is free
    assert sizing.copies(10**7, sizing.CODES_RATE, plan) == 10
    assert sizing.milvus_nodes(10**8, plan) == 4  # 179.2 GB, 50 to a node
    billion = {row[1]: row for row in sizing.serving(sizing.Plan()) if row[0] == "1B"}
    assert billion["`ivf_pq`"][3] == "**230**"  # 174 GB do not fit 128
    assert billion["Milvus `hnsw`"][4] == "not measured"
