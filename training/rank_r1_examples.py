"""What Rank-R1 learns from: passages of which one is to be chosen, and the reward of an output."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rankloom.fingerprint import digest
from rankloom.language_model import Prompt
from rankloom.rerank.llm.comparator import cut_words
from rankloom.rerank.llm.template import Template
from rankloom.training.contrasts import Row

_FORM = re.compile(r"<think>.*?</think>\s*<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Choice:
    """A question which passage is the most relevant.

    Args:
        prompt: As `setwise` asks it.
        answer: The label of the relevant passage, as the prompt writes it.
    """

    prompt: Prompt
    answer: str


def choice_of(row: Row, template: Template, *, passage_words: int, seed: int) -> Choice:
    """The question about a row's documents.

    Args:
        row: A query, a relevant document, and others.
        template: The prompt of the stage that is trained for.
        passage_words: Words that are shown of a document.
        seed: Of the order, which is each example's own, whatever other examples there are.
    """
    documents = [row.positive, *row.negatives]
    chance = random.Random(digest(seed, row.query, documents))  # noqa: S311  # no secret
    order = chance.sample(range(len(documents)), len(documents))
    shown = [cut_words(documents[place], passage_words)[0] for place in order]
    return Choice(template.showing(row.query, shown), template.label(order.index(0)))


def rewards(outputs: Sequence[str], answers: Sequence[str]) -> list[float]:
    """1 for a thought in tags and then the right label in tags, and 0 for all else: no part of it earns anything.

    Example:
        >>> rewards(["<think>2 says so</think> <answer> [2] </answer>", "<answer>[2]</answer>"], ["[2]", "[2]"])
        [1.0, 0.0]
    """
    found = (_FORM.search(output) for output in outputs)
    return [float(one is not None and one[1].strip() == answer) for one, answer in zip(found, answers, strict=True)]
