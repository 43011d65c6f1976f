"""Units on several threads: everything is done once, errors are the first in order, results are the same bytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Session
from rankloom.errors import UsageError
from rankloom.eval import load_collection
from rankloom.parallel import completed
from rankloom.prf import RM3
from rankloom.retrieval import BM25
from rankloom.run_comparison import content


@given(units=st.lists(st.integers(), max_size=20), threads=st.integers(1, 5))
@settings(deadline=None, max_examples=50)
def test_every_unit_is_done_once(units, threads):
    done = list(completed(lambda unit: unit * 2, units, threads=threads))
    assert sorted(done) == sorted((unit, unit * 2) for unit in units)
    if threads == 1:
        assert [unit for unit, _ in done] == units


def test_units_run_side_by_side():
    barrier = threading.Barrier(3, timeout=10)  # breaks unless three threads are there at once
    assert len(list(completed(lambda _: barrier.wait(), range(3), threads=3))) == 3


@pytest.mark.parametrize(("threads", "units"), [(1, 3), (4, 1), (4, 4), (4, 0)])
def test_threads_that_begin_somehow_do_all(threads, units):
    begun = set()
    work = dict(
        completed(
            lambda _: threading.get_ident(),
            range(units),
            threads=threads,
            begin=lambda: begun.add(threading.get_ident()),
        )
    )
    assert len(work) == units
    assert set(work.values()) <= begun
    assert threading.get_ident() not in begun


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_error_in_order_is_raised_and_what_was_under_way_still_comes(threads):
    def work(unit):
        if unit in (2, 3):
            time.sleep(0.05 if unit == 2 else 0.0)  # the later one fails first
            raise ValueError(str(unit))
        return unit

    seen = []
    with pytest.raises(ValueError, match="2"):
        seen.extend(completed(work, range(4), threads=threads))
    again = []
    try:
        for unit, _ in completed(work, range(4), threads=threads):
            again.append(unit)
    except ValueError:
        pass
    assert set(again) == {0, 1}


@pytest.mark.parametrize("cached", [False, True])
def test_pipelines_give_the_same_bytes_on_any_number_of_threads(tmp_path: Path, cached: bool):
    mini = load_collection("mini")
    stage = BM25.of(mini.corpus)
    queries = {f"{query.id}-{copy}": query.text for copy in range(4) for query in mini.queries}  # four units and more
    runs = {}
    for threads in (1, 3):
        session = Session(cache=tmp_path / str(threads) if cached else None, threads=threads)
        runs[threads] = (stage >> RM3() >> stage).run(queries, session=session)
        again = (stage >> RM3() >> stage).run(queries, session=session)
        assert content(again) == content(runs[threads])
    assert content(runs[3]) == content(runs[1])
    assert runs[3].ledger.notes == runs[1].ledger.notes


def test_there_is_at_least_one_thread():
    with pytest.raises(UsageError, match="threads"):
        Session(threads=0)
