"""Checks of what BM25 is told about fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from rankloom.checks import between
from rankloom.errors import UsageError, nearest
from rankloom.retrieval.index.impact_index import ImpactIndex

_log = logging.getLogger("rankloom")
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-6, 1e6


def checked_weights(fields: Any, *, stage: str) -> dict[str, float]:
    """Fields and their weights, if they are.

    Raises:
        UsageError: No field, or a weight that is not above 0.
    """
    if not isinstance(fields, Mapping) or not fields:
        raise UsageError(
            "fields need weights", stage=stage, value=fields, accepted="a map such as {title: 2.0, text: 1.0}"
        )
    low, high = _LEAST_WEIGHT, _LARGEST_WEIGHT
    return {
        name: between(weight, low, high, stage=stage, parameter=f"the weight of the field {name!r}")
        for name, weight in fields.items()
    }


def field_names(fields: Any, *, stage: str) -> list[str]:
    """The names of fields, in order; none where there are no fields.

    Raises:
        UsageError: As for `checked_weights`.
    """
    return [] if fields is None else sorted(checked_weights(fields, stage=stage))


def warn_of_empty(index: ImpactIndex, *, stage: str) -> None:
    """Tell the log which fields of a new index are empty in all documents: their weights change nothing."""
    filled = index.document_frequencies(index.fields).tolist()
    for name, count in zip(index.fields, filled, strict=True):
        if not count:
            _log.warning("%s: no document has a term in the field %r", stage, name)


def checked_lengths(field_b: Any, fields: Any, *, stage: str) -> dict[str, float]:
    """`b` by field, if each is one of the fields.

    Raises:
        UsageError: Another field, or a value that is not from 0 to 1.
    """
    if not isinstance(field_b, Mapping):
        raise UsageError("field_b is no map", stage=stage, value=field_b, accepted="a map such as {title: 0.3}")
    for name in field_b:
        if name not in (fields or {}):
            raise _unknown(name, list(fields or {}), "field_b names a field that is not among fields", stage=stage)
    return {
        name: between(b, 0.0, 1.0, stage=stage, parameter=f"b of the field {name!r}") for name, b in field_b.items()
    }


def check_index_fields(there: Sequence[str], fields: Mapping[str, float] | None, *, stage: str) -> None:
    """Refuse to search an index for other fields than it has.

    Raises:
        UsageError: The index lacks a field, or has fields and none is named.
    """
    if there and fields is None:
        raise UsageError(
            "the index is one of fields",
            stage=stage,
            accepted=", ".join(there),
            fix="pass fields= with a weight for each that shall count",
        )
    for name in fields or {}:
        if name not in there:
            raise _unknown(name, there, "the index was made without this field", stage=stage)


def _unknown(name: str, known: Sequence[str], problem: str, *, stage: str) -> UsageError:
    """The error for a field that is not there."""
    close = nearest(str(name), known)
    return UsageError(
        problem,
        stage=stage,
        value=name,
        accepted=", ".join(known) or "none: build the index with fields=",
        fix=f"did you mean {close!r}?" if close else None,
    )
