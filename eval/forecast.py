"""What an experiment may cost, before it runs: what each stage has to do, and what that took the last time.

How much there is to do is counted from the plan; it is exact for queries and a limit for pairs, for a list may be
shorter than its depth. Calls, tokens and seconds are estimates, from the ledger of an earlier run in the output folder:
what one unit of work has cost the same stage with the same model, whatever its other parameters. A stage that no run
has met stays unknown, and so does a model. Of a stage that sorts by asking a model the calls follow from its algorithm:
exactly, or the fewest and the most. What the cache holds costs nothing, which only the run itself can tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rankloom.errors import ConfigError
from rankloom.eval.costs import Price, price_of
from rankloom.eval.plan import PlannedStage
from rankloom.fusion_methods import METHODS
from rankloom.language_model_stage import LanguageModelStage
from rankloom.ledger import Cost
from rankloom.pipeline import Top
from rankloom.registry import stage_class
from rankloom.rerank.pair_stage import PairStage
from rankloom.rerank.sorting.reranker import SortingReranker
from rankloom.stage_schema import FUSIONS

_Key = tuple[str, str]  # of a stage and its model


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one distinct stage application may take.

    Args:
        stage: The stage in words.
        uses: How many pipelines need it.
        inputs: What it has to work through; at most, for pairs and for new queries; None if only the run can tell.
        unit: What that is counted in: `queries`, `pairs` of query and document, or `calls` of a model that is asked to
            sort.
        fewest: The fewest inputs, where the answers decide how many there are; None where that is not so.
        several: Whether it is asked by new queries that a stage around it makes, several for a query.
        calls: Estimated model calls; None if nothing is known of the stage, as for what follows.
        tokens: Estimated tokens.
        seconds: Estimated seconds.
        money: Estimated cost, where the stage has a price.
        prompts: Prompts for a language model at most, equal ones being asked once; None for a stage that asks none, or
            whose inputs tell.
    """

    stage: str
    uses: int
    inputs: int | None
    unit: str
    several: bool
    fewest: int | None = None
    calls: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    money: float | None = None
    prompts: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return asdict(self)


def forecast(
    stages: Iterable[PlannedStage],
    queries: int,
    *,
    earlier: Iterable[Cost] = (),
    prices: Mapping[str, Price] | None = None,
) -> tuple[Forecast, ...]:
    """What each stage of a plan may take; stages that only cut or fuse lists are left out.

    Args:
        stages: Of the plan.
        queries: How many will be run.
        earlier: What stages have spent before; see `earlier_costs`.
        prices: Stage or model -> price.
    """
    known = _sums(earlier)
    return tuple(
        _forecast(stage, queries, known, prices or {})
        for stage in stages
        if stage.word not in FUSIONS and stage.word != Top.name
    )


