"""Sweeps: one pipeline written down, many settings of it run.

A sweep maps paths into pipelines (`rm3.rm3.terms`) or definitions (`bm25.k1`) to values. Every pipeline that a path
leads into is replaced by one pipeline for each setting, before anything is checked or planned, so that a sweep has all
that pipelines have: shared prefixes run once, caching, resume, statistics.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from rankloom.errors import ConfigError, nearest
from rankloom.eval.strict import Strict
from rankloom.eval.sweep_path import Step, paths, resolved, targets, written
from rankloom.eval.sweep_values import Range, values_of
from rankloom.fingerprint import digest
from rankloom.yaml_file import Locations, Place

Method = Literal["grid", "random"]
#: One value of each path.
Setting = Mapping[str, Any]
_OPTIONS = frozenset({"over", "method", "samples", "seed"})
_NOT_IN_NAMES = re.compile(r"[^\w+=.@-]+")
_LONGEST_LABEL = 40  # characters of a value in a pipeline's name


def _form(value: Any) -> str:
    """Which of the two forms of `over` a value has."""
    return "range" if isinstance(value, Mapping | Range) else "values"


Values = Annotated[
    Annotated[list[Any], Field(min_length=1), Tag("values")] | Annotated[Range, Tag("range")], Discriminator(_form)
]


class Sweep(Strict):
    """What is varied, and how. A map without any of these keys is taken for `over`.

    Args:
        over: Path -> a list of values, or a `Range`.
        method: `grid` for every combination, `random` for `samples` of them.
        samples: How many settings are drawn; all of them if there are no more.
        seed: Of the draw; by default the session's.
    """

    over: dict[str, Values] = Field(min_length=1)
    method: Method = "grid"
    samples: int | None = Field(default=None, ge=1)
    seed: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_paths(cls, value: Any) -> Any:
        """A map of paths is `over`."""
        return {"over": value} if isinstance(value, Mapping) and not _OPTIONS & set(value) else value

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        """Samples belong to a random sweep."""
        if (self.samples is not None) != (self.method == "random"):
            raise ValueError("`samples` says how many settings `method: random` draws, and belongs to it alone")
        return self


@dataclass(frozen=True, slots=True)
class Expansion:
    """The pipelines of a sweep.

    Args:
        pipelines: Name -> steps, in the order of the pipelines they come from.
        settings: Name -> path -> value, for those that the sweep has made.
        groups: Swept pipeline -> the names of its settings.
        locations: Where things stand in the file; what the sweep has made stands where the sweep does.
    """

    pipelines: Mapping[str, Any]
    settings: Mapping[str, Setting]
    groups: Mapping[str, Sequence[str]]
    locations: Locations


def expand(
    pipelines: Mapping[str, Any],
    definitions: Mapping[str, Any],
    sweep: Sweep,
    *,
    seed: int = 7,
    locations: Locations | None = None,
) -> Expansion:
    """Replace each swept pipeline by its settings.

    Names are `PIPELINE,PARAMETER=VALUE,...`, with as much of a path before the parameter as tells two paths apart.

    Args:
        pipelines: Name -> steps, as in YAML, checked.
        definitions: Name -> steps.
        sweep: What is varied.
        seed: Of the draw, where the sweep names none.
        locations: Where things stand in the file, for errors.

    Raises:
        ConfigError: A path leads nowhere, a range can not be gone through, or a name would be taken twice. Names file,
            line and the nearest path.

    Example:
        >>> sweep = Sweep(over={"short.top": [3, 5]})
        >>> dict(expand({"short": ["bm25", {"top": 10}]}, {}, sweep).pipelines)
        {'short,top=3': ['bm25', {'top': {'k': 3}}], 'short,top=5': ['bm25', {'top': {'k': 5}}]}
    """
    where = locations or Locations()
    steps = {name: resolved(spec, definitions) for name, spec in pipelines.items()}
    routes = {path: _routes(path, steps, definitions, where) for path in sweep.over}
    axes = {path: _axis(path, sweep, where) for path in sweep.over}
    drawn = _drawn(axes, sweep, seed) if sweep.method == "random" else None
    found: dict[str, Any] = {}
    settings: dict[str, Setting] = {}
    groups: dict[str, list[str]] = {}
    for base, spec in pipelines.items():
        swept = {path: routes[path][base] for path in axes if base in routes[path]}
        made: dict[str, Any] = {base: spec}
        if swept:
            _check_apart(steps[base], swept, where)
            chosen = _distinct(_grid({path: axes[path] for path in swept}) if drawn is None else drawn, swept)
            groups[base] = _names(base, chosen)
            made = {}
            for name, setting in zip(groups[base], chosen, strict=True):
                made[name], settings[name] = _changed(spec, definitions, swept, setting), setting
        if taken := set(made) & set(found):
            raise ConfigError(f"{where.where(('sweep',))}: the sweep makes a pipeline that is there", value=min(taken))
        found |= made
    lines = dict(where.lines)
    lines.update({("pipelines", name): _line(where, setting) for name, setting in settings.items()})
    return Expansion(found, settings, groups, Locations(where.file, lines))


def tuned_groups(expansion: Expansion, chosen: Collection[str] | None) -> dict[str, list[str]]:
    """The settings of each swept pipeline, in groups that differ only in what is chosen.

    Args:
        expansion: Of the sweep.
        chosen: Paths; None for all.

    Returns:
        `PIPELINE,PARAMETER=VALUE,...` of what the settings of a group have in common -> their names.
    """
    groups: dict[str, list[str]] = {}
    for base, names in expansion.groups.items():
        kept = [path for path in expansion.settings[names[0]] if chosen is not None and path not in chosen]
        common = [{path: expansion.settings[name][path] for path in kept} for name in names]
        distinct = {repr(setting): setting for setting in common}
        rows = dict(zip(distinct, _names(base, list(distinct.values())), strict=True))
        for name, setting in zip(names, common, strict=True):
            groups.setdefault(rows[repr(setting)], []).append(name)
    return groups


def _routes(
    path: str, steps: Mapping[str, list[Step]], definitions: Mapping[str, Any], where: Locations
) -> dict[str, list[str]]:
    """The pipelines that a path leads into, each with the rest of the path from there.

    Raises:
        ConfigError: There are none.
    """
    pipeline = max((name for name in steps if path.startswith(f"{name}.")), key=len, default=None)
    if pipeline is not None and targets(steps[pipeline], rest := path[len(pipeline) + 1 :].split(".")):
        return {pipeline: rest}
    definition = max((name for name in definitions if path.startswith(f"{name}.")), key=len, default=None)
    if definition is not None:
        rest = [definition, *path[len(definition) + 1 :].split(".")]
        if found := {name: rest for name, held in steps.items() if targets(held, rest)}:
            return found
    known = [f"{name}.{rest}" for name, held in steps.items() for rest in paths(held)]
    known += [one for held in steps.values() for one in paths(held) if one.split(".")[0] in definitions]
    raise ConfigError(
        f"{where.where(_place(path, where))}: the path of a sweep leads to no parameter",
        value=path,
        accepted="PIPELINE.STEP.PARAMETER or DEFINITION.PARAMETER",
        fix=f"did you mean {close!r}?" if (close := nearest(path, known)) else None,
    )


def _check_apart(steps: Sequence[Step], routes: Mapping[str, Sequence[str]], where: Locations) -> None:
    """Refuse two paths to one parameter; one would silently undo the other."""
    owners: dict[tuple[int, str], str] = {}
    for path, route in routes.items():
        for step, parameter in targets(steps, route):
            other = owners.setdefault((id(step), parameter), path)
            if other != path:
                line = where.where(_place(path, where))
                raise ConfigError(f"{line}: two paths of a sweep lead to one parameter", value=(other, path))


def _axis(path: str, sweep: Sweep, where: Locations) -> list[Any]:
    """The values of one path."""
    try:
        return values_of(sweep.over[path], drawn=sweep.method == "random")
    except ConfigError as error:
        raise ConfigError(f"{where.where(_place(path, where))}: {path}: {error}") from None


def _grid(axes: Mapping[str, Sequence[Any]]) -> Iterator[Setting]:
    """Every combination, the last path changing fastest."""
    for combination in itertools.product(*axes.values()):
        yield dict(zip(axes, combination, strict=True))


def _drawn(axes: Mapping[str, Sequence[Any]], sweep: Sweep, seed: int) -> list[Setting]:
    """Distinct settings drawn at random, each path evenly from its values; all there are, if that is no more."""
    total = 1
    for values in axes.values():
        total *= len(set(map(repr, values)))
    wanted = sweep.samples or 1
    if total <= wanted:
        return _distinct(_grid(axes), axes)
    chance = random.Random(seed if sweep.seed is None else sweep.seed)  # noqa: S311  # not for secrets
    found: dict[str, Setting] = {}
    while len(found) < wanted:
        setting = {path: chance.choice(values) for path, values in axes.items()}
        found.setdefault(repr(setting), setting)
    return list(found.values())


def _distinct(settings: Iterator[Setting] | Sequence[Setting], swept: Mapping[str, Any]) -> list[Setting]:
    """Settings cut down to some paths, each once."""
    found = [{path: setting[path] for path in swept} for setting in settings]
    return list({repr(setting): setting for setting in found}.values())


def _changed(
    spec: Any, definitions: Mapping[str, Any], routes: Mapping[str, Sequence[str]], setting: Setting
) -> list[Any]:
    """A pipeline with one setting made."""
    steps = resolved(spec, definitions)
    for path, value in setting.items():
        for step, parameter in targets(steps, routes[path]):
            step.given[parameter] = value
    return written(steps)


def _names(base: str, settings: Sequence[Setting]) -> list[str]:
    """A name for each setting: readable, a file name, and unlike the others on every file system."""
    labels = _labels(list(settings[0]))
    names: dict[str, str] = {}
    for setting in settings:
        name = ",".join([base, *(f"{labels[path]}={_shown(value)}" for path, value in setting.items())])
        if name.lower() in names:
            name = f"{name},{digest(setting)[:6]}"
        names[name.lower()] = name
    return list(names.values())


def _labels(swept: Sequence[str]) -> dict[str, str]:
    """For each path the shortest end of it that no other has."""
    labels = {}
    for path in swept:
        parts = path.split(".")
        ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        others = [f".{other}" for other in swept if other != path]
        labels[path] = next(end for end in ends if not any(other.endswith(f".{end}") for other in others))
    return labels


def _shown(value: Any) -> str:
    """A value as a part of a file name."""
    text = str(value).lower() if value is None or isinstance(value, bool) else str(value)
    text = _NOT_IN_NAMES.sub("-", text).strip("-")
    return text if text and len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 7]}-{digest(value)[:6]}"


def _place(path: str, where: Locations) -> Place:
    """Where a path stands in the file: right under `sweep`, or under its `over`."""
    return ("sweep", path) if ("sweep", path) in where.lines else ("sweep", "over", path)


def _line(where: Locations, setting: Setting) -> int:
    """The line of the first path of a setting; 1 where lines are not known."""
    places = (_place(path, where) for path in setting)
    return next((where.lines[place] for place in places if place in where.lines), where.lines.get(("sweep",), 1))
