"""The values that a sweep goes through: a list, or a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from rankloom.errors import ConfigError
from rankloom.eval.strict import Strict

_FINE = 1000  # steps of a range of fractions that only ends are known of


class Range(Strict):
    """Numbers from `min` to `max`, both included. Whole numbers if all of `min`, `max` and `step` are.

    Args:
        min: The least.
        max: The largest; with a `step`, the largest that it reaches.
        step: Distance between two values.
        points: How many values, evenly spaced on the scale; in place of a step.
        scale: `linear`, or `log` for values whose ratio is even.
    """

    min: int | float
    max: int | float
    step: int | float | None = Field(default=None, gt=0)
    points: int | None = Field(default=None, ge=2)
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _consistent(self) -> Range:
        """Refuse ranges that hold nothing or say two things."""
        if not self.min < self.max or not math.isfinite(self.max - self.min):
            raise ValueError("`min` must be less than `max`, and both finite")
        if self.step is not None and (self.points is not None or self.scale == "log"):
            raise ValueError("a range has a `step`, or `points` on a scale, not both")
        if self.scale == "log" and self.min <= 0:
            raise ValueError("a range on the scale `log` must begin above 0")
        return self


def values_of(given: Sequence[Any] | Range, *, drawn: bool) -> list[Any]:
    """The values of a list or range, in order.

    A range without `step` and `points` holds all its whole numbers. One of fractions is only good to be drawn from
    and is then cut into 1,000 even steps; so is one of whole numbers on a log scale, where small numbers stand several
    times, which makes them as likely as they should be.

    Args:
        given: Of a sweep's `over`.
        drawn: Whether values are drawn from it, rather than gone through.

    Raises:
        ConfigError: A range of fractions without `step` or `points` can not be gone through.

    Example:
        >>> values_of(Range(min=0, max=1, step=0.25), drawn=False)
        [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> values_of(Range(min=1, max=100, points=3, scale="log"), drawn=False)
        [1, 10, 100]
    """
    if not isinstance(given, Range):
        return list(given)
    whole = not any(isinstance(number, float) for number in (given.min, given.max, given.step))
    if given.step is not None:
        count = math.floor((given.max - given.min) / given.step + 1e-9) + 1
        return [_rounded(given.min + number * given.step) for number in range(count)]
    if given.points is None and whole and given.scale == "linear":
        return list(range(int(given.min), int(given.max) + 1))
    if given.points is None and not drawn:
        raise ConfigError("a grid needs to know which values of a range to take", fix="add `step` or `points`")
    values = _spaced(given, given.points or _FINE + 1)
    values = [round(value) for value in values] if whole else values
    return values if drawn else list(dict.fromkeys(values))


def _spaced(given: Range, points: int) -> list[Any]:
    """Values evenly spaced on the scale of a range."""
    shares = [number / (points - 1) for number in range(points)]
    if given.scale == "linear":
        return [_rounded(given.min + share * (given.max - given.min)) for share in shares]
    ratio = given.max / given.min
    return [float(f"{given.min * ratio**share:.6g}") for share in shares]


def _rounded(number: float) -> float:
    """A number without the noise of adding up fractions."""
    return number if isinstance(number, int) else float(f"{number:.10g}")
