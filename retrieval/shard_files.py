"""Finished parts of a long encoding, each a file of its own, so that a killed build goes on where it stopped.

A part says what it was made from; one of another model or corpus is computed again rather than mixed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankloom.codec import pack, unpack
from rankloom.errors import DataError
from rankloom.files import atomic_path


def shard_path(folder: Path, number: int) -> Path:
    """The file of one part."""
    return folder / f"{number:08d}.shard"


def keep(path: Path, made_from: str, arrays: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> None:
    """Write a part, whole or not at all.

    Args:
        path: Its file.
        made_from: A digest of all that it depends on.
        arrays: Its columns.
        values: JSON values beside them.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(pack({"made_from": made_from, **(values or {})}, dict(arrays)))


def kept(path: Path, made_from: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Values and columns of a part that was written before, if it is whole and was made from the same things."""
    try:
        values, arrays = unpack(path.read_bytes())
    except (OSError, DataError):
        return None
    return (values, dict(arrays)) if values.pop("made_from", None) == made_from else None
