"""The plan of an experiment: which stages run, and which of them several pipelines share.

The plan is read off the configuration, before any index is built or model loaded. Two pipelines share a stage when
everything up to it is written the same, whether by name or in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rankloom.fingerprint import digest
from rankloom.stage_schema import FUSIONS, first_parameter, parameters

_START = "start"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment is going to do.

    Args:
        pipelines: Name -> its stages, as they are written.
        total: Stage applications if every pipeline ran for itself.
        distinct: Stage applications that are left when shared prefixes run once.
        shared: Name -> how many of its stage applications another pipeline also needs.
    """

    pipelines: Mapping[str, str]
    total: int
    distinct: int
    shared: Mapping[str, int]

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


def plan_of(pipelines: Mapping[str, Any], definitions: Mapping[str, Any]) -> Plan:
    """The plan of pipelines that have been checked.

    Args:
        pipelines: Name -> steps, as in YAML.
        definitions: Name -> steps.
    """
    applications = {name: list(_applications(spec, definitions, _START)) for name, spec in pipelines.items()}
    users = Counter(application for found in applications.values() for application in set(found))
    return Plan(
        pipelines={name: _shown(spec, definitions) for name, spec in pipelines.items()},
        total=sum(len(found) for found in applications.values()),
        distinct=len(users),
        shared={name: sum(users[one] > 1 for one in set(found)) for name, found in applications.items()},
    )


def _applications(spec: Any, definitions: Mapping[str, Any], before: str) -> Iterator[str]:
    """A digest for each stage applied: of the stage, and of all stages before it."""
    for word, given in _steps(spec, definitions):
        if word in FUSIONS:
            branches = [list(_applications(branch, definitions, before)) for branch in given["inputs"]]
            for branch in branches:
                yield from branch
            options = {name: value for name, value in given.items() if name != "inputs"}
            before = digest(before, word, options, [branch[-1] for branch in branches])
        else:
            before = digest(before, word, repr(given))
        yield before


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
        if not (word in FUSIONS and name == "inputs") and (fields[name].is_required() or value != fields[name].default):
            parts.append(f"{name}={value}")
    return ", ".join(parts)


def _steps(spec: Any, definitions: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Word and full parameters of each step, with names resolved."""
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
        yield word, {name: getattr(checked, name) for name in type(checked).model_fields}
