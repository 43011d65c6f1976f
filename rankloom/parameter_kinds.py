"""What a parameter of a stage stands for: a model's name, a language model, a file, or stages inside the stage.

    def __init__(self, through: Inner = None, *, model: ModelName, table: FilePath) -> None:

A configuration looks for models and files in the folder of its own file first, and an experiment finds out before any
work is done whether they are there. Inner stages are written as steps, a language model as the word of its backend and
what that is told: `model: {local: {name: folder}}`. Backends have parameters of these kinds, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from rankloom.language_model import LanguageModel
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
        new: It need not be there yet, because it is written.
    """

    or_name: bool = False
    new: bool = False


@dataclass(frozen=True, slots=True)
class NamesVariable:
    """Marks a parameter as the name of an environment variable that has to be set."""


@dataclass(frozen=True, slots=True)
class NamesServer:
    """Marks a parameter as the address of a server, which may be asked offline only if it is on this machine."""


@dataclass(frozen=True, slots=True)
class HoldsSteps:
    """Marks a parameter as a stage or pipeline that the stage carries out inside itself; see `Stage.inner`."""


@dataclass(frozen=True, slots=True)
class HoldsModel:
    """Marks a parameter as a language model."""


@dataclass(frozen=True, slots=True)
class OrObject:
    """Marks a parameter as a string that may, in Python alone, also be an object, such as a function under a name."""


ModelName = Annotated[str, NamesModel()]
FilePath = Annotated[str, NamesPath()]
VariableName = Annotated[str | None, NamesVariable()]
ServerAddress = Annotated[str, NamesServer()]
AnyLanguageModel = Annotated[LanguageModel, HoldsModel()]
Inner = Annotated[Stage | None, HoldsSteps()]
