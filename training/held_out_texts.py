"""What is held out of labelled texts, so that nothing that is measured has been trained on, not even a sentence."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from rankloom.eval.labelled_sentences import LabelledText
from rankloom.training.pairs import same_text

#: What counts are called.
SHARED = "questions that share a text with held-out ones"
SEEN = "not held out, as the start was trained on them"


class Split(NamedTuple):
    """The texts of a source.

    Args:
        training: To train on.
        held_out: To be measured on: of other questions and of other texts.
    """

    training: list[LabelledText]
    held_out: list[LabelledText]


def drawn(texts: Sequence[LabelledText], limit: int | None, *, seed: int) -> list[LabelledText]:
    """The texts of so many questions, question after question in a drawn order.

    The order is that of digests of the seed and what is asked, so that it depends neither on the order of a file nor on
    how it is read.
    """
    by_question: dict[str, list[LabelledText]] = {}
    for one in texts:
        by_question.setdefault(same_text(one.question), []).append(one)
    order = sorted(by_question, key=lambda asked: hashlib.sha256(f"{seed}\n{asked}".encode()).hexdigest())
    return [one for asked in order[:limit] for one in by_question[asked]]


def hold_out(texts: Sequence[LabelledText], count: int, *, seen: Collection[str], counts: Counter[str]) -> Split:
    """What is trained on, and what is not: texts are closed until they answer enough questions.

    A question whose texts are all closed is held out. One that has both is left out.

    Args:
        texts: In a drawn order.
        count: How many questions are to be held out.
        seen: What the model that training starts from was trained on, as `same_text` leaves it; none is held out.
        counts: Takes what was left out, and why.
    """
    texts_of: dict[str, set[str]] = {}
    for one in texts:
        texts_of.setdefault(one.query_id, set()).add(one.doc_id)
    fresh = {one.query_id: texts_of[one.query_id] for one in texts if same_text(one.question) not in seen}
    closed: set[str] = set()
    for own in fresh.values():
        if sum(some <= closed for some in fresh.values()) >= count:
            break
        closed |= own
    held = {query_id for query_id, own in fresh.items() if own <= closed}
    open_ = {query_id for query_id, own in texts_of.items() if closed.isdisjoint(own)}
    counts[SHARED] += len(texts_of) - len(open_) - len(held)
    if len(fresh) < len(texts_of):
        counts[SEEN] += max(0, count - len(held))
    return Split([one for one in texts if one.query_id in open_], [one for one in texts if one.query_id in held])


def sentences_of(texts: Iterable[LabelledText]) -> set[str]:
    """All sentences of texts, as `same_text` leaves them."""
    return {same_text(sentence) for one in texts for sentence in one.sentences}


def shares(text: LabelledText, sentences: Collection[str]) -> bool:
    """Whether a text has one of some sentences."""
    return any(same_text(one) in sentences for one in text.sentences)


def halves(held_out: Sequence[LabelledText]) -> tuple[list[LabelledText], list[LabelledText]]:
    """Two halves of what is held out: to choose a threshold on, and to say how well that does.

    Every other question is of the first; of the second are others, but for texts that share a sentence with the first.
    """
    first = set(list(dict.fromkeys(same_text(one.question) for one in held_out))[::2])
    chosen_on = [one for one in held_out if same_text(one.question) in first]
    known = sentences_of(chosen_on)
    others = [one for one in held_out if same_text(one.question) not in first]
    return chosen_on, [one for one in others if not shares(one, known)]
