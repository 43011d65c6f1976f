"""What token vectors may be kept as and searched by: the words, and the settings that each has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.order import Offsets
from rankloom.retrieval.token_index.candidate_search import CandidateSearch
from rankloom.retrieval.token_index.effort import check_effort as check_ranges
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.residual import ResidualStorage, check_bits
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage, TokenStorage

STORAGES = ("float16", "int8", "residual")
SEARCHES = ("exact", "centroids")
#: The word for an index that is only read: rerankers need no search, and what it keeps beside the vectors.
NO_SEARCH = "none"
#: Settings of a build, and the storage or search that has each.
BUILD_SETTINGS: Mapping[str, tuple[str, ...]] = {"bits": ("residual",), "centroids": ("residual", "centroids")}
#: Settings of one search, likewise.
EFFORT: Mapping[str, tuple[str, ...]] = {"nprobe": ("centroids",), "candidates": ("centroids",)}


class NoSearch:
    """What stands in an index for its search, where there is none."""

    kind, exact, nbytes = NO_SEARCH, True, 0

    @classmethod
    def build(cls, storage: TokenStorage, offsets: Offsets, **_: Any) -> Self:  # noqa: ARG003
        """Nothing is built."""
        return cls()

    @classmethod
    def read(cls, folder: Path, storage: TokenStorage, offsets: Offsets, settings: dict[str, Any]) -> Self:  # noqa: ARG003
        """Nothing is read."""
        return cls()

    def settings(self) -> dict[str, Any]:
        """Nothing: it has none."""
        return {}


TokenSearch = ExactSearch | CandidateSearch | NoSearch
_SEARCHES: tuple[type[TokenSearch], ...] = (ExactSearch, CandidateSearch, NoSearch)
_STORAGES: tuple[type[TokenStorage], ...] = (Float16Storage, Int8Storage, ResidualStorage)


def storage_kind(word: str, *, stage: str) -> type[TokenStorage]:
    """The class of storage that a word stands for.

    Raises:
        UsageError: There is none.
    """
    choice(word, STORAGES, stage=stage, parameter="storage")
    return next(kind for kind in _STORAGES if kind.kind == word)


def search_kind(word: str, *, stage: str) -> type[TokenSearch]:
    """The class of search that a word stands for.

    Raises:
        UsageError: There is none.
    """
    choice(word, (*SEARCHES, NO_SEARCH), stage=stage, parameter="search")
    return next(kind for kind in _SEARCHES if kind.kind == word)


def check_kinds(storage: str, search: str, settings: Mapping[str, Any], *, stage: str) -> None:
    """Refuse a build before anything is encoded that could not be carried out; None stands for a setting not given.

    Raises:
        UsageError: There is no such storage or search, neither has such a setting, or it is out of range.
    """
    choice(storage, STORAGES, stage=stage, parameter="storage")
    choice(search, (*SEARCHES, NO_SEARCH), stage=stage, parameter="search")
    _check_had(settings, BUILD_SETTINGS, (storage, search), stage=stage)
    if settings.get("bits") is not None:
        check_bits(settings["bits"])
    if settings.get("centroids") is not None:
        whole(settings["centroids"], least=1, stage=stage, parameter="centroids")


def check_effort(search: str, effort: Mapping[str, int | None], k: int, *, stage: str) -> None:
    """Refuse settings of a search that its kind does not have; None stands for one not given.

    Raises:
        UsageError: The kind does not have it, or it is out of range.
    """
    _check_had(effort, EFFORT, (search,), stage=stage)
    check_ranges(effort.get("nprobe"), effort.get("candidates"), k, stage=stage)


def build_settings(word: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that are given and that a storage or search has."""
    return {name: value for name, value in settings.items() if value is not None and word in BUILD_SETTINGS[name]}


def _check_had(
    settings: Mapping[str, Any], known: Mapping[str, tuple[str, ...]], kinds: tuple[str, ...], *, stage: str
) -> None:
    """Refuse settings that none of some kinds has."""
    for name, value in settings.items():
        choice(name, known, stage=stage, parameter="setting")
        if value is not None and not set(known[name]) & set(kinds):
            raise UsageError(
                f"{' with '.join(kinds)} has no {name}",
                stage=stage,
                value=f"{name}={value}",
                accepted=f"{name} with {' or '.join(known[name])}",
                fix=f"leave {name} out",
            )
