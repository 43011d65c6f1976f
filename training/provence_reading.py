"""Passages as a Provence model reads them in training: tokens, and which of them are to be kept, laid out once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rankloom.eval.labelled_sentences import LabelledText
from rankloom.models import LoadedModel
from rankloom.provence_adapter import ProvenceSettings
from rankloom.records import Document
from rankloom.rerank.pruning.provence_layout import ProvenceLayout, adapter_layout
from rankloom.rerank.pruning.provence_model import ProvenceModel
from rankloom.rerank.pruning.provence_reading import PairOutput, read_pairs
from rankloom.rerank.pruning.question_and_text import PairRows, QuestionAndText, Row
from rankloom.rerank.pruning.sentence_stage import SentencePair
from rankloom.training.passages import cut
from rankloom.two_heads import TwoHeads

_BLOCKS = 32  # that are measured at once
_LAID_OUT = 1000  # passages whose tokens are made at once


class Laid(NamedTuple):
    """A passage that is read at once.

    Args:
        passage: What of it is read: its first sentences, all of them where they fit.
        row: Its tokens.
        labels: Of each token, 1 if it belongs to a relevant sentence, else 0; int64 of shape (tokens,).
        shortened: Whether it has sentences that are not read.
    """

    passage: LabelledText
    row: Row
    labels: NDArray[np.int64]
    shortened: bool


class Batch(NamedTuple):
    """Some passages, filled up to one length.

    Args:
        features: What the model is called with; int64 of shape (passages, tokens) each.
        labels: Of each token; int64 of shape (passages, tokens), 0 where it fills up.
        teacher: The teacher's score of each passage; float32 of shape (passages,).
    """

    features: dict[str, Tensor]
    labels: Tensor
    teacher: Tensor


class Reader:
    """Lays the tokens of passages out exactly as the stage `Provence` does.

    Sentences are those that were labelled. The stage cuts texts itself, so what is measured here, and a threshold that
    is chosen by it, are of sentences which the stage may cut otherwise.

    Args:
        model: What is trained.
        tokenizer: Its own.
        settings: How it is made of its backbone.
        device: Where it computes.
    """

    def __init__(self, model: TwoHeads, tokenizer: Any, settings: ProvenceSettings, device: str) -> None:
        self.model = model
        self.layout: ProvenceLayout = adapter_layout(settings)
        self._loaded = LoadedModel(ProvenceModel(model, tokenizer), device)
        self._inputs = QuestionAndText(self._loaded.model, self.layout)

    def lay_out(self, passages: Sequence[LabelledText]) -> Iterator[Laid]:
        """Passages in one block each; sentences that do not fit are left out."""
        for start in range(0, len(passages), _LAID_OUT):
            yield from self._laid_out(passages[start : start + _LAID_OUT])

    def batch(self, laid: Sequence[Laid], teacher: Sequence[float]) -> Batch:
        """Some passages, filled up to one length.

        Args:
            laid: The passages.
            teacher: Scores of them.
        """
        features: dict[str, Tensor] = self._inputs.features([one.row for one in laid])
        labels = [torch.from_numpy(one.labels) for one in laid]
        filled_up = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True)
        return Batch(features, filled_up, torch.tensor(teacher, dtype=torch.float32))

    def outputs(self, texts: Sequence[LabelledText], *, blocks: int | None = None) -> list[PairOutput]:
        """What the model says of texts, without dropout, as the stage asks it.

        Args:
            texts: The texts, with their questions.
            blocks: How many blocks of each are read, from the first; None for all.
        """
        training = self.model.training
        self.model.eval()
        pairs = [
            SentencePair(one.question, Document(one.doc_id, one.text, title=one.title), one.bounds()) for one in texts
        ]
        found = read_pairs(self._loaded, self.layout, pairs, titled=True, batch_size=_BLOCKS, blocks=blocks)
        self.model.train(training)
        return found.pairs

    def _laid_out(self, passages: Sequence[LabelledText]) -> Iterator[Laid]:
        """Passages whose tokens are made together."""
        questions = [self._inputs.question(one.question) for one in passages]
        texts = [self._inputs.pieces(one.text, one.bounds(), one.title) for one in passages]
        tokens = self._inputs.tokens([*questions, *(piece for pieces in texts for piece in pieces)])
        for passage, question, pieces in zip(passages, questions, texts, strict=True):
            read = self._inputs.rows(tokens[question], [tokens[piece] for piece in pieces], blocks=1)
            title = 1 if passage.title else 0
            sentences = sum(count > 0 for count in read.pieces[title:])
            read_of = cut(passage, 0, max(1, sentences))
            shortened = len(read_of.sentences) < len(passage.sentences)
            yield Laid(read_of, read.rows[0], _labels(read, passage, title), shortened)


def _labels(read: PairRows, passage: LabelledText, title: int) -> NDArray[np.int64]:
    """Which tokens of the one row belong to relevant sentences; those of a title do not."""
    row = read.rows[0]
    flags = np.zeros(len(read.pieces), dtype=np.int64)
    flags[[title + place for place in passage.relevant]] = 1
    of_sentences = np.repeat(np.repeat(flags, read.pieces), row.lengths)
    labels = np.zeros(len(row.tokens), dtype=np.int64)
    labels[row.begin : row.begin + len(of_sentences)] = of_sentences
    return labels
