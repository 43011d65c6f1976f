"""Answers as strings: how they are brought to one form, compared, and looked for in a text.

The rules are those of SQuAD's evaluation script (Rajpurkar et al., EMNLP 2016), which question answering has shared
since. They fit languages that put spaces between words.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping

from rankloom.errors import DataError
from rankloom.records import Query

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without punctuation and English articles, one space between words.

    >>> normalise("The  Sky, it's BLUE!")
    'sky its blue'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, gold: Iterable[str]) -> float:
    """1 if the answer equals one of the right ones once normalised, else 0.

    >>> exact_match("The sky.", ["sea", "sky"])
    1.0
    """
    return float(normalise(answer) in {normalise(one) for one in gold})


def token_f1(answer: str, gold: Iterable[str]) -> float:
    """The harmonic mean of precision and recall of words, against the right answer that fits best.

    >>> token_f1("blue light scatters", ["the blue light"])
    0.8
    """
    return max((_f1(normalise(answer).split(), normalise(one).split()) for one in gold), default=0.0)


def holds(text: str, answer: str) -> bool:
    """Whether a text holds an answer as whole words, both normalised.

    >>> holds("It was in New York, in May.", "new york"), holds("A Newcastle", "new")
    (True, False)
    """
    wanted = normalise(answer)
    return bool(wanted) and f" {wanted} " in f" {normalise(text)} "


def gold_answers(queries: Iterable[Query]) -> dict[str, tuple[str, ...]]:
    """The right answers that queries carry in their metadata, under the key `answers`; queries without are left out.

    Raises:
        DataError: They are neither a string nor a list of strings.
    """
    found = {query.id: _as_strings(query.id, query.metadata) for query in queries if "answers" in query.metadata}
    return {query_id: answers for query_id, answers in found.items() if answers}


def _f1(answer: list[str], gold: list[str]) -> float:
    """F1 of two bags of words; two empty ones are equal."""
    if not answer or not gold:
        return float(answer == gold)
    common = sum((Counter(answer) & Counter(gold)).values())
    return 2 * common / (len(answer) + len(gold))


def _as_strings(query_id: str, metadata: Mapping[str, object]) -> tuple[str, ...]:
    """One answer or several."""
    given = metadata["answers"]
    answers = [given] if isinstance(given, str) else given
    if not isinstance(answers, list | tuple) or not all(isinstance(answer, str) for answer in answers):
        raise DataError(f"answers of the query {query_id!r}", value=given, accepted="a string or a list of strings")
    return tuple(answers)
