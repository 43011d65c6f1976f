"""What can be found out about a stage from outside; `rankloom.testing` asks it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from rankloom.errors import RankloomError, StageError
from rankloom.stage import Stage

HEAVY: tuple[str, ...] = ("torch", "transformers", "sentence_transformers", "faiss", "tensorflow", "jax")
_SECONDS = 300.0  # for a fresh process to make one stage
_DESCRIBE = "from rankloom.stage_probe import describe; describe()"


def variants(stage: Stage) -> Iterator[tuple[str, Stage]]:
    """Copies of a stage, each with one parameter changed.

    Switches, numbers and named choices are changed, where the constructor takes the change.

    Returns:
        Pairs of the parameter's name and the changed stage.

    Example:
        >>> from rankloom.pipeline import Top
        >>> [(name, stage.k) for name, stage in variants(Top(5))]
        [('k', 6)]
    """
    signature = inspect.signature(type(stage).__init__, eval_str=True)
    for name, value in stage.params().items():
        for other in _other_values(value, signature.parameters[name].annotation):
            try:
                changed = stage.replace(**{name: other})
            except RankloomError:
                continue
            yield name, changed
            break


def in_another_process(maker: type) -> dict[str, Any]:
    """What a fresh process with another hash seed finds of the stage that `maker().make_stage()` makes.

    Args:
        maker: A class of a module that a fresh process can import; not one defined in a function.

    Returns:
        `fingerprint`, and `loaded`: the model libraries that making the stage has imported.

    Raises:
        StageError: The process fails; shows what it wrote to its standard error.
    """
    root = Path(inspect.getfile(maker)).resolve().parents[maker.__module__.count(".")]
    return _told(str(root), maker.__module__, maker.__qualname__)


@cache
def _told(root: str, module: str, qualified_name: str) -> dict[str, Any]:
    """What `describe` writes in a fresh process; one process answers all checks of a class."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    command = [sys.executable, "-c", _DESCRIBE, module, qualified_name]
    done = subprocess.run(  # noqa: S603  # runs this Python on the tests' own file
        command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        raise StageError(
            f"can not be made in a fresh process:\n{done.stderr}",
            stage=qualified_name,
            fix="let make_stage work outside pytest, or set own_process = False",
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def describe() -> None:
    """Make the stage named by the arguments of the process and write what there is to see; see `in_another_process`."""
    module, qualified_name = sys.argv[1:]
    maker: Any = import_module(module)
    for name in qualified_name.split("."):
        maker = getattr(maker, name)
    before = set(sys.modules)
    stage: Stage = maker().make_stage()
    loaded = [name for name in HEAVY if name in sys.modules and name not in before]
    sys.stdout.write("\n" + json.dumps({"fingerprint": stage.fingerprint(), "loaded": loaded}) + "\n")


def _other_values(value: object, annotation: object) -> list[object]:
    """Values that a parameter could have instead."""
    others: list[object] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1]
    elif isinstance(value, float):
        others = [value / 2, value + 0.25]
    elif get_origin(annotation) is Literal:
        others = list(get_args(annotation))
    return [other for other in others if other != value]
