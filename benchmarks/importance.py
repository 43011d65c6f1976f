"""How long data importance takes: 10,000 queries x 100 items, K = 10, 1,000 sources; medians of 3.

python benchmarks/importance.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from rankloom.eval.importance import Tolerance, UtilityLists, importance, learn

QUERIES, DEPTH, K, SOURCES = 10_000, 100, 10, 1_000


def random_lists(*, useful: float | None) -> UtilityLists:
    """Lists of random sources; utilities are uniform, or 1 with a probability and else 0."""
    generator = np.random.default_rng(7)
    shape = (QUERIES, DEPTH)
    drawn = generator.random(shape)
    return UtilityLists(
        utilities=drawn if useful is None else (drawn < useful).astype(np.float64),
        sources=generator.integers(0, SOURCES, shape),
        mask=np.ones(shape, dtype=np.bool_),
        names=tuple(f"source{number}" for number in range(SOURCES)),
    )


def report(what: str, work: Callable[[], object], *, times: int = 3) -> None:
    """Print the median of some timings."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    shown = ", ".join(f"{one:.2f}" for one in seconds)
    sys.stdout.write(f"{what}: median {statistics.median(seconds):.2f} s of {shown}\n")


def main() -> None:
    """Time one gradient and a whole course of learning, exact and with a tolerance."""
    weights, tolerance = np.full(SOURCES, 0.5), Tolerance()
    for name, useful in (("uniform utilities", None), ("1% useful", 0.01)):
        lists = random_lists(useful=useful)
        exact, short = (importance(lists, weights, K, tolerance=one) for one in (None, tolerance))
        sys.stdout.write(
            f"{name}: mean depth {short.depths.mean():.1f} of {exact.depths.mean():.1f} with {tolerance}, "
            f"V {exact.value:.6f}, off by {abs(exact.value - short.value):.1e}, "
            f"gradient off by {np.abs(exact.gradient - short.gradient).max():.1e}\n"
        )
        report(f"{name}, exact gradient", partial(importance, lists, weights, K))
        report(f"{name}, truncated", partial(importance, lists, weights, K, tolerance=tolerance))
    report("1% useful, learn, 10 epochs, exact", partial(learn, lists, K, epochs=10))
    report("1% useful, learn, 10 epochs, truncated", partial(learn, lists, K, epochs=10, tolerance=tolerance))


if __name__ == "__main__":
    main()
