"""What can be wrong with an experiment file beyond its types, and how problems are told: file, line, nearest word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError, nearest
from rankloom.eval.costs import COSTS
from rankloom.eval.pruning import PRUNING
from rankloom.yaml_file import Locations, Place

if TYPE_CHECKING:
    from rankloom.eval.experiment_config import ExperimentConfig, Source

# Keys that one may look for here, and where the matter is settled.
_ELSEWHERE: Mapping[Place, str] = {
    ("session", "cache"): "; where results are kept is for each machine to say: `--cache`, or RANKLOOM_CACHE",
    ("session", "offline"): "; whether the network may be used is for each machine to say: `--offline`",
}
_NAME = re.compile(r"[\w+=.,@-]+")  # a file name and a word of a TREC run file on every platform


def inconsistencies(config: ExperimentConfig) -> Iterator[tuple[Place, str]]:
    """What types alone do not tell: where, and what."""
    yield from _bad_source(config.collection, ("collection",))
    rows: dict[str, Place] = {name: ("pipelines", name) for name in config.pipelines}
    for name in config.tuned_rows:
        if name in rows:
            yield ("tune", "among", name), f"{name!r} is a pipeline; give the tuned row a name of its own"
        rows.setdefault(name, ("tune", "among", name))
    if config.baseline not in rows and config.sweep is None:
        hint = _did_you_mean(config.baseline, list(rows)) or f"; there are {', '.join(rows)}"
        yield ("compare", "baseline"), f"the baseline {config.baseline!r} is not a pipeline{hint}"
    seen: dict[str, str] = {}
    for name, place in rows.items():
        if not _NAME.fullmatch(name) or name.startswith("."):
            yield place, f"{name!r} can not be a file name; use letters, digits and + - = . , @ _"
        if seen.setdefault(name.lower(), name) != name:
            yield place, f"{name!r} and {seen[name.lower()]!r} are one file on some systems"
    yield from _bad_measures(config)
    yield from _bad_tuning(config)
    yield from _bad_budget(config)


def _bad_budget(config: ExperimentConfig) -> Iterator[tuple[Place, str]]:
    """A budget that limits nothing, or money without prices."""
    budget = config.session.budget
    if budget is None:
        return
    if not budget.model_dump(exclude_none=True):
        yield ("session", "budget"), f"a budget needs a limit: {', '.join(type(budget).model_fields)}"
    if budget.money is not None and not config.prices:
        yield ("session", "budget", "money"), "a limit of money needs `prices`"


def _bad_source(source: Source, place: Place) -> Iterator[tuple[Place, str]]:
    """A collection that is named twice, or in part."""
    files = source.files.values()
    if (source.id is None) == (None in files) or (source.id and any(files)):
        yield place, "a collection is an `id` (and a `split`), or the files `corpus`, `queries` and `qrels`"


def _bad_tuning(config: ExperimentConfig) -> Iterator[tuple[Place, str]]:
    """Rows that can not be tuned; while there is a sweep, its pipelines are not known yet."""
    if config.tune is None:
        return
    if config.tune.collection is not None:
        yield from _bad_source(config.tune.collection, ("tune", "collection"))
    elif config.tune.settings == "chosen":
        yield ("tune", "settings"), "without a `collection` to choose on, all settings are measured on this one"
    if config.tune.choose and config.tune.among:
        yield ("tune", "choose"), "rows are named by `among`, or made by what the settings `choose`, not both"
    measure = config.tune.measure
    if measure is not None and measure not in config.effectiveness:
        hint = _did_you_mean(measure, config.effectiveness)
        yield ("tune", "measure"), f"{measure!r} is not among the measures of effectiveness{hint}"
    if config.sweep is not None:
        return
    if not config.tuned_rows:
        yield ("tune",), "there is nothing to choose from: sweep over two values or more, or name pipelines in `among`"
    for name, among in config.tuned_rows.items():
        if len(set(among)) < 2:
            yield ("tune", "among", name), f"{name!r} needs two pipelines or more to be chosen from"
        for unknown in sorted(set(among) - set(config.pipelines)):
            hint = _did_you_mean(unknown, list(config.pipelines))
            yield ("tune", "among", name), f"{unknown!r} is not a pipeline{hint}"


def _bad_measures(config: ExperimentConfig) -> Iterator[tuple[Place, str]]:
    """Measures that nothing computes, or that stand twice."""
    from rankloom.eval.measures import parse_measure

    for number, name in enumerate(config.measures):
        if name in config.measures[:number]:
            yield ("measures", number), f"the measure {name!r} stands twice"
        if name in COSTS or name in PRUNING:
            continue
        try:
            parse_measure(name)
        except ConfigError as error:
            own = [*PRUNING, *COSTS]
            yield ("measures", number), f"{error}; or one of {', '.join(own)}{_did_you_mean(name, own)}"
    if "money" in config.measures and not config.prices:
        yield ("measures", config.measures.index("money")), "the measure 'money' needs `prices`"
    if not config.effectiveness:
        yield ("measures",), "at least one measure must be of effectiveness, such as nDCG@10"


def bad_pipelines(config: ExperimentConfig, locations: Locations) -> list[str]:
    """What is wrong with pipelines; an error in a definition that several of them use stands once."""
    builder = PipelineBuilder(config.define, locations=locations)
    problems: dict[str, None] = {}
    for name, spec in config.pipelines.items():
        try:
            builder.check(spec, at=("pipelines", name))
        except ConfigError as error:
            problems[str(error)] = None
    return list(problems)


def joined(problems: list[str]) -> ConfigError:
    """One error that lists all problems."""
    if len(problems) == 1:
        return ConfigError(problems[0])
    return ConfigError(f"{len(problems)} problems in the configuration\n" + "\n".join(problems))


def described(problem: Any, locations: Locations, models: Mapping[str, type[BaseModel]]) -> str:
    """One problem that pydantic found, with its file and line.

    Args:
        problem: As pydantic tells it.
        locations: Where things stand in the file.
        models: Key of a part of the file -> its model; the whole under an empty key.
    """
    place = _in_file(tuple(problem["loc"]), locations)
    line = locations.where(place)
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        inside = next((one for one in ("range", "budget") if one in problem["loc"][:-1]), None)
        model = models[inside or (str(place[0]) if len(place) > 1 else "")]
        known = list(model.model_fields)
        hint = _did_you_mean(str(place[-1]), known) or f"; accepted: {', '.join(known)}"
        hint = _ELSEWHERE.get(place, hint)
        return f"{line}: unknown key {key!r}{hint}"
    if problem["type"] == "missing":
        return f"{line}: the key {key!r} is missing"
    message = problem["msg"].removesuffix(".").removeprefix("Value error, ")
    return f"{line}: {key}: {message}; got {problem['input']!r}"


def _in_file(place: Place, locations: Locations) -> Place:
    """Where something stands in the file, given where it stands in the models of a sweep, which know more levels."""
    if place[:2] != ("sweep", "over"):
        return place
    place = tuple(part for number, part in enumerate(place) if not (number == 3 and part in ("range", "values")))
    return place if ("sweep", "over") in locations.lines else (place[0], *place[2:])


def _did_you_mean(word: str, known: list[str]) -> str:
    """A hint at the nearest known word, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {close!r}?" if close else ""
