"""What a language model's answers about a document say of its sentences, and of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.language_model import Completion
from rankloom.ledger import Note
from rankloom.rerank.pair_stage import Outcome
from rankloom.rerank.pruning.blocks import Block
from rankloom.rerank.pruning.cited_sentences import read_citations
from rankloom.thoughts import without_thought

CITED, UNTOLD, NOT_CITED = 1.0, 0.5, 0.0  # probabilities of sentences
_SHOWN = 80  # characters that a note shows of an output
_COUNTS = ("unread", "empty", "title_alone", "unknown", "overruled", "cut")


class Asked(NamedTuple):
    """Sentences that a prompt has shown.

    Args:
        block: Which.
        titles: How many titles stand before them: 1 or 0.
    """

    block: Block
    titles: int


@dataclass(slots=True)
class Answers:
    """What the answers about a document say.

    Args:
        probabilities: Of its sentences; float32 of shape (sentences,).
        unread: Answers that say nothing that can be read.
        empty: Answers without text.
        title_alone: Answers that cite the title and no sentence.
        unknown: Numbers in them that no sentence has.
        overruled: Sentences that are cited beside `No answer`.
        cut: Tokens of answers that were cut.
        said: The beginning of the first that can not be read.
    """

    probabilities: NDArray[np.float32]
    unread: int = 0
    empty: int = 0
    title_alone: int = 0
    unknown: int = 0
    overruled: int = 0
    cut: int = 0
    said: str = ""

    def told(self) -> dict[str, NDArray[np.generic]]:
        """All but the probabilities, as arrays that the cache can hold."""
        said = np.frombuffer(self.said.encode("utf-8", "replace"), dtype=np.uint8)
        return {**{name: np.array([getattr(self, name)]) for name in _COUNTS}, "said": said}


def read_answers(asked: Sequence[Asked], said: Sequence[Completion]) -> Answers:
    """What the answers about a document say.

    Args:
        asked: Its sentences, as prompts have shown them.
        said: The answer to each prompt.
    """
    found = Answers(np.zeros(sum(len(one.block.lengths) for one in asked), dtype=np.float32))
    for (block, titles), answer in zip(asked, said, strict=True):
        sentences = len(block.lengths)
        cited = read_citations(answer.text, titles + sentences)
        places = [block.first + place - titles for place in cited.places if place >= titles]
        found.unknown += cited.unknown
        found.overruled += cited.overruled
        found.cut += answer.written if answer.cut else 0
        if cited.verdict == "unreadable":
            found.probabilities[block.first : block.first + sentences] = UNTOLD
            found.empty += not without_thought(answer.text).strip()
            found.unread += 1
            found.said = found.said or answer.text.strip()[:_SHOWN]
        elif cited.verdict == "cited" and not places:
            found.title_alone += 1
        found.probabilities[places] = CITED
    return found


def answer_counts(outcome: Outcome) -> dict[str, int]:
    """The counts of `Answers`, by name, of an outcome that holds them."""
    return {name: int(outcome.arrays[name][0]) for name in _COUNTS}


def answer_notes(outcome: Outcome, *, stage: str, query_id: str, doc_id: str) -> list[Note]:
    """What is to be said of the answers about a document.

    Args:
        outcome: With the arrays of `Answers.told`.
        stage: Who asked.
        query_id: For which query.
        doc_id: About which document.
    """
    count, notes = answer_counts(outcome), []
    said = outcome.arrays["said"].tobytes().decode("utf-8", "replace")
    detail = f"{repr(said) if said else 'nothing'}; the sentences are kept"
    if unread := count["unread"] - count["empty"]:
        notes.append(Note(stage, "unparsed_output", query_id, doc_id, amount=unread, detail=detail))
    if count["empty"]:
        notes.append(Note(stage, "empty_output", query_id, doc_id, amount=count["empty"], detail=detail))
    if repairs := {kind: count[kind] for kind in ("unknown", "overruled") if count[kind]}:
        detail = ", ".join(f"{amount} {kind}" for kind, amount in repairs.items())
        notes.append(Note(stage, "repaired_output", query_id, doc_id, amount=sum(repairs.values()), detail=detail))
    if count["cut"]:
        notes.append(Note(stage, "cut_output", query_id, doc_id, amount=count["cut"]))
    return notes
