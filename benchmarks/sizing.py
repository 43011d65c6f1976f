"""What 10 million, 100 million and a billion passages take, extrapolated from what was measured at a million or less.

python benchmarks/sizing.py                         # the tables of docs/scaling.md
python benchmarks/sizing.py --write                 # into the page
python benchmarks/sizing.py --core-hour 0.03 --gb-month 0.08 --node-cores 32 --node-memory 256
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- benchmarks/sizing.py: begin -->", "<!-- benchmarks/sizing.py: end -->"
SIZES = {"10M": 10**7, "100M": 10**8, "1B": 10**9}
DIMENSIONS = 384


@dataclass(frozen=True)
class Measured:
    """A figure that was measured, and where it stands; a rate also with the number of passages it was measured at."""

    name: str
    value: float
    unit: str
    where: str
    at: int = 10**6


_BM25 = "results.md, BM25 at a million passages"
_APPROXIMATE = "results.md, Approximate search"
_EXACT = "results.md, Exact search"
TEXT = Measured("text of a passage", 412, "bytes", _BM25)
ENCODED = Measured("passages encoded, bfloat16, two cores", 39.8, "a second", "results.md, Encoding")
BM25_DISK = Measured("BM25 index, a passage", 118, "bytes", _BM25)
BM25_SECONDS = Measured("BM25 indexing, a million passages, a core", 24, "seconds", _BM25)
BM25_RATE = Measured("BM25 queries at a million passages, k=10, a core", 1833, "a second", _BM25)
SCAN_MEMORY = Measured("`exact_int8`, what a scan reads of a vector", 396, "bytes", _EXACT)
SCAN_RATE = Measured(
    "`exact_int8` queries at 200,000 vectors, batches, k=10, a core", 1468, "a second", _EXACT, 200_000
)
FLAT_MEMORY = Measured("FAISS `flat`, resident, a vector", 1507, "bytes", _APPROXIMATE)
FLAT_RATE = Measured("FAISS `flat` queries at a million vectors, batches, a core", 15, "a second", _APPROXIMATE)
CODES_MEMORY = Measured("`ivf_pq`, resident, a vector", 174, "bytes", _APPROXIMATE)
CODES_DISK = Measured("`ivf_pq`, own files, a vector", 116, "bytes", _APPROXIMATE)
CODES_RATE = Measured(
    "`ivf_pq` with `rescore` 200, queries at a million vectors, a core", 870, "a second", _APPROXIMATE
)
FIGURES = (
    TEXT, ENCODED, BM25_DISK, BM25_SECONDS, BM25_RATE, SCAN_MEMORY, SCAN_RATE, FLAT_MEMORY, FLAT_RATE,
    CODES_MEMORY, CODES_DISK, CODES_RATE,
)  # fmt: skip
#: Bytes of a vector in Milvus' `hnsw`: its numbers and some 64 links. Arithmetic: no cluster was measured.
MILVUS_MEMORY = DIMENSIONS * 4 + 256


@dataclass(frozen=True)
class Plan:
    """What the reader decides. The prices are round numbers to show the formula, not anybody's offer.

    Args:
        node_cores: Processors of a node.
        node_memory: Its memory in GB; `headroom` of it stays free.
        headroom: Share of the memory that is not used for indexes.
        hours: How long encoding may take.
        queries: Queries a second to be answered.
        core_hour: Price of a processor for an hour.
        gb_month: Price of a GB of disk for a month.
    """

    node_cores: int = 16
    node_memory: float = 128
    headroom: float = 0.25
    hours: float = 24
    queries: float = 50
    core_hour: float = 0.05
    gb_month: float = 0.10


def rate(measured: Measured, passages: int) -> float:
    """Queries a second of one core: work grows with the passages, as does everything that is scanned."""
    return measured.value * measured.at / passages


def node_memory(passages: int, memory: float, plan: Plan) -> float:
    """GB of a node that holds an index whole: the plan's, or more where that is too small."""
    return max(plan.node_memory, passages * memory / 1e9 / (1 - plan.headroom))


def copies(passages: int, speed: Measured, plan: Plan) -> int:
    """How many nodes answer the queries, each with the whole index: one index is not spread over nodes."""
    return math.ceil(plan.queries / (rate(speed, passages) * plan.node_cores))


def milvus_nodes(passages: int, plan: Plan) -> int:
    """How many of Milvus' query nodes hold an `hnsw` index between them."""
    return math.ceil(passages * MILVUS_MEMORY / 1e9 / (plan.node_memory * (1 - plan.headroom)))


