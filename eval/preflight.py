"""What an experiment needs besides its collection, looked for before any work: packages, models, servers, keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankloom.errors import MissingExtraError, NotFoundError, RankloomError
from rankloom.eval.plan import PlannedStage
from rankloom.extras import extra_of, installed
from rankloom.language_models import words as model_words
from rankloom.models import model_is_here
from rankloom.openai_client import check_may_be_asked, key_in
from rankloom.parameter_kinds import NamesModel, NamesServer, NamesVariable
from rankloom.registry import stage_class
from rankloom.signature_schema import Mark, marks
from rankloom.stage_schema import FUSIONS, kinds, model_parameters


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
    _check_packages(stage.word, stage_class(stage.word).requires)
    found = _named(stage.word, kinds(stage.word), stage.given, offline=offline, folder=folder)
    for name in model_parameters(stage.word):
        if stage.given[name] is not None:
            found += _backend(stage.given[name], offline=offline, folder=folder)
    return found


def _backend(spec: Any, *, offline: bool, folder: Path) -> list[NeededModel]:
    """The models of a language model, and of another inside it."""
    word, given = model_words.parted(spec)
    _check_packages(word, model_words.backend(word).requires)
    found = _named(word, marks(model_words.parameters(word)), given, offline=offline, folder=folder)
    for name in model_words.inner_models(word):
        found += _backend(given[name], offline=offline, folder=folder)
    return found


def _check_packages(word: str, modules: Iterable[str]) -> None:
    """Look for the optional packages of a stage or a backend."""
    for module in modules:
        if not installed(module):
            extra = extra_of(module)
            fix = f"pip install 'rankloom[{extra}]'" if extra else f"install {module}"
            raise MissingExtraError(f"the module '{module}' is not installed", stage=word, fix=fix)


def _named(
    word: str, named: Mapping[str, Mark], given: Mapping[str, Any], *, offline: bool, folder: Path
) -> list[NeededModel]:
    """The models that parameters name; variables that are not set, and servers out of reach, are errors."""
    found = []
    for name, mark in named.items():
        value = given.get(name)
        if not isinstance(value, str):
            continue
        if isinstance(mark, NamesVariable):
            key_in(value, stage=word, parameter=name)
        elif isinstance(mark, NamesServer):
            check_may_be_asked(value, offline=offline, stage=word)
        elif isinstance(mark, NamesModel):
            try:
                here = model_is_here(value, offline=offline, stage=word, organisation=mark.organisation)
            except NotFoundError as error:
                beside = "" if folder.resolve() == Path.cwd() else f", the folder {folder / value}"
                raise NotFoundError(error.problem + beside, stage=word, value=value, fix=error.fix) from error
            found.append(NeededModel(word, value, here))
    return found
