"""New queries in the place of a query: sent through a stage as one batch, and brought back as the query's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rankloom.execution import apply
from rankloom.ledger import Ledger
from rankloom.ranking import Ranking
from rankloom.records import Query
from rankloom.run import Run, Step
from rankloom.stage import Stage

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Voters:
    """The new queries of a run, and what a stage has made of them.

    Args:
        queries: The original queries.
        owners: The original query of each new one, by place, ascending; int64 of shape (new queries,).
        run: The new queries after the stage.
    """

    queries: tuple[Query, ...]
    owners: Integers
    run: Run

    @classmethod
    def ask(cls, stage: Stage, run: Run, texts: Sequence[Sequence[str]]) -> Voters:
        """Send new queries through a stage, all in one batch.

        Args:
            stage: What answers them. If it begins with a stage that needs a ranking, such as a reranker, each new query
                comes with the hits of its original query.
            run: The original queries.
            texts: The new queries of each, at least one.
        """
        owners = np.repeat(np.arange(len(run)), [len(one) for one in texts])
        queries = tuple(
            # the part behind the last slash has none, so ids that differ before still differ
            replace(query.as_typed(), id=f"{query.id}/{number}", text=text)
            for query, own in zip(run.queries, texts, strict=True)
            for number, text in enumerate(own, start=1)
        )
        new = Run(queries=queries, documents=run.documents, session=run.session)
        if "ranking" in stage.opening():
            new = new.ranked(run.hits(stage=stage.name).select(owners))
        return cls(run.queries, owners, apply(stage, new))

    def ledger(self) -> Ledger:
        """What was spent, and what is to be said, of the original queries."""
        ids = {
            query.id: self.queries[owner].id
            for query, owner in zip(self.run.queries, self.owners.tolist(), strict=True)
        }
        notes = tuple(replace(note, query_id=ids.get(note.query_id, note.query_id)) for note in self.run.ledger.notes)
        return Ledger(notes, self.run.ledger.costs)

    def histories(self) -> tuple[tuple[Step, ...], ...]:
        """What the stage left behind: for the first new query of each original one, for the second, and so on.

        An original query that has no more new ones has no hits there.
        """
        counts = np.bincount(self.owners, minlength=len(self.queries))
        starts = np.cumsum(counts) - counts
        found = []
        for number in range(int(counts.max(initial=0))):
            rows = np.where(number < counts, starts + number, len(self.owners))
            found.append(self._steps(self.run.steps, rows))
        return tuple(found)

    def _steps(self, steps: Sequence[Step], rows: Integers) -> tuple[Step, ...]:
        """Steps of some of the new queries, under the ids of the original ones."""
        return tuple(
            replace(
                step,
                queries=self._own(step.queries, rows),
                ranking=None if step.ranking is None else _selected(step.ranking, rows),
                branches=tuple(self._steps(branch, rows) for branch in step.branches),
                asked=self._own(step.asked, rows),
            )
            for step in steps
        )

    def _own(self, queries: Sequence[Query], rows: Integers) -> tuple[Query, ...]:
        """Some of the new queries under the ids of the original ones; a blank one where there is none."""
        return tuple(
            replace(queries[row], id=original.id) if row < len(queries) else Query(original.id, "")
            for original, row in zip(self.queries, rows.tolist(), strict=True)
        )


def _selected(ranking: Ranking, rows: Integers) -> Ranking:
    """The rankings of some queries; a place beyond the last has no hits."""
    scored = None if ranking.scored is None else np.append(ranking.scored, 0)
    return replace(ranking, offsets=np.append(ranking.offsets, ranking.offsets[-1]), scored=scored).select(rows)
