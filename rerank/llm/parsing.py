"""Reading what language models say: orders and labels out of text. Nothing that a model may say raises.

An output that is not of the asked form is repaired where its meaning is plain, and every repair is told by its kind;
where it is not, it is unreadable, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rankloom.thoughts import without_thought

Repair = Literal[
    "repeated",  # a passage stands twice; the first place counts
    "unknown",  # a number or label that no passage has
    "missing",  # a passage is left out; it goes behind the others, in the order so far
    "wordy",  # words around the answer
    "untagged",  # an answer outside of the tags it was to stand in
]

_ANSWER = re.compile("<(/?)answer>", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")
_BRACKET = re.compile(r"\[\s*[0-9]|[0-9]\s?\]")
_IN_ORDER = re.compile(  # in brackets, of which the first or last may be lost, or beside `>`; `2.` begins a line
    r"\[\s*([0-9][0-9\s,;>]*)(?:\]|\Z)|(?<![0-9])([0-9]+)\s{0,3}(?=[>\]])|(?<=>)\s{0,3}([0-9]+)(?![.)0-9])"
)
_UNDECIDED = re.compile(r"\b(?:both|equal(?:ly)?|tied?)\b", re.IGNORECASE)
_NEITHER = re.compile(r"\b(?:neither|none)\b", re.IGNORECASE)
_WORDS = "passage|document|option|answer|label|choice"
_GIVEN_A_REASON = r"(?:>|(?:because|since|as|is\s+(?:the\s+)?(?:more|most)\s+relevant)\b)"
_AROUND = r"[\s\"'`*_.,:;()\[\]<>#-]{0,12}"  # marks around a label
_LONGEST_NUMBER = 6  # digits; what is longer is no passage, and costly to read


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """An order as it was read.

    Args:
        order: Places of all passages, best first; empty if nothing could be read.
        repairs: Kind of repair -> how many.
    """

    order: tuple[int, ...]
    repairs: Mapping[Repair, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """A choice as it was read.

    Args:
        place: Of the passage that was chosen; None if none was.
        verdict: `chosen`, `tie` if the output says so, or `unreadable`.
        repairs: Kind of repair -> how many.
    """

    place: int | None
    verdict: Literal["chosen", "tie", "unreadable"]
    repairs: Mapping[Repair, int] = field(default_factory=dict)


def answer_of(output: str) -> tuple[str, bool]:
    """What stands in answer tags, or else what follows the thinking; and whether there were such tags.

    A thought that never ends has no answer; of several answers, the last counts.

    Example:
        >>> answer_of("<think>The third.</think> <answer>[3]</answer>")
        ('[3]', True)
        >>> answer_of("[2] > [1]")
        ('[2] > [1]', False)
    """
    said = without_thought(output)
    tags = list(_ANSWER.finditer(said))
    begins = [place for place, tag in enumerate(tags) if not tag.group(1)]
    if not begins:
        return said.strip(), False
    last = begins[-1]
    end = tags[last + 1].start() if last + 1 < len(tags) else len(said)
    return said[tags[last].end() : end].strip(), True


def read_order(output: str, passages: int) -> ReadOrder:
    """The order of numbered passages: all numbers, as RankGPT reads it, whatever stands between them.

    Where an answer has numbers in brackets, only these and those beside `>` are read: others count passages or lines.

    Args:
        output: What a model said.
        passages: How many there are; they are numbered from 1.

    Example:
        >>> read_order("[2] > [1] > [2] > [7]", passages=3)
        ReadOrder(order=(1, 0, 2), repairs={'repeated': 1, 'unknown': 1, 'missing': 1})
    """
    answer, _ = answer_of(output)
    in_order = _IN_ORDER.finditer(answer) if _BRACKET.search(answer) else ()
    numbers = _places(" ".join(found.group() for found in in_order))
    known = [number for number in numbers if 0 <= number < passages]
    if not known:
        numbers = _places(answer)
        known = [number for number in numbers if 0 <= number < passages]
    first = list(dict.fromkeys(known))
    if not first:
        return ReadOrder(())
    left_out = [place for place in range(passages) if place not in set(first)]
    counts: dict[Repair, int] = {
        "repeated": len(known) - len(first),
        "unknown": len(numbers) - len(known),
        "missing": len(left_out),
    }
    return ReadOrder((*first, *left_out), {kind: count for kind, count in counts.items() if count})


def read_label(output: str, labels: Sequence[str], *, tagged: bool = False) -> ReadLabel:
    """Which passage was chosen.

    A label alone, with or without a word such as `Passage`, is the asked form. Within other words, labels count that
    stand behind such a word, in brackets, quotes or asterisks, or at the start. Of several, one is chosen only where
    that is plain: it alone has a line of its own, or it stands at the start with a reason (`because`, `is more relevant
    than`, `>`); one that is denied (`not Passage A`, `Passage A is less`) is not chosen. `Both`, `equal`, `equally` and
    `tie` make a tie of several, `neither` and `none` of any.

    Args:
        output: What a model said.
        labels: Of the passages, all letters such as `A`, or all numbers in brackets such as `[1]`.
        tagged: Whether the answer was to stand in answer tags.

    Example:
        >>> read_label("Passage B", ["A", "B"]).place
        1
        >>> read_label("Both passages are equally relevant: A, B", ["A", "B"]).verdict
        'tie'
    """
    answer, in_tags = answer_of(output)
    repairs: dict[Repair, int] = {"untagged": 1} if tagged and not in_tags else {}
    bare = [label.strip("[]") for label in labels]
    form = rf"{_AROUND}(?:(?:{_WORDS}){_AROUND})?({_one_of(bare)}){_AROUND}"
    alone = re.fullmatch(form, answer, re.IGNORECASE | re.ASCII)  # of all letters, only these
    if alone:
        return _chosen(alone.group(1), bare, repairs)
    named = [found.group(1) or found.group(2) or found.group(3) for found in _mentions(bare).finditer(answer)]
    known = [name for name in named if name in bare]
    if _NEITHER.search(answer) or (len(set(known)) != 1 and _UNDECIDED.search(answer)):
        return ReadLabel(None, "tie", {**repairs, "wordy": 1})
    meant = _meant(answer, known, form)
    return ReadLabel(None, "unreadable", repairs) if meant is None else _chosen(meant, bare, {**repairs, "wordy": 1})


def _places(text: str) -> list[int]:
    """All numbers of a text as places, from 0."""
    return [int(found) - 1 if len(found) <= _LONGEST_NUMBER else -1 for found in _NUMBER.findall(text)]


def _meant(answer: str, known: Sequence[str], form: str) -> str | None:
    """Which of the labels that a sentence names it chooses; None if that is not plain.

    Args:
        answer: The sentence.
        known: The labels in it, in order.
        form: The pattern of a label alone.
    """
    lines = (re.fullmatch(form, line, re.IGNORECASE | re.ASCII) for line in answer.splitlines())
    alone = {found.group(1).upper() for found in lines if found}
    if alone:
        return alone.pop() if len(alone) == 1 else None
    if len(set(known)) == 1:
        before = rf"(?i:\bnot\s+(?:the\s+)?(?:(?:{_WORDS}){_AROUND})?)"
        after = rf"{_AROUND}(?i:is\s+(?:not|less|least)\b)"
        return None if re.search(rf"{before}{known[0]}\b|\b{known[0]}{after}", answer) else known[0]
    reason = re.match(form + _GIVEN_A_REASON, answer, re.IGNORECASE | re.ASCII)
    return reason.group(1) if known and reason else None


def _one_of(bare: Sequence[str]) -> str:
    """A pattern for any of the labels."""
    return "|".join(re.escape(label) for label in sorted(bare, key=len, reverse=True))


def _mentions(bare: Sequence[str]) -> re.Pattern[str]:
    """A pattern for labels within a sentence: behind a word, in marks, or at the start before a mark."""
    any_label = r"[0-9]{1,6}" if bare[0].isdigit() else r"[A-Z]"
    behind = rf"(?i:\b(?:{_WORDS})){_AROUND}(?i:is\b)?{_AROUND}({any_label})\b(?!\s+(?i:{_WORDS})\b)"  # no article
    marked = rf"[\[(\"'`*]({any_label})[\])\"'`*.:]"
    start = rf"\A({any_label})(?:[.:,)\n>]|\s+(?:is\b|>))"
    return re.compile(f"{behind}|{marked}|{start}", re.ASCII)


def _chosen(name: str, bare: Sequence[str], repairs: Mapping[Repair, int]) -> ReadLabel:
    """The choice of a label."""
    return ReadLabel(bare.index(name.upper()), "chosen", repairs)
