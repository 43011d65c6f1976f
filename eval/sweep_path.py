"""Dotted paths to the parameters of written pipelines, such as `rm3.terms` in `[bm25, {rm3: {docs: 10}}, bm25]`.

A path ends with a parameter; the words before it name the step. A step is called by its word (`rm3`), by the name of
its definition, or by its place in the list, from 0. Steps around it may be named too, from the outside in:
`hybrid.interpolate.bm25.k1`, or `hybrid.interpolate.0.k1` for the first branch; `text_prf.through.k1` for a stage that
another carries out. What is called by a name everywhere in the pipeline is changed everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankloom.stage_schema import FUSIONS, first_parameter, inner_parameters, parameters


@dataclass(slots=True)
class Step:
    """One step of a pipeline with definitions resolved.

    Args:
        word: The word of the stage or fusion.
        given: Its parameters as far as they are given; without `inputs`.
        around: Names of what it stands in, from the outside in.
        called: Names of the step itself.
        inputs: The branches of a fusion.
        inner: Parameters that hold steps -> these.
    """

    word: str
    given: dict[str, Any]
    around: tuple[str, ...]
    called: tuple[str, ...]
    inputs: list[list[Step]] = field(default_factory=list)
    inner: dict[str, list[Step]] = field(default_factory=dict)

    def goes_by(self, names: Sequence[str]) -> bool:
        """Whether the names lead to this step: the last is its own, the others stand around it in their order."""
        return _lead(names, (*self.around, *self.called), 0, len(self.around))

    def accepts(self) -> list[str]:
        """The parameters that can be set."""
        holding = ("inputs", *inner_parameters(self.word))
        return [name for name in parameters(self.word).model_fields if name not in holding]


def resolved(spec: Any, definitions: Mapping[str, Any]) -> list[Step]:
    """The steps of a pipeline that has been checked.

    Args:
        spec: A step or a list of steps, as in YAML.
        definitions: Name -> step or list of steps.
    """
    return list(_steps(spec, definitions, (), ()))


def written(steps: Sequence[Step]) -> list[Any]:
    """Steps as in YAML, with nothing left to be resolved."""
    found: list[Any] = []
    for step in steps:
        given = dict(step.given) | {name: written(steps) for name, steps in step.inner.items()}
        if step.inputs:
            given = {"inputs": [written(branch) for branch in step.inputs], **given}
        found.append({step.word: given} if given else step.word)
    return found


def targets(steps: Sequence[Step], path: Sequence[str]) -> list[tuple[Step, str]]:
    """The steps that a path leads to, each with the parameter.

    Args:
        steps: A resolved pipeline.
        path: Names of steps and then a parameter; the parameter may be left out where a bare value would do
            (`top` for `top.k`).
    """
    found: list[tuple[Step, str]] = []
    for step in every(steps):
        if len(path) > 1 and step.goes_by(path[:-1]) and path[-1] in step.accepts():
            found.append((step, path[-1]))
        elif step.goes_by(path) and (first := first_parameter(step.word)) is not None and first in step.accepts():
            found.append((step, first))
    return found


def every(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those inside other stages too."""
    for step in steps:
        yield step
        for branch in (*step.inputs, *step.inner.values()):
            yield from every(branch)


def paths(steps: Sequence[Step]) -> list[str]:
    """The short form of every path, for hints."""
    found = [f"{name}.{parameter}" for step in every(steps) for name in step.called for parameter in step.accepts()]
    return list(dict.fromkeys(path for path in found if not path[0].isdigit()))


def _lead(names: Sequence[str], chain: Sequence[str], start: int, own: int) -> bool:
    """Whether names occur in a chain in their order, the last of them from `own` on, and a number nowhere but next."""
    name, *rest = names
    for place in [start] if name.isdigit() else range(start, len(chain)):
        if place < len(chain) and chain[place] == name:
            if place >= own and not rest:
                return True
            if rest and _lead(rest, chain, place + 1, own):
                return True
    return False


def _steps(
    spec: Any, definitions: Mapping[str, Any], around: tuple[str, ...], called: tuple[str, ...]
) -> Iterator[Step]:
    """The steps of a spec; `called` are the names that it goes by so far."""
    if isinstance(spec, list) and len(spec) == 1:
        yield from _steps(spec[0], definitions, around, (*called, "0"))
    elif isinstance(spec, list):
        for number, one in enumerate(spec):
            yield from _steps(one, definitions, (*around, *called), (str(number),))
    elif isinstance(spec, str) and spec in definitions:
        yield from _steps(definitions[spec], definitions, around, (*called, spec))
    else:
        yield _step(spec, definitions, around, called)


def _step(spec: Any, definitions: Mapping[str, Any], around: tuple[str, ...], called: tuple[str, ...]) -> Step:
    """One step that is no definition."""
    word, given = (spec, None) if isinstance(spec, str) else next(iter(spec.items()))
    if not isinstance(given, Mapping):
        given = {} if given is None else {str(first_parameter(word)): given}
    step = Step(word, {name: value for name, value in given.items() if name != "inputs"}, around, (*called, word))
    for number, branch in enumerate(given.get("inputs", ()) if word in FUSIONS else ()):
        inside = (*around, *step.called)
        step.inputs.append(list(_steps(branch, definitions, inside, (str(number),))))
    for name in inner_parameters(word):
        if step.given.get(name) is not None:
            step.inner[name] = list(_steps(step.given.pop(name), definitions, (*around, *step.called), (name,)))
    return step
