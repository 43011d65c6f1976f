"""Measures of cost, each declared once: what stands beside nDCG when pipelines are compared.

Costs differ from run to run and from machine to machine. They stand in the ledger, the manifest, the printed table and
the report, never in the result files, which keep the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rankloom.errors import ConfigError, nearest
from rankloom.eval.latency import Latency
from rankloom.eval.pushdown import retrievers
from rankloom.ledger import Cost, Ledger
from rankloom.pipeline import Pipeline
from rankloom.stage import Retriever, Stage


class Price(BaseModel):
    """What a stage costs in money, in any one currency.

    Args:
        input: For a million tokens read.
        output: For a million tokens written.
        call: For a call.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)
    call: float = Field(default=0.0, ge=0)

    def of(self, cost: Cost) -> float:
        """What a cost comes to.

        >>> Price(input=0.5, output=2.0).of(Cost("llm", tokens=1_500_000, written=500_000))
        1.5
        """
        read = cost.tokens - cost.written
        return (self.input * read + self.output * cost.written) / 1_000_000 + self.call * cost.calls


@dataclass(frozen=True, slots=True)
class Spending:
    """All that measures of cost are computed from, for one pipeline.

    Args:
        queries: How many were run.
        costs: What its stages spent on them this time.
        from_cache: Whether anything came from a cache, so that less was spent than a first run spends.
        index_bytes: Of the indexes it searches; None if one of its retrievers does not know.
        prices: Stage -> price. A stage without one is free.
        latency: How long single queries took; None if they were not timed.
        peak_memory: Largest resident memory of the process so far, in bytes; None if the system does not tell.
    """

    queries: int
    costs: tuple[Cost, ...]
    from_cache: bool = False
    index_bytes: int | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    latency: Latency | None = None
    peak_memory: int | None = None

    def per_query(self, amount: Callable[[Cost], float]) -> float:
        """The mean over queries of an amount that every stage has spent."""
        return sum(map(amount, self.costs)) / max(1, self.queries)


@dataclass(frozen=True, slots=True)
class CostMeasure:
    """A measure of cost.

    Args:
        name: Its word in YAML.
        unit: What it is counted in.
        what: What it says, for people.
        value: Computes it; None where it is not known.
        better: Whether less or more of it is better.
        depends_on_cache: Whether results from the cache make it smaller than a first run's.
        digits: How a value is shown, as Python formats numbers.
    """

    name: str
    unit: str
    what: str
    value: Callable[[Spending], float | None]
    better: Literal["lower", "higher"] = "lower"
    depends_on_cache: bool = False
    digits: str = ".4g"

    @property
    def header(self) -> str:
        """A column head, such as `tokens/query` or `latency_p95 (ms)`."""
        return f"{self.name}/query" if self.unit.endswith("a query") else f"{self.name} ({self.unit})"

    def shown(self, value: float | None) -> str:
        """A value in few digits; `-` where it is not known."""
        return "-" if value is None else format(value, self.digits)


def price_of(prices: Mapping[str, Price], cost: Cost) -> Price | None:
    """The price of what was spent: that of its model, else that of its stage; None if neither has one."""
    return prices.get(cost.model) or prices.get(cost.stage)


def _money(spending: Spending) -> float | None:
    """Money a query; None without prices."""
    free = Price()
    priced = spending.per_query(lambda cost: (price_of(spending.prices, cost) or free).of(cost))
    return priced if spending.prices else None


def _throughput(spending: Spending) -> float | None:
    """Queries a second; None where the cache answered."""
    seconds = spending.per_query(lambda cost: cost.seconds)
    return None if spending.from_cache or not seconds else 1 / seconds


def _percentile(level: Literal["p50", "p95", "p99"]) -> CostMeasure:
    """The measure of one percentile of latency."""
    return CostMeasure(
        f"latency_{level}",
        "ms",
        f"time of one query from start to end, {level[1:]}th percentile of a sample run one by one without a cache",
        lambda spending: None if spending.latency is None else float(getattr(spending.latency.whole, level)),
    )


#: All measures of cost by name.
COSTS: Mapping[str, CostMeasure] = {
    measure.name: measure
    for measure in (
        CostMeasure(
            "seconds",
            "s a query",
            "wall-clock time of the batch, divided by its queries",
            lambda spending: spending.per_query(lambda cost: cost.seconds),
            depends_on_cache=True,
        ),
        CostMeasure(
            "tokens",
            "tokens a query",
            "tokens that models read and wrote",
            lambda spending: spending.per_query(lambda cost: cost.tokens),
            depends_on_cache=True,
        ),
        CostMeasure(
            "calls",
            "calls a query",
            "model calls: batches of an encoder, requests to a language model",
            lambda spending: spending.per_query(lambda cost: cost.calls),
            depends_on_cache=True,
        ),
        CostMeasure("money", "money a query", "tokens and calls at the prices given", _money, depends_on_cache=True),
        CostMeasure(
            "queries_per_second",
            "1/s",
            "queries divided by the wall-clock time of the batch; not known where the cache answered",
            _throughput,
            better="higher",
        ),
        _percentile("p50"),
        _percentile("p95"),
        _percentile("p99"),
        CostMeasure(
            "index_bytes",
            "bytes",
            "size of the indexes searched, each counted once, texts of documents not included",
            lambda spending: spending.index_bytes,
            digits=".0f",
        ),
        CostMeasure(
            "peak_memory",
            "bytes",
            "largest resident memory of the process until the pipeline was done; pipelines before it count, too",
            lambda spending: spending.peak_memory,
            digits=".0f",
        ),
    )
}
#: Measures for which queries must be timed one by one.
LATENCIES = frozenset(name for name in COSTS if name.startswith("latency_"))


def index_bytes(pipeline: Stage) -> int | None:
    """Bytes of all indexes that a pipeline searches, each counted once; None if a retriever does not know its own."""
    indexes: dict[int, Retriever] = {id(getattr(one, "index", one)): one for one in retrievers(pipeline)}
    sizes = [retriever.index_bytes for retriever in indexes.values()]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def priceable(stage: Stage) -> Iterator[str]:
    """Names of all stages of a pipeline, and of their models, those inside other stages too."""
    for one in stage.stages if isinstance(stage, Pipeline) else (stage,):
        yield one.name
        if one.model_name:
            yield one.model_name
        for branch in one.inner:
            yield from priceable(branch)


def with_models(ledger: Ledger, names: Mapping[str, str]) -> Ledger:
    """A ledger whose costs name models otherwise, as an experiment's file writes them where it is read from anywhere.

    Args:
        ledger: What was spent.
        names: Name of a model -> what to call it; others keep theirs.
    """
    costs = tuple(replace(cost, model=names.get(cost.model, cost.model)) for cost in ledger.costs)
    return replace(ledger, costs=costs)


def peak_memory() -> int | None:
    """The largest resident memory that this process has had so far, in bytes; None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check_prices(prices: Mapping[str, Price], names: Iterable[str]) -> None:
    """Refuse a price of a stage or model that no pipeline has; it would count for nothing without a word.

    Args:
        prices: Stage or model -> price.
        names: Of the stages and models that there are; see `priceable`.

    Raises:
        ConfigError: Names the nearest of them.
    """
    known = sorted(set(names))
    for name in prices:
        if name not in known:
            close = nearest(name, known)
            raise ConfigError(
                "a price for a stage or model that no pipeline has",
                stage="prices",
                value=name,
                accepted=", ".join(known),
                fix=f"did you mean {close!r}?" if close else None,
            )
