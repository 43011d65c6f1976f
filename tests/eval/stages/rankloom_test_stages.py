"""Stages for tests of the experiment runner, named in YAML as `rankloom_test_stages:Class`.

Each appends a line to the file named by RANKLOOM_TEST_LOG for every unit of queries that it computes.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

from rankloom.corpus import Corpus
from rankloom.extras import require
from rankloom.ledger import Note
from rankloom.ranking import Ranking
from rankloom.records import Documents, Span
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Pruner, Reranker, Retriever


def log(stage: str, run: Run) -> None:
    """Append one line: the stage and the queries it begins to compute."""
    path = os.environ.get("RANKLOOM_TEST_LOG")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{stage} {','.join(query.id for query in run.queries)}\n")


class Words(Retriever):
    """Scores documents by the number of words they share with the query."""

    name = "words"
    unit = 1

    def __init__(self, corpus: Corpus, *, k: int = 20, seconds: float = 0.0) -> None:
        self.corpus, self.k, self.seconds = corpus, k, seconds

    @classmethod
    def for_corpus(cls, corpus: Corpus, session: Session, *, k: int = 20, seconds: float = 0.0) -> Self:  # noqa: ARG003
        return cls(corpus, k=k, seconds=seconds)

    @property
    def documents(self) -> Documents:
        return self.corpus

    def __call__(self, run: Run) -> Run:
        log(self.name, run)
        time.sleep(self.seconds)
        texts = [(document.id, set(document.contents.lower().split())) for document in self.corpus]
        lists = []
        for query in run.queries:
            words = set(query.text.lower().split())
            scores = ((doc_id, float(len(words & held))) for doc_id, held in texts)
            lists.append([(doc_id, score) for doc_id, score in scores if score])
        notes = [Note(self.name, "no_hits", q.id) for q, hits in zip(run.queries, lists, strict=True) if not hits]
        return run.ranked(Ranking.from_lists(lists, stage=self.name).top(self.k)).noted(*notes)


class Lengths(Reranker):
    """Prefers short documents."""

    name = "lengths"
    unit = 1

    def __init__(self, *, seconds: float = 0.0, power: float = 1.0) -> None:
        self.seconds, self.power = seconds, power

    def __call__(self, run: Run) -> Run:
        log(self.name, run)
        time.sleep(self.seconds)
        lists = [[(hit.doc_id, 1000.0 / (1 + len(hit.text)) ** self.power) for hit in hits] for hits in run.values()]
        return run.ranked(Ranking.from_lists(lists, stage=self.name)).counted(calls=len(run), tokens=10 * len(run))


class Failing(Reranker):
    """Fails on a certain query, or on the first."""

    name = "failing"
    unit = 2

    def __init__(self, *, on: str = "") -> None:
        self.on = on

    def __call__(self, run: Run) -> Run:
        log(self.name, run)
        if not self.on or self.on in run:
            message = "the model is on fire"
            raise RuntimeError(message)
        return run


class NeedsExtra(Reranker):
    """Needs a package that is not installed, and says so when it is made."""

    name = "needs_extra"

    def __init__(self) -> None:
        require("no_such_module_anywhere", extra="dense", stage=self.name)

    def __call__(self, run: Run) -> Run:
        return run


class FirstSentence(Pruner):
    """Keeps the first sentence of each document."""

    name = "first_sentence"

    def __call__(self, run: Run) -> Run:
        ranking = run.hits(stage=self.name)
        spans = []
        for hits in run.values():
            for document in hits.documents():
                ends = [m.end() for m in re.finditer(r"[.?!](?=\s|$)", document.text)] or [len(document.text)]
                starts = [0, *(end + 1 for end in ends[:-1])]
                spans.append(
                    tuple(
                        Span(start, end, float(not n), not n, "" if not n else "not the first")
                        for n, (start, end) in enumerate(zip(starts, ends, strict=True))
                    )
                )
        return run.ranked(replace(ranking, spans=tuple(spans)))
