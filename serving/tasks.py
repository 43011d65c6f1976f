"""Tasks: what requests ask of a pipeline, what they get, and the run that several of them make together."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rankloom.corpus import MemoryDocuments
from rankloom.ranked_list import RankedList
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Query
from rankloom.run import Run
from rankloom.serving.deadlines import LeftOut
from rankloom.session import Session


@dataclass(frozen=True, slots=True)
class Found:
    """What a task gets.

    Args:
        hits: The ranking, and all that its run knows.
        left_out: Stages that it was made without.
        after: The stages that it comes from; of an answer on the way, the last ones.
        batch: How many tasks were carried out together.
        rest: Legs that are still to come.
    """

    hits: RankedList
    left_out: tuple[LeftOut, ...] = ()
    after: str = ""
    batch: int = 1
    rest: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Task:
    """One question to a pipeline.

    Args:
        query: The question.
        k: How many hits are wanted.
        seconds: How long it may take from now.
        documents: The documents that come with it, best first; None for a pipeline that searches.
        steps: Where what is found on the way is put; None if nobody looks.
    """

    query: str
    k: int
    seconds: float
    documents: tuple[Document, ...] | None = None
    steps: asyncio.Queue[Found] | None = None
    due: float = field(init=False)
    best: Found | None = field(init=False, default=None)
    answer: asyncio.Future[Found] = field(init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.due = time.monotonic() + self.seconds
        self.answer = asyncio.get_running_loop().create_future()

    @property
    def left(self) -> float:
        """Seconds until it is due; below 0 afterwards."""
        return self.due - time.monotonic()

    @property
    def waiting(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self.answer.done() and self.left > 0


class GivenDocuments(MemoryDocuments):
    """The documents of some requests, which nobody will meet again: a digest of their texts would be for nothing."""

    def fingerprint(self) -> str:
        """One that no other documents have."""
        if self._fingerprint is None:
            self._fingerprint = uuid.uuid4().hex
        return self._fingerprint


def run_of(tasks: Sequence[Task], session: Session) -> Run:
    """The run that some tasks begin with; the query of each is named by its place among them.

    Ids of documents that come with tasks are their places, so that equal scores keep the order of the request.
    """
    queries = [Query(str(place), task.query) for place, task in enumerate(tasks)]
    if all(task.documents is None for task in tasks):
        return Run.start(queries, session=session)
    held: list[Document] = []
    rankings: list[list[tuple[str, float]]] = []
    for number, task in enumerate(tasks):
        named = [replace(document, id=f"{number}/{place:07}") for place, document in enumerate(task.documents or ())]
        held.extend(named)
        rankings.append([(document.id, -float(place)) for place, document in enumerate(named)])
    ranking = Ranking.from_lists(rankings, stage="request", kind=ScoreKind.RANK)
    return Run.start(queries, documents=GivenDocuments(held), session=session).ranked(ranking)


def place_of(doc_id: str) -> int:
    """The place of a document in its request, from 0, by the id that `run_of` gives.

    >>> place_of("3/0000012")
    12
    """
    return int(doc_id.partition("/")[2])
