"""Kept sentences against relevant ones: precision, recall and F, whatever splitter a pruner has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from rankloom.eval.pruned_texts import PrunedText, pruned_texts
from rankloom.eval.sentence_labels import Offsets, Sentences
from rankloom.run import Run


class KeptSentences(NamedTuple):
    """What a pruner kept of the documents of a query, counted over all of them.

    Args:
        relevant: Labelled sentences.
        found: Those of them that were kept whole.
        kept: Sentences that were kept, as the pruner's splitter cuts them.
        helpful: Those of them that share a letter with a labelled one.
    """

    relevant: int
    found: int
    kept: int
    helpful: int

    @property
    def recall(self) -> float:
        """The share of the relevant sentences that were kept whole; 1 where there are none."""
        return self.found / self.relevant if self.relevant else 1.0

    @property
    def precision(self) -> float:
        """The share of the kept sentences that are relevant; if none was kept, 1 if nothing is relevant, else 0."""
        return self.helpful / self.kept if self.kept else float(not self.relevant)

    def f_measure(self, beta: float) -> float:
        """The harmonic mean of precision and recall, recall weighing beta squared times as much (van Rijsbergen).

        So where nothing is relevant it is 1 if nothing was kept, else 0.

        Example:
            >>> KeptSentences(relevant=2, found=1, kept=4, helpful=1).f_measure(1)
            0.3333333333333333
        """
        weight, precision, recall = beta * beta, self.precision, self.recall
        together = weight * precision + recall
        return (1 + weight) * precision * recall / together if together else 0.0


def kept_sentences(run: Run, sentences: Sentences) -> dict[str, KeptSentences]:
    """What was kept for each query.

    Documents that were left whole count with the sentences of the default splitter, as do all of a run that no pruner
    has seen. Documents that nobody labelled count as documents in which nothing is relevant, and relevant sentences of
    documents that are not in the ranking as the retriever's loss, not the pruner's.

    Args:
        run: A run with a ranking and texts.
        sentences: Query id -> document id -> offsets.

    Raises:
        CompositionError: Nobody knows the texts.
        DataError: A sentence lies outside its text.
    """
    from rankloom.rerank.pruning.splitting import SPLITTERS  # here, for stages take long to import

    split = cache(lambda text: tuple(SPLITTERS["syntok"](text)))
    found = {}
    for query_id, texts in pruned_texts(run, also_unpruned=True):
        labels = sentences.get(query_id, {})
        of_each = [_counted(text, labels.get(text.document.id, ()), split) for text in texts]
        found[query_id] = KeptSentences(*map(sum, zip(*of_each, strict=True))) if of_each else KeptSentences(0, 0, 0, 0)
    return found


def _counted(text: PrunedText, relevant: Offsets, split: Callable[[str], Offsets]) -> KeptSentences:
    """What was kept of one document."""
    kept = split(text.document.text) if text.kept is None else text.kept
    helpful = [span for span in kept if any(_share_a_letter(text.document.text, span, label) for label in relevant)]
    found = [label for label in relevant if text.keeps(*label)]
    return KeptSentences(len(relevant), len(found), len(kept), len(helpful))


def _share_a_letter(text: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether more than spaces lies in both of two stretches of a text."""
    return bool(text[max(one[0], other[0]) : min(one[1], other[1])].strip())
