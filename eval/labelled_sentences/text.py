"""The record of a text whose sentences are labelled, and how readers of all formats make some."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from rankloom.errors import DataError
from rankloom.ledger import Note

STAGE = "read_labelled"


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A question, a text in sentences, and which of these help to answer it.

    Args:
        query_id: Id of the question.
        question: The question, or a claim that the text supports or refutes.
        doc_id: Id of the text.
        title: Its title; empty if the file has none.
        sentences: Joined without anything between, they give the text: each but the last brings its own space.
        relevant: Places of the relevant sentences, ascending; empty where the text does not answer the question.

    Raises:
        DataError: A sentence is blank; or a place is none of a sentence, stands twice, or is out of order.

    Example:
        >>> sky = LabelledText("q1", "why is the sky blue", "d1", "", ("Air scatters light. ", "Bread is old."), (0,))
        >>> sky.text, sky.offsets()
        ('Air scatters light. Bread is old.', ((0, 19),))
    """

    query_id: str
    question: str
    doc_id: str
    title: str
    sentences: tuple[str, ...]
    relevant: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that labels are of sentences."""
        if not all(sentence.strip() for sentence in self.sentences):
            raise DataError("a sentence is blank", stage=STAGE, value=self.doc_id)
        if self.relevant != tuple(sorted({*self.relevant} & {*range(len(self.sentences))})):
            raise DataError(
                f"labels of {self.doc_id!r} are not of its sentences, or not in order",
                stage=STAGE,
                value=self.relevant,
                accepted=f"places from 0 to {len(self.sentences) - 1}, ascending",
            )

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.sentences)

    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each sentence in the text, without the spaces around it."""
        starts = [0, *accumulate(len(sentence) for sentence in self.sentences)]
        return tuple(
            (start + len(one) - len(one.lstrip()), start + len(one.rstrip()))
            for start, one in zip(starts, self.sentences, strict=False)
        )

    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Those of the relevant sentences alone."""
        bounds = self.bounds()
        return tuple(bounds[place] for place in self.relevant)


class LabelledTexts:
    """What a reader fills: one record for each question and text, and notes of what is left out of it.

    Attributes:
        notes: What was left out.
    """

    def __init__(self) -> None:
        self._by_pair: dict[tuple[str, str], LabelledText] = {}
        self.notes: list[Note] = []

    @property
    def texts(self) -> list[LabelledText]:
        """The records, in the order in which they came."""
        return list(self._by_pair.values())

    def add(
        self,
        *,
        query_id: str,
        question: str,
        doc_id: str,
        title: str = "",
        sentences: Sequence[str],
        relevant: Iterable[int],
        as_they_are: bool = False,
    ) -> None:
        """Take in a record; where the pair is there already, what either says is relevant is relevant.

        Spaces around sentences become one between them. Blank sentences are left out and noted, and so is a text
        without any other.

        Args:
            query_id: Id of the question.
            question: The question.
            doc_id: Id of the text.
            title: Its title.
            sentences: As they stand in the file.
            relevant: Places of the relevant ones in `sentences`, in any order.
            as_they_are: Whether sentences bring their spaces, and none is blank.

        Raises:
            ValueError: What is wrong with the record, in words; the reader knows where it stands.
        """
        _check(question, sentences, wanted := list(relevant))
        places = [place for place, sentence in enumerate(sentences) if sentence.strip()]
        if blank := len(sentences) - len(places):
            self.notes.append(Note(STAGE, "skipped_record", query_id, doc_id, blank, "blank sentences"))
        if not places:
            self.notes.append(Note(STAGE, "skipped_record", query_id, doc_id, detail="a text without sentences"))
            return
        spaced = [sentences[place] if as_they_are else f"{sentences[place].strip()} " for place in places]
        spaced[-1] = spaced[-1] if as_they_are else spaced[-1].rstrip()
        kept = tuple(number for number, place in enumerate(places) if place in wanted)
        self._merge(LabelledText(query_id, question.strip(), doc_id, title.strip(), tuple(spaced), kept))

    def _merge(self, text: LabelledText) -> None:
        """Put a record to the one of its question and text."""
        pair = text.query_id, text.doc_id
        known = self._by_pair.setdefault(pair, text)
        if (known.question, known.sentences) != (text.question, text.sentences):
            raise ValueError(f"the question {pair[0]!r} or the text {pair[1]!r} reads otherwise in an earlier record")
        self._by_pair[pair] = replace(known, relevant=tuple(sorted({*known.relevant, *text.relevant})))


def page_id(title: str) -> str:
    """An id of a page of Wikipedia: the title with underscores, as runs in TREC's format hold no spaces in ids."""
    return "_".join(title.split())


def in_hidden_order(key: str, sentences: Iterable[str]) -> list[str]:
    """Sentences each once, in an order that does not tell which are relevant: that of digests of key and sentence.

    Args:
        key: What tells texts apart, such as the id.
        sentences: In any order.
    """
    once = dict.fromkeys(sentences)
    return sorted(once, key=lambda sentence: hashlib.sha256(f"{key}\n{sentence}".encode()).hexdigest())


def _check(question: str, sentences: Sequence[str], relevant: Sequence[int]) -> None:
    """Refuse what is no record.

    Raises:
        ValueError: What is wrong, in words.
    """
    if not isinstance(question, str) or not question.strip():
        raise ValueError("the question is blank")
    if not isinstance(sentences, list | tuple) or not all(isinstance(sentence, str) for sentence in sentences):
        raise ValueError("the sentences are no list of strings")
    for place in relevant:
        if type(place) is not int or not 0 <= place < len(sentences):
            raise ValueError(f"there is no sentence {place!r} among {len(sentences)}, counted from 0")
