"""Measures of cost: computed from what was spent, unknown where nothing honest can be said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rankloom import Document, Session
from rankloom.corpus import Corpus
from rankloom.errors import ConfigError
from rankloom.eval.costs import (
    COSTS,
    LATENCIES,
    Price,
    Spending,
    check_prices,
    index_bytes,
    peak_memory,
    price_of,
    priceable,
)
from rankloom.eval.latency import Latency, Percentiles
from rankloom.fusion import rrf
from rankloom.ledger import Cost
from rankloom.prf import RM3
from rankloom.retrieval import BM25

SPENT = (
    Cost("bm25", "1", inputs=4, seconds=1.0),
    Cost("llm", "2", inputs=8, calls=8, tokens=4000, written=1000, seconds=3.0),
)
SPENDING = Spending(queries=4, costs=SPENT)


def value(name: str, spending: Spending) -> float | None:
    return COSTS[name].value(spending)


def corpus() -> Corpus:
    return Corpus.of([Document(f"d{number}", f"sky number {number}") for number in range(50)])


def test_what_was_spent_is_a_mean_over_queries() -> None:
    assert {name: value(name, SPENDING) for name in ("seconds", "tokens", "calls")} == {
        "seconds": 1.0,
        "tokens": 1000.0,
        "calls": 2.0,
    }
    assert value("queries_per_second", SPENDING) == 1.0
    assert value("queries_per_second", replace(SPENDING, from_cache=True)) is None
    assert value("queries_per_second", Spending(0, ())) is None


def test_money_is_tokens_and_calls_at_their_prices() -> None:
    assert value("money", SPENDING) is None
    prices = {"llm": Price(input=2.0, output=8.0, call=0.001)}
    by_hand = (3000 * 2.0 + 1000 * 8.0) / 1_000_000 + 8 * 0.001
    assert value("money", replace(SPENDING, prices=prices)) == pytest.approx(by_hand / 4)
    assert value("money", replace(SPENDING, prices={"bm25": Price(call=5.0)})) == 0  # it makes no calls


def test_the_price_of_a_model_goes_before_that_of_its_stage() -> None:
    prices = {"llm": Price(call=1.0), "large": Price(call=7.0)}
    assert price_of(prices, Cost("llm", model="small")) == prices["llm"]
    assert price_of(prices, Cost("llm", model="large")) == prices["large"]
    assert price_of(prices, Cost("bm25")) is None
    costs = (Cost("llm", "a", calls=2, model="small"), Cost("llm", "b", calls=1, model="large"))
    assert value("money", replace(SPENDING, prices=prices, costs=costs)) == pytest.approx((2 * 1.0 + 7.0) / 4)


def test_prices_of_stages_that_are_not_there_are_refused() -> None:
    check_prices({"llm": Price()}, ["bm25", "llm"])
    with pytest.raises(ConfigError, match=r"'lml'.*did you mean 'llm'"):
        check_prices({"lml": Price()}, ["bm25", "llm"])


def test_latencies_come_from_the_timing_pass_and_from_nothing_else() -> None:
    assert {"latency_p50", "latency_p95", "latency_p99"} == LATENCIES
    assert value("latency_p95", SPENDING) is None
    timed = replace(SPENDING, latency=Latency(5, 1, Percentiles(1.0, 2.0, 3.0), {}))
    assert [value(f"latency_p{level}", timed) for level in (50, 95, 99)] == [1.0, 2.0, 3.0]


def test_every_index_counts_once(tmp_path: Path) -> None:
    held = corpus()
    bm25 = BM25.of(held)
    other = BM25.build(held, tmp_path / "index", k1=2.0)
    # In memory or on disk: Arrow may hold a bit more for each string, for nulls that are not there.
    assert bm25.index_bytes == pytest.approx(other.index_bytes, rel=0.01)
    arrays = sum(file.stat().st_size for file in (tmp_path / "index").iterdir())
    assert 0.2 * arrays < bm25.index_bytes < arrays  # files have headers and padding besides
    again = bm25 >> RM3(docs=2, terms=3) >> bm25.at_depth(5)
    assert index_bytes(again) == bm25.index_bytes
    assert index_bytes(rrf(bm25, other)) == bm25.index_bytes + other.index_bytes
    assert list(priceable(rrf(again, other))) == ["rrf", "bm25", "rm3", "bm25", "bm25"]


def test_an_index_of_unknown_size_makes_the_sum_unknown() -> None:
    class Silent(BM25):
        index_bytes = None  # type: ignore[assignment]

    held = corpus()
    assert index_bytes(rrf(BM25.of(held), Silent.of(held))) is None
    assert index_bytes(RM3()) == 0


def test_peak_memory_never_falls() -> None:
    before = peak_memory()
    assert before is not None
    assert before > 10_000_000  # an interpreter with NumPy
    block = bytearray(before // 4)
    block[::4096] = b"x" * len(block[::4096])  # touch every page
    after = peak_memory()
    assert after is not None
    assert after >= before


def test_every_measure_says_what_it_is() -> None:
    for name, measure in COSTS.items():
        assert measure.name == name
        assert measure.what
        assert measure.shown(None) == "-"
        assert measure.header.startswith(name)
    assert COSTS["index_bytes"].shown(12345678) == "12345678"
    assert [name for name, measure in COSTS.items() if measure.better == "higher"] == ["queries_per_second"]


def test_a_price_is_not_negative() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Price(input=-1.0)


def test_a_session_without_its_cache_is_otherwise_the_same(tmp_path: Path) -> None:
    session = Session(cache=tmp_path, seed=3, offline=True).remembering()
    alone = session.uncached()
    assert (alone.cache, alone.memo, alone.seed, alone.offline) == (None, None, 3, True)
    assert session.cache is not None
    assert session.memo == {}
