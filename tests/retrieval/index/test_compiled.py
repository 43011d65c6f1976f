"""Compiling is told once and kept on disk."""

import subprocess
import sys

import pytest

SEARCH = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("numba").setLevel(logging.WARNING)
from rankloom.retrieval import BM25Scoring, ImpactIndex
index = ImpactIndex.of(["d1"], [{"sky": 1}])
assert BM25Scoring(index, k1=0.9, b=0.4).search([{"sky": 1.0}], 5).codes.tolist() == [0]
"""


@pytest.mark.slow
def test_the_first_process_compiles_and_says_so_the_next_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    told = [
        subprocess.run([sys.executable, "-c", SEARCH], capture_output=True, text=True, check=True).stderr
        for _ in range(2)
    ]
    assert "compiled the kernels for searching in" in told[0]
    assert told[1] == ""
    assert list(tmp_path.rglob("*.nbc"))
