"""What an experiment needs besides its collection, looked for before any work: optional packages, and models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankloom.errors import MissingExtraError, NotFoundError, RankloomError
from rankloom.eval.plan import PlannedStage
from rankloom.extras import extra_of, installed
from rankloom.models import model_is_here
from rankloom.parameter_kinds import NamesModel
from rankloom.registry import stage_class
from rankloom.stage_schema import FUSIONS, kinds


@dataclass(frozen=True, slots=True)
class NeededModel:
    """A model that a stage is going to load.

    Args:
        stage: The stage's word.
        model: Its name, or its folder.
        here: Whether it is on this machine; if not, the run is going to download it.
    """

    stage: str
    model: str
    here: bool


@dataclass(frozen=True)
class Preflight:
    """What was found out before an experiment.

    Args:
        models: The models that are here, or will be downloaded.
        problems: What is missing and will not come by itself, an error for each.
    """

    models: tuple[NeededModel, ...]
    problems: tuple[RankloomError, ...]

    def lines(self) -> Iterator[str]:
        """What the run is going to download, a line for each model."""
        for model in self.models:
            if not model.here:
                yield f"will be downloaded: {model.model} (for {model.stage})"

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return {"models": [asdict(model) for model in self.models], "missing": [str(one) for one in self.problems]}

    def raise_problems(self) -> None:
        """Raise all that is missing as one error.

        Raises:
            MissingExtraError: An optional package is not installed.
            NotFoundError: All packages are, but a model is not on this machine and can not be downloaded.
        """
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            extra = any(isinstance(problem, MissingExtraError) for problem in self.problems)
            text = "\n".join([f"{len(self.problems)} things are missing", *map(str, self.problems)])
            raise (MissingExtraError if extra else NotFoundError)(text)


def preflight(stages: Iterable[PlannedStage], *, offline: bool, folder: Path = Path()) -> Preflight:
    """Look for the packages and models that stages need; loads no model, reads no weights, opens no socket.

    Args:
        stages: Of the plan.
        offline: Whether the run may not download.
        folder: The folder of the experiment's file, for errors.
    """
    models: dict[NeededModel, None] = {}
    problems: dict[str, RankloomError] = {}
    for stage in stages:
        try:
            models |= dict.fromkeys(_models(stage, offline=offline, folder=folder))
        except RankloomError as error:
            problems[str(error)] = error
    return Preflight(tuple(models), tuple(problems.values()))


def _models(stage: PlannedStage, *, offline: bool, folder: Path) -> list[NeededModel]:
    """The models of one stage, whose packages are looked for first."""
    if stage.word in FUSIONS:
        return []
    for module in stage_class(stage.word).requires:
        if not installed(module):
            extra = extra_of(module)
            fix = f"pip install 'rankloom[{extra}]'" if extra else f"install {module}"
            raise MissingExtraError(f"the module '{module}' is not installed", stage=stage.word, fix=fix)
    found = []
    for name, mark in kinds(stage.word).items():
        model = stage.given.get(name)
        if isinstance(mark, NamesModel) and isinstance(model, str):
            try:
                here = model_is_here(model, offline=offline, stage=stage.word, organisation=mark.organisation)
            except NotFoundError as error:
                beside = "" if folder.resolve() == Path.cwd() else f", the folder {folder / model}"
                raise NotFoundError(error.problem + beside, stage=stage.word, value=model, fix=error.fix) from error
            found.append(NeededModel(stage.word, model, here))
    return found
