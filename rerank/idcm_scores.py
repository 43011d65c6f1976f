"""Documents through an IDCM model: the student chooses windows, the teacher reads them in batches of equal length.

On a processor each document of the student's, and each batch of the teacher's, has one thread of torch's, as those of
cross-encoders have: see `rankloom.encoders.forward`. So scores do not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rankloom.encoders.batches import Limits, similar_lengths
from rankloom.encoders.one_thread import one_thread
from rankloom.parallel import Result, Unit, completed
from rankloom.rerank.idcm_model import IDCMModel, Row
from rankloom.rerank.model_reranker import Batch
from rankloom.rerank.window_choice import weighted_sum


class _Document(NamedTuple):
    """A document, and who asks about it.

    Args:
        tokens: Its tokens.
        places: Of the pairs that it stands in.
    """

    tokens: list[int]
    places: list[int]


def score_documents(model: IDCMModel, queries: list[str], documents: list[str], *, sample: int | None) -> Batch:
    """The scores of documents, each for the query beside it.

    Args:
        model: In evaluation mode.
        queries: Queries.
        documents: As many documents; the windows of equal ones are made once.
        sample: Windows of each that the teacher reads; None for all.
    """
    questions, questions_cut = model.tokens(queries, model.sizes.query_tokens)
    places: dict[str, list[int]] = {}
    for place, text in enumerate(documents):
        places.setdefault(text, []).append(place)
    tokens, cut = model.tokens(list(places), model.sizes.max_tokens)
    documents_cut = np.zeros(len(documents), dtype=np.int64)
    for own, more in zip(places.values(), cut, strict=True):
        documents_cut[own] = more
    units = [_Document(one, own) for one, own in zip(tokens, places.values(), strict=True)]
    rows: dict[int, list[Row]] = {}
    for _, found in _each(model, partial(_rows, model, questions, sample), units):
        rows.update(found)
    in_order = [rows[place] for place in range(len(documents))]
    scores = _taught(model, [row for some in in_order for row in some])
    parts = np.split(scores, np.cumsum([len(some) for some in in_order])[:-1])
    weights = model.weights.detach().cpu().double().numpy()
    return Batch(
        np.array([weighted_sum(part, weights) for part in parts], dtype=np.float32),
        np.array([sum(sum(row.mask) for row in some) for some in in_order], dtype=np.int64),
        np.array(questions_cut) + documents_cut,
    )


def _rows(
    model: IDCMModel, questions: Sequence[Sequence[int]], sample: int | None, document: _Document
) -> Mapping[int, list[Row]]:
    """What the teacher reads of a document, for each pair that it stands in."""
    windows = model.windows(document.tokens)
    if sample is None or len(windows) <= sample:
        return {
            place: [model.row(questions[place], windows, one) for one in range(len(windows))]
            for place in document.places
        }
    with torch.inference_mode():
        vectors = model.window_vectors(windows)
        chosen = {
            place: model.chosen(model.query_vectors(questions[place]), vectors, windows, sample)
            for place in document.places
        }
    return {place: [model.row(questions[place], windows, one) for one in own] for place, own in chosen.items()}


def _taught(model: IDCMModel, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The teacher's scores of rows."""

    def batch(places: NDArray[np.int64]) -> NDArray[np.float64]:
        with torch.inference_mode():
            found = model.batch_scores([rows[place] for place in places.tolist()])
        return found.cpu().double().numpy()

    lengths = np.array([len(row.numbers) for row in rows], dtype=np.int64)
    scores = np.zeros(len(rows))
    limits = Limits.of_pairs(model.weights.device.type, None)
    for places, some in _each(model, batch, list(similar_lengths(lengths, limits))):
        scores[places] = some
    return scores


def _each(model: IDCMModel, work: Callable[[Unit], Result], units: Sequence[Unit]) -> Iterator[tuple[Unit, Result]]:
    """Some work for every unit; on a processor as many at a time as torch has threads."""
    threads = torch.get_num_threads() if model.weights.device.type == "cpu" else 1
    return completed(work, units, threads=threads, begin=one_thread if threads > 1 else None)