def earlier_costs(folder: Path) -> list[Cost]:
    """What the stages of an earlier run spent, from its output folder; nothing if there is no ledger to read."""
    try:
        pipelines = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))["pipelines"]
        costs = [Cost(**cost) for one in pipelines.values() for cost in one["costs"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return list({cost.lineage: cost for cost in costs}.values())


def forecast_lines(found: Sequence[Forecast], queries: int, *, source: Path | None) -> Iterator[str]:
    """A forecast in words.

    Args:
        found: Of `forecast`.
        queries: How many will be run.
        source: Folder of the run that the estimates come from; None if there is none.
    """
    told = "calls, tokens and seconds unknown: no earlier run" if source is None else f"estimates from {source}"
    yield f"{queries} queries; {told}; less what the cache holds"
    width = max((len(one.stage) for one in found), default=0)
    for one in found:
        most = "at most " if one.unit != "queries" or one.several else ""
        amounts = [f"{value:,.0f} {name}" for name, value in (("calls", one.calls), ("tokens", one.tokens)) if value]
        amounts += [] if one.seconds is None else [f"{one.seconds:,.1f} s"]
        amounts += [] if one.money is None else [f"{one.money:,.4f} in money"]
        amounts = [f"about {', '.join(amounts)}"] if amounts else []
        amounts = amounts if one.prompts is None else [f"at most {one.prompts:,} prompts", *amounts]
        count, most = ("an unknown number of", "") if one.inputs is None else (f"{one.inputs:,}", most)
        if one.fewest is not None and one.fewest != one.inputs:
            most = f"{one.fewest:,} to "
        yield "; ".join([f"  {one.stage:<{width}}  {most}{count} {one.unit}", *amounts])


def _forecast(stage: PlannedStage, queries: int, sums: Mapping[_Key, Cost], prices: Mapping[str, Price]) -> Forecast:
    """What one stage may take."""
    name, model = stage_class(stage.word).name, stage.model
    known = sums.get((name, model)) or sums.get((name, ""))  # learned sparse queries may need no model
    unit, fewest, most = _work(stage)
    times = None if stage.times is None else queries * stage.times
    inputs = None if times is None or most is None else times * most
    least = None if times is None or fewest is None else times * fewest
    several, prompts = stage.times != 1, _prompts(stage, inputs)
    plain = Forecast(stage.shown, stage.uses, inputs, unit, several=several, fewest=least, prompts=prompts)
    if known is None or inputs is None:
        return plain
    share = inputs / known.inputs
    calls, tokens, written = known.calls * share, known.tokens * share, known.written * share
    expected = Cost(name, calls=round(calls), tokens=round(tokens), written=round(written), model=model)
    price = price_of(prices, expected)
    money = None if price is None else price.of(expected)
    return replace(plain, calls=calls, tokens=tokens, seconds=known.seconds * share, money=money)


def _work(stage: PlannedStage) -> tuple[str, int | None, int | None]:
    """What a stage has to do for a query: the unit, the fewest where that is not all, and all."""
    kind = stage_class(stage.word)
    if issubclass(kind, SortingReranker):
        fewest, most = (None, None) if stage.hits is None else kind.calls(stage.given, stage.hits)
        return "calls", fewest, most
    pairs = _pairs(stage)
    return ("queries", None, 1) if pairs is None else ("pairs", None, pairs)


def _prompts(stage: PlannedStage, inputs: int | None) -> int | None:
    """Prompts that a stage has for a language model at most; None if it asks none, or only the run can tell."""
    found = stage_class(stage.word)
    prompts = found.most_prompts(stage.given) if issubclass(found, LanguageModelStage) else None
    return None if inputs is None or prompts is None else inputs * prompts


def _pairs(stage: PlannedStage) -> int | None:
    """Most documents of a query that a stage reads one by one; None if it works by query, or nothing limits it."""
    if not issubclass(stage_class(stage.word), PairStage):
        return None
    limits = [limit for limit in (stage.given.get("depth"), stage.hits) if limit is not None]
    return min(limits, default=None)


def _sums(costs: Iterable[Cost]) -> dict[_Key, Cost]:
    """What was computed by each stage and model, and what that took; nothing where the cache has answered alone."""
    sums: dict[_Key, Cost] = {}
    for cost in costs:
        computed = cost.inputs - cost.cached
        if computed <= 0 or cost.stage in METHODS:
            continue
        key = (cost.stage, cost.model)
        before = sums.get(key, Cost(cost.stage))
        sums[key] = Cost(
            cost.stage,
            inputs=before.inputs + computed,
            calls=before.calls + cost.calls,
            tokens=before.tokens + cost.tokens,
            written=before.written + cost.written,
            seconds=before.seconds + cost.seconds,
            model=cost.model,
        )
    return sums


def check_priced(prices: Mapping[str, Price], stages: Iterable[PlannedStage]) -> None:
    """Refuse a limit of money where a language model has no price: what it costs would count for nothing.

    Args:
        prices: Stage or model -> price.
        stages: Of the plan.

    Raises:
        ConfigError: Names the stage and the model.
    """
    for stage in stages:
        kind = stage_class(stage.word)
        if issubclass(kind, LanguageModelStage) and stage.model not in prices and kind.name not in prices:
            raise ConfigError(
                "money is limited, and nobody says what a language model costs",
                stage=kind.name,
                value=stage.model,
                fix=f"prices: {{{stage.model or kind.name}: {{input: ..., output: ...}}}}; {{}} for one that is free",
            )
