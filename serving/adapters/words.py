"""Stages and sessions in the words of YAML, for hosts that write their pipelines to files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rankloom.errors import UsageError
from rankloom.extras import installed
from rankloom.pipeline import Pipeline
from rankloom.registry import stage_words
from rankloom.session import Session
from rankloom.stage import Stage

_IMPORTED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")
_SETTINGS = ("offline", "seed", "device", "dtype", "on_truncate", "threads")


def stage_in_words(stage: Stage) -> list[Any]:
    """The steps of a pipeline as `rankloom.config.PipelineBuilder` reads them, without parameters that are defaults.

    Raises:
        UsageError: A stage holds an index, a model or another object that no file can hold.

    Example:
        >>> from rankloom.rerank import BiEncoder
        >>> stage_in_words(BiEncoder(depth=50).top(5))
        [{'bi_encoder': {'depth': 50}}, {'top': {'k': 5}}]
    """
    return [_step(one) for one in (stage.stages if isinstance(stage, Pipeline) else (stage,))]


def session_in_words(session: Session) -> dict[str, Any]:
    """The settings of a session that are not the defaults, as its constructor takes them.

    Raises:
        UsageError: It has a budget, which is spent by all that share it.
    """
    if session.budget is not None:
        raise UsageError("a budget can not be written to a file", stage="Session", fix="give it after loading")
    usual = Session()
    told = {name: getattr(session, name) for name in _SETTINGS if getattr(session, name) != getattr(usual, name)}
    return told if session.cache is None else {"cache": str(session.cache.directory), **told}


def imported_by_words(spec: Any) -> list[str]:
    """What steps import: names of modules that are there and of what is taken from them, as `module.name`.

    Example:
        >>> imported_by_words([{"sentence_pruner": {"splitter": "json:loads"}}, {"top": 5}])
        ['json.loads']
    """
    if isinstance(spec, str):
        named = _IMPORTED.fullmatch(spec)
        return [spec.replace(":", ".")] if named and installed(named[1]) else []
    if isinstance(spec, Mapping):
        spec = [*spec, *spec.values()]
    return [name for one in spec for name in imported_by_words(one)] if isinstance(spec, Sequence) else []


def _step(stage: Stage) -> Any:
    """One step: its word, with what it is told."""
    kind = type(stage)
    full = f"{kind.__module__}:{kind.__qualname__}"
    word = next((word for word, target in stage_words().items() if target == full), full)
    usual = {name: one.default for name, one in inspect.signature(kind).parameters.items()}
    told = {name: value for name, value in stage.params().items() if value != usual[name]}
    for name, value in told.items():
        if not _plain(value):
            raise UsageError(
                f"its parameter {name} can not be written to a file",
                stage=stage.name,
                value=value,
                fix=f"give the adapter its pipeline in the words of YAML, such as [{{{stage.name}: {{...}}}}]",
            )
    return {word: told} if told else word


def _plain(value: object) -> bool:
    """Whether a value is one that YAML can hold."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and _plain(one) for name, one in value.items())
    return all(map(_plain, value)) if isinstance(value, list) else isinstance(value, str | int | float | None)
