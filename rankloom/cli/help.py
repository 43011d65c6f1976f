"""Help texts from docstrings, with examples that keep their lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

_KEEP_LINES = "\b\n"  # tells typer not to re-wrap the paragraph that follows


def help_of(function: Callable[..., Any]) -> str:
    """A function's docstring as the help of its verb."""
    return inspect.cleandoc(function.__doc__ or "").replace("Examples:\n", f"{_KEEP_LINES}Examples:\n")
