"""What a model was trained on before training goes on from it, as its manifest tells."""

from __future__ import annotations

import json
import logging
from typing import NamedTuple

from rankloom.errors import NotFoundError
from rankloom.files import MANIFEST
from rankloom.models import resolve_model
from rankloom.session import Session
from rankloom.training.pairs import SourceTexts, read_source, same_text
from rankloom.training.recipe_config import TrainingSource

_STAGE = "training"
_log = logging.getLogger("rankloom")


class TrainedBefore(NamedTuple):
    """What a model has seen.

    Args:
        questions: What it was trained to answer, as `same_text` leaves it.
        unknown: Names of sources that are not on this machine, or the model's own if it has no manifest.
    """

    questions: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


def trained_before(start: str | None, session: Session) -> TrainedBefore:
    """What a model was trained on; what can not be known is named, and told in a warning.

    Args:
        start: An adapter that a recipe has made, by any recipe whose sources are queries and documents; or None.
        session: Whether the network may be used.

    Raises:
        NotFoundError: There is no such model.
        DataError: A source can not be read.
    """
    if start is None:
        return TrainedBefore()
    path = resolve_model(start, offline=session.offline, stage=_STAGE).path / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if (recipe := manifest.get("recipe")) is None:
        _log.warning("%s has no manifest of a training: what it was trained on is measured, too", start)
        return TrainedBefore(unknown=(start,))
    earlier = trained_before(recipe.get("encoder", {}).get("start"), session)
    found: list[SourceTexts] = []
    unknown = list(earlier.unknown)
    for told in recipe["sources"]:
        source = TrainingSource.model_validate(told)
        try:
            found.append(read_source(source, session, seed=recipe["seed"]))
        except NotFoundError:
            _log.warning("%s was trained on %s, which is not here: it is measured, too", start, source.name)
            unknown.append(source.name)
    asked = {same_text(query.text) for one in found for query in one.queries}
    held = {same_text(query.text) for one in found for query in one.held_out}
    return TrainedBefore(earlier.questions | (asked - held), tuple(unknown))
