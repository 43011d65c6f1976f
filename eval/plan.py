"""The plan of an experiment: which stages run, and which of them several pipelines share.

The plan is read off the configuration, before any index is built or model loaded. Two pipelines share a stage when
everything up to it is written the same, whether by name or in full. `eval/forecast.py` says what it may cost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rankloom.fingerprint import digest
from rankloom.fusion import Fuser
from rankloom.language_models import words as model_words
from rankloom.pipeline import Composition, Top
from rankloom.registry import stage_class
from rankloom.stage import Feedback, Retriever, Stage
from rankloom.stage_schema import FUSIONS, first_parameter, inner_parameters, located, parameters

_START = "start"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One distinct application of a stage.

    Args:
        word: Its word in YAML.
        given: All its parameters; paths as they were found.
        shown: The stage in words.
        hits: Most hits of a query that reach it; None if it starts from queries.
        left: Most hits of a query that it leaves; None if it leaves queries only.
        model: Name of its model as it is written, whatever path that was found at; empty if it has none.
        uses: How many pipelines need it.
        times: How many queries it has for each of the collection, where a stage around it asks several; None if only
            the run can tell.
    """

    word: str
    given: Mapping[str, Any]
    shown: str
    hits: int | None
    left: int | None
    model: str = ""
    uses: int = 1
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment is going to do.

    Args:
        pipelines: Name -> its stages, as they are written.
        total: Stage applications if every pipeline ran for itself.
        distinct: Stage applications that are left when shared prefixes run once.
        shared: Name -> how many of its stage applications another pipeline also needs.
        stages: The distinct applications, in the order in which they are first met.
    """

    pipelines: Mapping[str, str]
    total: int
    distinct: int
    shared: Mapping[str, int]
    stages: tuple[PlannedStage, ...] = ()

    def written_models(self) -> dict[str, str]:
        """Models as they were found -> as they are written."""
        return {_model_name(stage.given["model"]): stage.model for stage in self.stages if stage.model}

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return {
            "pipelines": dict(self.pipelines),
            "stage_applications": {"total": self.total, "distinct": self.distinct},
            "shared": dict(self.shared),
        }

    def lines(self) -> Iterator[str]:
        """The plan in words, a line for each pipeline."""
        yield (
            f"{len(self.pipelines)} pipelines, {self.total} stage applications, {self.distinct} after shared prefixes"
        )
        width = max(len(name) for name in self.pipelines)
        for name, stages in self.pipelines.items():
            shared = f"  [{self.shared[name]} shared]" if self.shared[name] else ""
            yield f"  {name:<{width}}  {stages}{shared}"
        for alike in self._alike():
            yield f"{' and '.join(alike)} are the same pipeline; a correction for many tests counts each"

    def _alike(self) -> list[list[str]]:
        """Names of pipelines that are written out alike."""
        names: dict[str, list[str]] = {}
        for name, stages in self.pipelines.items():
            names.setdefault(stages, []).append(name)
        return [some for some in names.values() if len(some) > 1]


def plan_of(pipelines: Mapping[str, Any], definitions: Mapping[str, Any], *, folder: Path = Path()) -> Plan:
    """The plan of pipelines that have been checked.

    Args:
        pipelines: Name -> steps, as in YAML.
        definitions: Name -> steps.
        folder: The folder of the file, from which relative paths are taken.
    """
    applications = {name: list(_applications(spec, definitions, _START, None)) for name, spec in pipelines.items()}
    places = {name: {place for place, _ in found} for name, found in applications.items()}
    users = Counter(place for found in places.values() for place in found)
    stages = {place: stage for found in applications.values() for place, stage in found}
    return Plan(
        pipelines={name: _shown(spec, definitions) for name, spec in pipelines.items()},
        total=sum(len(found) for found in applications.values()),
        distinct=len(users),
        shared={
            name: sum(users[one] > 1 for one in {place for place, _ in found}) for name, found in applications.items()
        },
        stages=tuple(
            replace(stage, uses=users[place], given=located(stage.word, stage.given, folder))
            for place, stage in stages.items()
        ),
    )


def _applications(
    spec: Any, definitions: Mapping[str, Any], before: str, hits: int | None, times: int | None = 1
) -> Iterator[tuple[str, PlannedStage]]:
    """Each stage applied, with a digest of it and of all stages before it."""
    for word, given in _steps(spec, definitions):
        inner = [name for name in inner_parameters(word) if given[name] is not None]
        told = _told(word, given, definitions)
        shown = f"{word}({told})" if told else word
        if word in FUSIONS:
            branches = [list(_applications(branch, definitions, before, hits, times)) for branch in given["inputs"]]
            for branch in branches:
                yield from branch
            options = {name: value for name, value in given.items() if name != "inputs"}
            before = digest(before, word, options, [branch[-1][0] for branch in branches])
            left: int | None = sum(branch[-1][1].left or 0 for branch in branches)
            hits = left
        elif inner:
            options = {name: value for name, value in given.items() if name not in inner}
            start, asked = digest(before, word, options), _product(times, stage_class(word).inner_queries(given))
            asking = [list(_applications(given[name], definitions, start, hits, asked)) for name in inner]
            for branch in asking:
                yield from branch
            before = digest(start, [branch[-1][0] for branch in asking])
            last, searches = asking[-1][-1][1].left, asking[-1][0][1].hits is None
            left = _product(last, stage_class(word).inner_queries(given)) if searches else last
        else:
            before = digest(before, word, repr(given))
            left = _left(word, given, hits)
        reach = None if word not in FUSIONS and issubclass(stage_class(word), Retriever) else hits
        name = _model_name(given.get("model"))
        yield before, PlannedStage(word, given, shown, reach, left, name, times=times)
        hits = left


def _model_name(written: Any) -> str:
    """What the ledger calls the model of a stage, as it is written."""
    return written if isinstance(written, str) else model_words.written_name(written)


def _product(*factors: int | None) -> int | None:
    """The product; None if a factor is not known."""
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def _left(word: str, given: Mapping[str, Any], hits: int | None) -> int | None:
    """Most hits of a query that a stage leaves, given how many reach it."""
    stage = stage_class(word)
    if issubclass(stage, Feedback):
        return hits if stage.leaves_ranking(given) else None
    if issubclass(stage, Retriever):
        return int(given["k"])
    if issubclass(stage, Top):
        depth = int(given["k"])
        return depth if hits is None else min(hits, depth)
    return hits


def _shown(spec: Any, definitions: Mapping[str, Any]) -> str:
    """The stages of a pipeline in words."""
    shown = []
    for word, given in _steps(spec, definitions):
        told = _told(word, given, definitions)
        shown.append(f"{word}({told})" if told else word)
    return " >> ".join(shown)


def _told(word: str, given: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The parameters of a step that are not the defaults, in words."""
    fields = parameters(word).model_fields
    parts = [_shown(branch, definitions) for branch in given.get("inputs", ())] if word in FUSIONS else []
    for name, value in given.items():
        if name in inner_parameters(word) and value is not None:
            parts.append(f"{name}={_shown(value, definitions)}")
        elif not (word in FUSIONS and name == "inputs") and (
            fields[name].is_required() or value != fields[name].default
        ):
            parts.append(f"{name}={value}")
    return ", ".join(parts)


def _steps(spec: Any, definitions: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Word and full parameters of each step, with names resolved and compositions written out."""
    if isinstance(spec, list):
        for step in spec:
            yield from _steps(step, definitions)
    elif isinstance(spec, str) and spec in definitions:
        yield from _steps(definitions[spec], definitions)
    else:
        word, given = (spec, None) if isinstance(spec, str) else next(iter(spec.items()))
        if not isinstance(given, Mapping):
            given = {} if given is None else {str(first_parameter(word)): given}
        checked = parameters(word).model_validate(dict(given))
        told = {name: getattr(checked, name) for name in type(checked).model_fields}
        if word not in FUSIONS and issubclass(composition := stage_class(word), Composition):
            yield from _steps(composition.steps(told, lambda part: _last(part, definitions)), definitions)
        else:
            yield word, told


def _last(spec: Any, definitions: Mapping[str, Any]) -> tuple[type[Stage], Mapping[str, Any]]:
    """The last stage of a pipeline, as its class and full parameters."""
    word, given = list(_steps(spec, definitions))[-1]
    return (Fuser if word in FUSIONS else stage_class(word)), given
