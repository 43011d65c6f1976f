"""Parameters of a search, each of which must have a meaning for what is searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.retrieval.milvus.connection import STAGE

Kind = Literal["dense", "sparse", "bm25", "hybrid"]


def kind_of(kind: Kind | None, held: Sequence[Kind]) -> Kind:
    """What to search of the fields that a collection holds; None for all of them.

    Raises:
        UsageError: It does not hold that.
    """
    if kind is None:
        return held[0] if len(held) == 1 else "hybrid"
    choice(kind, [*held, "hybrid"] if len(held) > 1 else held, stage=STAGE, parameter="kind")
    return kind


def whole_number(parameter: str, value: int, *, most: int | None = None) -> int:
    """The value, if it is a whole number from 1 to what Milvus can do.

    Raises:
        UsageError: It is not.
    """
    if whole(value, least=1, stage=STAGE, parameter=parameter) > (most or value):
        raise UsageError(f"{parameter} is out of range", stage=STAGE, value=value, accepted=f"1 to {most}")
    return int(value)


def check_search(kind: Kind, index: str | None, *, candidates: int | None, ef: int | None, nprobe: int | None) -> None:
    """Refuse parameters that a search would ignore.

    Args:
        kind: What is searched.
        index: The index of the dense vectors, if it reads them.
        candidates: None if it is not given, as the next two.
        ef: See `Milvus`.
        nprobe: See `Milvus`.

    Raises:
        UsageError: One is given that has no meaning.
    """
    having = f"search of kind {kind}" + (f" by the index {index}" if index else "")
    check_meant(candidates, "candidates", having, "hybrid", meant=kind == "hybrid")
    check_meant(ef, "ef", having, "the index hnsw", meant=index == "hnsw")
    check_meant(nprobe, "nprobe", having, "the index ivf_flat", meant=index == "ivf_flat")


def check_meant(value: object, parameter: str, having: str, accepted: str, *, meant: bool) -> None:
    """Refuse a parameter that would be ignored.

    Args:
        value: None if it is not given.
        parameter: Its name.
        having: What does not have it.
        accepted: What has it.
        meant: Whether it has a meaning here.

    Raises:
        UsageError: It is given and has none.
    """
    if value is not None and not meant:
        raise UsageError(
            f"{having} has no {parameter}",
            stage=STAGE,
            value=value,
            accepted=f"{parameter} for {accepted}",
            fix=f"leave {parameter} out",
        )
