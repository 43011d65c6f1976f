"""Reading which numbered sentences an answer cites. Nothing that a model may say raises.

The rules are those by which the authors of Provence read their labels (arXiv:2501.16214), but for two: ranges such as
[2-4] are read, and an answer whose every number is wrong tells nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rankloom.thoughts import without_thought

#: What a model is told to say where no sentence helps.
NO_ANSWER = "No answer"
_CITATION = re.compile(r"\[\s*(\d[\d\s,;–-]*)\]")  # noqa: RUF001  # ranges may have either dash
_RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")  # noqa: RUF001
_LONGEST_NUMBER = 6  # digits; what is longer is no sentence, and costly to read


@dataclass(frozen=True, slots=True)
class CitedSentences:
    """Which sentences an answer cites.

    Args:
        places: Of these sentences, ascending; empty unless the verdict is `cited`.
        verdict: `cited`, `no_answer` if the answer says that there is none, or `unreadable` if it says neither.
        unknown: Numbers in it that no sentence has.
        overruled: Sentences that it cites although it says that there is no answer; they do not count.
    """

    places: tuple[int, ...]
    verdict: Literal["cited", "no_answer", "unreadable"]
    unknown: int = 0
    overruled: int = 0


def read_citations(output: str, sentences: int) -> CitedSentences:
    """Which sentences an answer cites, as in `[0]`, `[1][3]`, `[1, 3]` and `[1-3]`.

    `No answer` anywhere in it means that there is none; in other letters (`no answer`), only where nothing is cited.

    Args:
        output: What a model said; a thought before it does not count.
        sentences: How many sentences it was shown, numbered from 0.

    Example:
        >>> read_citations("Air scatters blue light [1, 4].", sentences=3)
        CitedSentences(places=(1,), verdict='cited', unknown=1, overruled=0)
        >>> read_citations("No answer", sentences=3).verdict, read_citations("The sky is blue.", sentences=3).verdict
        ('no_answer', 'unreadable')
    """
    said = without_thought(output)
    numbers: set[int] = set()
    for citation in _CITATION.finditer(said):
        for first, last in _RANGE.findall(citation.group(1)):
            ends = sorted(int(number[: _LONGEST_NUMBER + 1]) for number in (first, last or first))
            last_counted = min(ends[1], max(ends[0], sentences))  # a range far beyond the last sentence is unknown once
            numbers.update(range(ends[0], last_counted + 1))
    known = tuple(sorted(number for number in numbers if number < sentences))
    unknown = len(numbers) - len(known)
    if NO_ANSWER in said:
        return CitedSentences((), "no_answer", unknown, overruled=len(known))
    if known:
        return CitedSentences(known, "cited", unknown)
    denied = not numbers and NO_ANSWER.lower() in said.lower()
    return CitedSentences((), "no_answer" if denied else "unreadable", unknown)
