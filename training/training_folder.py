"""The folder that a recipe fills: whose it is, and the manifest of what was done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.eval.hardware import hardware
from rankloom.eval.manifest import versions
from rankloom.extras import require
from rankloom.files import write_json
from rankloom.fingerprint import digest
from rankloom.training.fingerprints import made_of
from rankloom.training.recipe_config import Recipe

_STAGE = "training"
_MARK = "recipe.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """What a recipe has left behind.

    Args:
        model: The folder to name as a model.
        stage: The word of a stage that takes it.
        manifest: Recipe, data with licences, versions, machine, seconds, scores.
    """

    model: Path
    stage: str
    manifest: dict[str, Any]


class TrainingFolder:
    """A recipe and its folder.

    Args:
        recipe: Whose folder it is to be.
        path: Where; need not exist.

    Raises:
        DataError: The folder is another recipe's.
    """

    def __init__(self, recipe: Recipe, path: Path) -> None:
        self.recipe, self.path = recipe, path
        self._started = time.monotonic()
        self._fingerprint = digest(recipe.model_dump(exclude={"output"}))
        mark = path / _MARK
        if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")).get("fingerprint") != self._fingerprint:
            raise DataError(
                "the folder holds the training of another recipe",
                stage=_STAGE,
                value=str(path),
                fix="name another folder with --output-dir, or remove this one",
            )

    def mark(self, data: Iterable[object], *, model: str) -> None:
        """Say whose it is from now on, and what its training is made of.

        Args:
            data: What is learnt from and measured on.
            model: The fingerprint of the model that training starts from.

        Raises:
            DataError: The folder holds the training of the same recipe on other data, or from another model.
        """
        made = made_of(self.recipe.model_dump(exclude={"output"}), data=data, model=model)
        mark = self.path / _MARK
        if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")).get("made_of") != made:
            raise DataError(
                "the data or the model have changed since the training in this folder began",
                stage=_STAGE,
                value=str(self.path),
                fix="name another folder with --output-dir, or remove this one",
            )
        write_json(mark, {"fingerprint": self._fingerprint, "made_of": made, "recipe": self.recipe.model_dump()})

    def manifest(self, data: Sequence[dict[str, Any]], **results: Any) -> dict[str, Any]:
        """All that is to be known of a training.

        Args:
            data: What is to be said of each source: its name, licence, sizes.
            results: Counts and scores.
        """
        return {
            "format": "rankloom-training",
            "version": 1,
            "recipe": self.recipe.model_dump(),
            "data": list(data),
            **results,
            "seconds": round(time.monotonic() - self._started),
            "versions": versions(),
            "hardware": hardware(),
        }


def require_training() -> None:
    """Refuse to begin without the packages of the extra `train`.

    Raises:
        MissingExtraError: One is not installed.
    """
    for module in ("torch", "sentence_transformers", "accelerate", "datasets", "peft"):
        require(module, extra="train", stage=_STAGE)
