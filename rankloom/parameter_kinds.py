"""What a string parameter of a stage stands for: the name of a model, or the path of a file.

    def __init__(self, model: ModelName, *, table: FilePath) -> None:

A configuration looks for both in the folder of its own file first, and an experiment finds out before any work is done
whether they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


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


ModelName = Annotated[str, NamesModel()]
FilePath = Annotated[str, NamesPath()]
