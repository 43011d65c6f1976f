"""What retrievers share that search an index of vectors which an encoder has made: `Dense` and `MultiVector`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Protocol, TypeVar

import numpy as np

from rankloom.errors import UsageError
from rankloom.ids import DocIds
from rankloom.ledger import Note
from rankloom.ranking import Ranking
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.session import Session


class Loadable(Protocol):
    """An encoder, as far as its model is concerned."""

    def resolve(self, session: Session) -> object:
        """Find the model's files."""

    def load(self, session: Session) -> object:
        """Load the model."""


AnEncoder = TypeVar("AnEncoder", bound=Loadable)


def taken(params: dict[str, Any], names: Set[str]) -> dict[str, Any]:
    """Those of the parameters that have one of some names, which are taken out.

    Example:
        >>> params = {"k": 10, "pooling": "mean"}
        >>> taken(params, {"pooling", "window"}), params
        ({'pooling': 'mean'}, {'k': 10})
    """
    return {name: params.pop(name) for name in sorted(names & params.keys())}


def chosen_encoder(
    encoder: AnEncoder | None,
    model: str | None,
    options: Mapping[str, Any],
    kind: Callable[..., AnEncoder],
    *,
    default: str,
    stage: str,
) -> AnEncoder:
    """The encoder that is given, or one of a model.

    Args:
        encoder: What is given.
        model: The model that is named.
        options: Parameters of the encoder; None for one that is not given.
        kind: The class of encoders of models.
        default: The model if none is named.
        stage: Who asks.

    Raises:
        UsageError: An encoder is given, and a model or one of its parameters too.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if encoder is None:
        return kind(model or default, stage=stage, **given)
    if model is not None or given:
        raise UsageError(
            "an encoder brings its own model and parameters",
            stage=stage,
            value={**given, **({} if model is None else {"model": model})},
            accepted=f"model= with parameters of {kind.__name__}, or encoder= alone",
        )
    return encoder


def loaded(encoder: AnEncoder, check: Callable[[], None], session: Session) -> AnEncoder:
    """An encoder with its model in memory, after it was found to be the one that an index was made with.

    Args:
        encoder: The index's.
        check: Refuses another; before the model is found, it could not tell.
        session: Where the model is to be had.
    """
    encoder.resolve(session)
    check()
    encoder.load(session)
    return encoder


def ranking_of(queries: int, asked: Sequence[int], ids: DocIds, hits: Hits, *, stage: str) -> Ranking:
    """The ranking of a run of which some queries were searched; the others find nothing.

    Args:
        queries: How many the run has.
        asked: The numbers of those that were searched, ascending.
        ids: What codes stand for.
        hits: Of the queries that were searched.
        stage: Who asks, for errors.
    """
    counts = np.zeros(queries, dtype=np.int64)
    counts[asked] = np.diff(hits.offsets)
    return Ranking.build(ids, np.concatenate([[0], np.cumsum(counts)]), hits.codes, hits.scores, stage=stage)


def too_few(stage: str, due: int, found: Iterable[tuple[str, int]]) -> list[Note]:
    """A note for each query whose approximate search has found fewer documents than there are to be had.

    Args:
        stage: Who has searched.
        due: How many there are to be had.
        found: Ids of queries, and how many documents each has found.
    """
    return [
        Note(stage, "approximate", query_id, amount=due - count, detail="the search has met too few documents")
        for query_id, count in found
        if count < due
    ]