def work(plan: Plan) -> list[list[str]]:
    """What making the indexes takes."""
    rows = [["passages", "text, GB", "encoding, core hours", f"nodes for {plan.hours:g} h", "BM25, core hours",
             "BM25, GB", "vectors, GB", "`ivf_pq` files, GB"]]  # fmt: skip
    for name, passages in SIZES.items():
        hours = 2 * passages / ENCODED.value / 3600  # of one core
        rows.append([
            name,
            shown(passages * TEXT.value / 1e9),
            shown(hours),
            shown(math.ceil(hours / plan.hours / plan.node_cores)),
            shown(passages / 1e6 * BM25_SECONDS.value / 3600),
            shown(passages * BM25_DISK.value / 1e9),
            shown(passages * DIMENSIONS * 4 / 1e9),
            shown(passages * CODES_DISK.value / 1e9),
        ])  # fmt: skip
    return rows


def serving(plan: Plan) -> list[list[str]]:
    """What answering queries takes."""
    rows = [["passages", "engine", "in memory, GB", "a node's memory, GB", "queries/s, a core", "nodes"]]
    engines = (
        ("BM25", BM25_DISK, BM25_RATE),
        ("`exact_int8`", SCAN_MEMORY, SCAN_RATE),
        ("FAISS `flat`", FLAT_MEMORY, FLAT_RATE),
        ("`ivf_pq`", CODES_MEMORY, CODES_RATE),
    )
    for name, passages in SIZES.items():
        for engine, memory, speed in engines:
            held, node = shown(passages * memory.value / 1e9), node_memory(passages, memory.value, plan)
            size = f"{plan.node_memory:g}" if node == plan.node_memory else f"**{shown(node)}**"
            answered = shown(rate(speed, passages))
            rows.append([name, engine, held, size, answered, shown(copies(passages, speed, plan))])
        held = shown(passages * MILVUS_MEMORY / 1e9)
        spread = f"{shown(milvus_nodes(passages, plan))} for memory"
        rows.append([name, "Milvus `hnsw`", held, f"{plan.node_memory:g}", "not measured", spread])
    return rows


def costs(plan: Plan) -> list[list[str]]:
    """What it costs at the plan's prices: encoding once, then disk and the nodes of `ivf_pq` for a month."""
    rows = [["passages", "encoding, once", "disk, a month", "nodes for `ivf_pq`, a month"]]
    for name, passages in SIZES.items():
        hours = 2 * passages / ENCODED.value / 3600  # of one core
        disk = passages * (TEXT.value + BM25_DISK.value + DIMENSIONS * 4 + CODES_DISK.value) / 1e9
        larger = node_memory(passages, CODES_MEMORY.value, plan) / plan.node_memory  # and dearer by as much
        month = copies(passages, CODES_RATE, plan) * larger * plan.node_cores * 730 * plan.core_hour
        rows.append([name, shown(hours * plan.core_hour), shown(disk * plan.gb_month), shown(month)])
    return rows


def shown(value: float) -> str:
    """Two digits that mean something; more would not be known."""
    if value >= 10:
        digits = 1 - math.floor(math.log10(value))
        return f"{round(value, digits):,.0f}"
    return f"{value:.2g}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown; the first is the header."""
    lines = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rendered(plan: Plan) -> str:
    """All tables."""
    figures = [["measured", "figure", "unit", "where"]]
    figures += [[one.name, f"{one.value:g}", one.unit, one.where] for one in FIGURES]
    fleet = f"nodes of {plan.node_cores} cores and {plan.node_memory:g} GB, a quarter of it free"
    fleet = fleet if plan.headroom == 0.25 else f"{fleet.rpartition(',')[0]}, {plan.headroom:.0%} of it free"
    prices = f"{plan.core_hour:g} for a core hour and {plan.gb_month:g} for a GB of disk and month"
    return "\n\n".join([
        "### What was measured",
        table(figures),
        "### Making the indexes (extrapolated)",
        f"On {fleet}:",
        table(work(plan)),
        "### Answering queries (extrapolated)",
        f"{plan.queries:g} queries a second, on {fleet}:",
        table(serving(plan)),
        "### Cost (extrapolated)",
        f"At {prices} (round numbers in no currency, not an offer; put in your own):",
        table(costs(plan)),
    ])  # fmt: skip


def page_with(tables: str) -> str:
    """The page with these tables."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Print the tables, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/scaling.md, with the default plan")
    default = Plan()
    for name in Plan.__dataclass_fields__:
        value = getattr(default, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    if options.pop("write"):
        PAGE.write_text(page_with(rendered(default)), encoding="utf-8")
    else:
        print(rendered(Plan(**options)))


if __name__ == "__main__":
    main()
