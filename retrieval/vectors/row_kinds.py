"""The table of kinds: which ways of searching rows there are, and which settings each has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.retrieval.vectors import faiss_kinds, faiss_search
from rankloom.retrieval.vectors.exact_search import ExactSearch, Way, auto_kind
from rankloom.retrieval.vectors.row_search import RowKind, RowSearch
from rankloom.retrieval.vectors.vector_parts import VectorParts

AUTO = "auto"


def _exact(way: Way) -> RowKind:
    """A way of searching exactly; it has no settings."""

    def build(vectors: VectorParts, settings: Mapping[str, Any]) -> RowSearch:  # noqa: ARG001 - there are none
        return ExactSearch.build(way, vectors)

    def read(folder: Path, vectors: VectorParts, settings: Mapping[str, Any]) -> RowSearch:  # noqa: ARG001
        return ExactSearch.read(way, folder, vectors)

    return RowKind(build, read)


#: Kind -> how it is built and read. FAISS is imported when one of its kinds is.
KINDS: dict[str, RowKind] = {
    "exact_float32": _exact("exact_float32"),
    "exact_int8": _exact("exact_int8"),
    **{kind: faiss_search.row_kind(kind) for kind in faiss_kinds.KINDS},
}


def row_kind(kind: str, *, stage: str) -> RowKind:
    """How a kind is built and read.

    Raises:
        UsageError: There is no such kind.
    """
    return KINDS[choice(kind, KINDS, stage=stage, parameter="kind")]


def check_kind(kind: str, settings: Mapping[str, Any], *, stage: str) -> None:
    """Refuse a kind that there is not, and settings that the kind does not have.

    Args:
        kind: `auto` or a kind of the table.
        settings: Build settings by name; None stands for one that is not given.
        stage: Who asks, for errors.

    Raises:
        UsageError: There is no such kind, or it has no such setting.
    """
    choice(kind, [AUTO, *KINDS], stage=stage, parameter="kind")
    known = frozenset() if kind == AUTO else row_kind(kind, stage=stage).build_settings
    _refuse_others(kind, settings, known, stage=stage)


def check_effort(kind: str, effort: Mapping[str, Any], *, stage: str) -> None:
    """Refuse search settings that a kind does not have; None stands for one that is not given.

    Raises:
        UsageError: The kind has no such setting, or it is no whole number of at least 1.
    """
    known = frozenset() if kind == AUTO else row_kind(kind, stage=stage).search_settings
    _refuse_others(kind, effort, known, stage=stage)
    for name, value in effort.items():
        if value is not None:
            whole(value, least=1, stage=stage, parameter=name)


def check_rescore(kind: str, rescore: int | None, k: int | None, *, exact: bool, stage: str) -> None:
    """Refuse a number of rows to be scored anew that can not be obeyed; None is the kind's own.

    Args:
        kind: A kind of the table.
        rescore: The number.
        k: How many hits are asked for; None if that is not known yet.
        exact: Whether the scores of the kind are final.
        stage: Who asks, for errors.

    Raises:
        UsageError: Scores are final, or some of the hits would be scored anew, and others not.
    """
    if rescore is None:
        return
    if exact:
        raise UsageError(
            f"an index of kind {kind} has final scores: there is nothing to rescore",
            stage=stage,
            value=rescore,
            fix="leave rescore out, or choose an approximate kind of index",
        )
    whole(rescore, least=0, stage=stage, parameter="rescore")
    if k is not None and 0 < rescore < k:
        raise UsageError(
            f"all {k} hits are scored anew or none, as scores of two kinds can not be put in one order",
            stage=stage,
            value=f"rescore {rescore}",
            accepted=f"0, or at least k, which is {k}",
            fix="raise rescore, lower k, or leave rescore out",
        )


def chosen_kind(kind: str, rows: int, dimensions: int) -> str:
    """The kind that `auto` stands for, which is always an exact one; any other kind is itself."""
    return auto_kind(rows, dimensions) if kind == AUTO else kind


def _refuse_others(kind: str, settings: Mapping[str, Any], known: frozenset[str], *, stage: str) -> None:
    """Raise for a setting that is given and not known."""
    for name, value in settings.items():
        if value is not None and name not in known:
            having = [key for key, other in KINDS.items() if name in other.build_settings | other.search_settings]
            raise UsageError(
                f"an index of kind {kind} has no {name}",
                stage=stage,
                value=value,
                accepted=f"{name} for {', '.join(having)}" if having else None,
                fix=f"leave {name} out, or choose another kind of index",
            )
