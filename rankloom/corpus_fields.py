"""Fields of documents as columns of text: title, text, and whatever metadata holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rankloom.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = ("title", "text")  # fields that every document has, be they empty


def check_fields(names: Sequence[str], metadata: Iterable[pa.LargeStringArray]) -> None:
    """Refuse fields that no document has; reads metadata until all are found.

    Args:
        names: Names of fields.
        metadata: The metadata of all documents as JSON, a batch at a time.

    Raises:
        DataError: No document has such a field; names the nearest that there is.
    """
    missing, seen = [name for name in names if name not in _OWN], dict.fromkeys(_OWN)
    for column in metadata:
        if not missing:
            return
        for held in column.to_pylist():
            seen |= dict.fromkeys(json.loads(held)) if held else {}
        missing = [name for name in missing if name not in seen]
    if missing:
        close = nearest(missing[0], seen)
        raise DataError(
            "no document has this field",
            stage="corpus",
            value=missing[0],
            accepted=", ".join(seen),
            fix=f"did you mean {close!r}?" if close else None,
        )


def field_columns(
    names: Sequence[str], title: pa.LargeStringArray, text: pa.LargeStringArray, metadata: pa.LargeStringArray
) -> dict[str, pa.LargeStringArray]:
    """Some fields of a batch of documents; a document without one has an empty text there.

    Raises:
        DataError: A value of metadata is no text.
    """
    import pyarrow as pa

    columns = {"title": title, "text": text}
    others = [name for name in names if name not in _OWN]
    held: list[dict[str, Any]] = [json.loads(one) if one else {} for one in metadata.to_pylist()] if others else []
    for name in others:
        columns[name] = pa.array([_as_text(name, one.get(name)) for one in held], pa.large_string())
    return {name: columns[name] for name in names}


def _as_text(field: str, value: Any) -> str:
    """A value of metadata as text.

    Raises:
        DataError: It is no string, number or list of them.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # without lone surrogates, which UTF-8 can not hold
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return " ".join(_as_text(field, one) for one in value)
    raise DataError(
        f"the field {field!r} of a document is no text",
        stage="corpus",
        value=value,
        accepted="strings, numbers, and lists of them",
    )
