"""How well a Provence model prunes and ranks what was held out from training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom import Run
from rankloom.eval.labelled_sentences import LabelledText
from rankloom.eval.measures import evaluate
from rankloom.provence_adapter import Rounding
from rankloom.qrels import Qrels
from rankloom.rerank.pruning.provence_reading import PairOutput
from rankloom.rerank.pruning.rounding import kept
from rankloom.training.provence_examples import HeldOutList
from rankloom.training.provence_reading import Reader

#: Thresholds that a card tells of.
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CUT = 10


class ThresholdPoint(NamedTuple):
    """What comes of a threshold: means over texts with relevant sentences, but for `compression`.

    These are of sentences as they were labelled, text by text. The measures of `rankloom.eval.pruning` with like names
    are of all texts of a query together, in the sentences that a pruner cuts: the two are not to be compared.

    Args:
        threshold: The threshold.
        precision: Share of the sentences kept that are relevant; 0 where none is kept.
        recall: Share of the relevant sentences that are kept.
        f1: Their harmonic mean, of each text.
        f2: Likewise, with four times the weight on recall.
        compression: Share of the characters of all texts, also those without relevant sentences, that is dropped.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    f2: float
    compression: float


def sentences_measured(reader: Reader, held_out: Sequence[LabelledText]) -> list[ThresholdPoint]:
    """What comes of each of `THRESHOLDS`; nothing if no sentence that is held out is relevant.

    Args:
        reader: Of the model.
        held_out: Texts with labels.
    """
    if not any(one.relevant for one in held_out):
        return []
    outputs = reader.outputs(held_out)
    return [at_threshold(held_out, outputs, one, reader.layout.rounding) for one in THRESHOLDS]


def best_of(curve: Sequence[ThresholdPoint]) -> ThresholdPoint | None:
    """The point of the largest F2, of equal ones that of the larger threshold; None of no points."""
    return max(curve, key=lambda point: (point.f2, point.threshold), default=None)


def keeping(curve: Sequence[ThresholdPoint], share: float) -> ThresholdPoint | None:
    """The point of the largest threshold that keeps such a share of relevant sentences, or else the first of all."""
    enough = [point for point in curve if point.recall >= share]
    return max(enough, key=lambda point: point.threshold) if enough else next(iter(curve), None)


def at_threshold(
    texts: Sequence[LabelledText], outputs: Sequence[PairOutput], threshold: float, rounding: Rounding
) -> ThresholdPoint:
    """What comes of one threshold.

    Args:
        texts: Of which at least one has relevant sentences.
        outputs: Of each.
        threshold: 0 to 1.
        rounding: How tokens' probabilities become decisions.
    """
    rows, characters, dropped = [], 0, 0
    for text, one in zip(texts, outputs, strict=True):
        keeps = kept(one.probabilities, one.counts, one.pieces, threshold=threshold, rounding=rounding)
        lengths = np.array([len(sentence) for sentence in text.sentences])
        characters += int(lengths.sum())
        dropped += int(lengths[~keeps].sum())
        if text.relevant:
            rows.append(_shares(keeps, text))
    precision, recall, f1, f2 = (round(float(one), 4) for one in np.mean(rows, axis=0))
    return ThresholdPoint(threshold, precision, recall, f1, f2, round(dropped / characters, 4))


def _shares(keeps: NDArray[np.bool_], text: LabelledText) -> tuple[float, float, float, float]:
    """Precision, recall, F1 and F2 of one text with relevant sentences."""
    right = float(keeps[list(text.relevant)].sum())
    all_kept, relevant = float(keeps.sum()), len(text.relevant)
    f1, f2 = ((1 + beta**2) * right / (all_kept + beta**2 * relevant) for beta in (1, 2))
    return right / all_kept if all_kept else 0.0, right / relevant, f1, f2


def ranking_measured(reader: Reader, lists: Sequence[HeldOutList]) -> dict[str, float]:
    """`nDCG@10` of documents by a model's scores of their first blocks, and of the order that they are found in.

    Args:
        reader: Of the model.
        lists: Questions and documents to put in order; of none comes nothing.
    """
    if not lists:
        return {}
    outputs = reader.outputs([text for some in lists for text in some.texts], blocks=1)
    scores = iter([float(one.scores[0]) for one in outputs])
    qrels: Qrels = {}
    by_model: dict[str, dict[str, float]] = {}
    by_first: dict[str, dict[str, float]] = {}
    for number, some in enumerate(lists):
        names = [f"{place:06d}" for place in range(len(some.texts))]
        qrels[str(number)] = {names[place]: 1 for place in sorted(some.relevant)}
        by_model[str(number)] = {name: next(scores) for name in names}
        by_first[str(number)] = {name: -float(place) for place, name in enumerate(names)}
    told = {f"nDCG@{_CUT}": by_model, f"first stage nDCG@{_CUT}": by_first}
    return {
        name: round(evaluate(Run.from_dict(ranking), qrels, [f"nDCG@{_CUT}"]).means[f"nDCG@{_CUT}"], 4)
        for name, ranking in told.items()
    }
