"""What a parameter of a stage stands for: the name of a model, the path of a file, or stages inside the stage.

    def __init__(self, through: Inner = None, *, model: ModelName, table: FilePath) -> None:

A configuration looks for models and files in the folder of its own file first, and an experiment finds out before any
work is done whether they are there. Inner stages are written as steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from rankloom.stage import Stage


@dataclass(frozen=True, slots=True)
class NamesModel:
    """Marks a parameter as the name or folder of a model that `rankloom.models.resolve_model` finds.

    Args:
        organisation: What a name without a slash belongs to on the hub.
    """

    organisation: str = "sentence-transformers"


@dataclass(frozen=True, slots=True)
class NamesPath:
    """Marks a parameter as the path of a file or folder that the stage reads.

    Args:
        or_name: It may also be a name, of something that is kept elsewhere.
    """

    or_name: bool = False


@dataclass(frozen=True, slots=True)
class HoldsSteps:
    """Marks a parameter as a stage or pipeline that the stage carries out inside itself; see `Stage.inner`."""


ModelName = Annotated[str, NamesModel()]
FilePath = Annotated[str, NamesPath()]
Inner = Annotated[Stage | None, HoldsSteps()]
