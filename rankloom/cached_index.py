"""Indexes that a session's cache keeps: opened when they are there and whole, built when they are not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rankloom.errors import DamagedIndexError

_log = logging.getLogger("rankloom")
Index = TypeVar("Index")


def opened_or_built(path: Path, opened: Callable[[Path], Index], built: Callable[[Path], Index]) -> Index:
    """The index of a folder in the cache.

    A damaged one is built again, with a warning. When another process puts its own there meanwhile, that is opened.

    Args:
        path: The folder.
        opened: Opens it.
        built: Builds it there, whole or not at all, and opens it.

    Raises:
        RankloomError: As `built` raises it.
    """
    if path.is_dir():
        try:
            return opened(path)
        except DamagedIndexError as error:
            _log.warning("a damaged index of the cache is built again: %s", error)
    try:
        return built(path)
    except OSError:  # another process may have put its index there while this one was building
        if not path.is_dir():
            raise
        return opened(path)
