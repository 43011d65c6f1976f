"""Passages of texts with labelled sentences: random lengths, from random places.

A pruner that has read passages of one length only, or only such as answer, learns to keep by place and not by meaning.
Chirkova et al., ICLR 2025 (arXiv:2501.16214), train on passages of 1 to 10 sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from zlib import crc32

import numpy as np

from rankloom.eval.labelled_sentences import LabelledText
from rankloom.training.provence_config import Passages


def passages_of(text: LabelledText, how: Passages, *, seed: int) -> Iterator[LabelledText]:
    """The passages that are read of a text, each once: shorter texts, with the labels of their sentences.

    Args:
        text: With a sentence or more.
        how: Their lengths and numbers.
        seed: Of the draws; each text's are its own for each question, whatever other texts there are.
    """
    draws = _draws(text, seed)
    places = [(0, len(text.sentences))] if how.beginning else []
    if text.relevant:
        places += [_around(text, how.longest, draws) for _ in range(how.around)]
    places += [_anywhere(text, how.longest, draws) for _ in range(how.anywhere)]
    for begin, end in dict.fromkeys(places):
        yield cut(text, begin, end)


def negative_passage(text: LabelledText, how: Passages, *, seed: int) -> LabelledText:
    """The one passage that is read of a text without relevant sentences: its beginning, or one from anywhere."""
    draws = _draws(text, seed)
    if how.beginning and (draws.random() < 0.5 or not how.anywhere):
        return text
    return cut(text, *_anywhere(text, how.longest, draws))


def cut(text: LabelledText, begin: int, end: int) -> LabelledText:
    """Some sentences of a text, with their labels.

    Args:
        text: The text.
        begin: The place of the first sentence.
        end: The place after the last.

    Example:
        >>> text = LabelledText("q", "Why blue?", "d", "", ("Rain. ", "It scatters. ", "So it is blue."), (1, 2))
        >>> cut(text, 1, 2).text, cut(text, 1, 2).relevant
        ('It scatters.', (0,))
    """
    sentences = list(text.sentences[begin:end])
    if end < len(text.sentences):
        sentences[-1] = sentences[-1].rstrip()
    relevant = tuple(place - begin for place in text.relevant if begin <= place < end)
    return replace(text, sentences=tuple(sentences), relevant=relevant)


def _draws(text: LabelledText, seed: int) -> np.random.Generator:
    """The draws of a question and a text."""
    return np.random.default_rng([seed, crc32(text.query_id.encode()), crc32(text.doc_id.encode())])


def _length(text: LabelledText, longest: int, draws: np.random.Generator) -> int:
    """How many sentences a passage is to have."""
    return int(draws.integers(1, min(longest, len(text.sentences)) + 1))


def _around(text: LabelledText, longest: int, draws: np.random.Generator) -> tuple[int, int]:
    """Where a passage begins and ends that holds a relevant sentence, at any place in it."""
    length = _length(text, longest, draws)
    held = int(draws.choice(text.relevant))
    first, last = max(0, held - length + 1), min(held, len(text.sentences) - length)
    begin = int(draws.integers(first, last + 1))
    return begin, begin + length


def _anywhere(text: LabelledText, longest: int, draws: np.random.Generator) -> tuple[int, int]:
    """Where a passage begins and ends, whatever it holds."""
    length = _length(text, longest, draws)
    begin = int(draws.integers(0, len(text.sentences) - length + 1))
    return begin, begin + length
