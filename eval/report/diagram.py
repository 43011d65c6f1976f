"""The diagram of a pipeline: stages as boxes, branches of a fusion side by side, and what pipelines share marked.

It is nested HTML lists, so that it wraps on a narrow screen and is read in order without a picture.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from rankloom.fingerprint import digest
from rankloom.fusion import Fuser
from rankloom.pipeline import Pipeline
from rankloom.stage import Stage

_START = "start"


@dataclass(frozen=True, slots=True)
class Box:
    """One application of a stage.

    Args:
        name: The stage's name.
        told: Its parameters that are not the defaults, as far as they are short.
        key: Digest of the stage and of all before it; equal keys are computed once.
        branches: The inputs of a fusion, or what the stage carries out inside itself.
    """

    name: str
    told: str
    key: str
    branches: tuple[tuple[Box, ...], ...] = ()


def boxes(stage: Stage, before: str = _START) -> tuple[Box, ...]:
    """The applications of a pipeline's stages, in order.

    Args:
        stage: A pipeline, or a single stage.
        before: Digest of what stands before it.
    """
    found = []
    for one in stage.stages if isinstance(stage, Pipeline) else (stage,):
        # a fusion passes its run on; what another stage carries out inside itself, it asks other queries
        start = before if isinstance(one, Fuser) else digest(before, one.fingerprint(), "inner")
        branches = tuple(boxes(inner, start) for inner in one.inner)
        before = digest(before, one.fingerprint())
        found.append(Box(one.name, _told(one), before, branches))
    return tuple(found)


def diagrams_html(pipelines: Mapping[str, Stage]) -> str:
    """The diagrams of some pipelines; a stage that several of them need says so.

    Args:
        pipelines: Name -> pipeline.
    """
    drawn = {name: boxes(pipeline) for name, pipeline in pipelines.items()}
    users = Counter(key for flow in drawn.values() for key in {box.key for box in _all(flow)})
    return "\n".join(
        f'<figure class="pipeline"><figcaption>{escape(name)}</figcaption>{_flow(flow, users)}</figure>'
        for name, flow in drawn.items()
    )


def _all(flow: Sequence[Box]) -> Iterator[Box]:
    """All boxes, those inside branches too."""
    for box in flow:
        yield box
        for branch in box.branches:
            yield from _all(branch)


def _flow(flow: Sequence[Box], users: Mapping[str, int]) -> str:
    """Boxes one after another."""
    return f'<ol class="flow">{"".join(f"<li>{_box(box, users)}</li>" for box in flow)}</ol>'


def _box(box: Box, users: Mapping[str, int]) -> str:
    """One box, its branches before it."""
    shared = users[box.key] > 1
    told = f'<span class="told">{escape(box.told)}</span>' if box.told else ""
    chip = f'<span class="shared">shared by {users[box.key]}</span>' if shared else ""
    kind = "box is-shared" if shared else "box"
    this = f'<div class="{kind}" data-key="{escape(box.key)}"><b>{escape(box.name)}</b>{told}{chip}</div>'
    if not box.branches:
        return this
    inputs = "".join(f"<li>{_flow(branch, users)}</li>" for branch in box.branches)
    return f'<div class="fusion"><ul class="branches">{inputs}</ul>{this}</div>'


def _told(stage: Stage) -> str:
    """The parameters that are not the defaults, where they are short: numbers, words, switches, lists of these."""
    defaults = {name: one.default for name, one in inspect.signature(type(stage)).parameters.items()}
    told = []
    for name, value in stage.params().items():
        parts = list(value) if isinstance(value, list | tuple) else [value]
        short = parts and all(isinstance(part, bool | int | float | str) for part in parts)
        if short and value != defaults.get(name) and value != stage.name:
            told.append(f"{name} {', '.join(map(_short, parts))}")
    return "; ".join(told)


def _short(value: object) -> str:
    """A value in few characters."""
    return f"{value:g}" if isinstance(value, float) else str(value)
