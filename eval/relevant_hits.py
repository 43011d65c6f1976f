"""Where relevant documents stand in rankings: judgements matched to hits, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.order import blocks
from rankloom.ranking import Ranking

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RelevantHits:
    """Judgements with a grade above 0, and the hits among them; all else counts as not relevant in every measure.

    Queries are the judged ones, numbered from 0. Columns go by query; judgements by grade descending within one,
    hits by rank ascending.

    Args:
        retrieved: How many hits each query has, relevant or not; int64 of shape (queries,).
        judged_queries: Query of each judgement; int64 of shape (judgements,).
        judged_grades: Grade of each judgement, likewise.
        queries: Query of each relevant hit; int64 of shape (relevant hits,).
        ranks: Rank of each relevant hit in its query's ranking, from 1; likewise.
        grades: Grade of each relevant hit; likewise.
    """

    retrieved: Integers
    judged_queries: Integers
    judged_grades: Integers
    queries: Integers
    ranks: Integers
    grades: Integers

    @classmethod
    def match(cls, ranking: Ranking, rows: Integers, judgements: Sequence[Mapping[str, int]]) -> RelevantHits:
        """Find the relevant hits of a ranking.

        Args:
            ranking: The hits.
            rows: Which query of the ranking each judged query is, -1 for one without; int64 of shape (queries,).
            judgements: Document id -> grade, for each judged query.

        Raises:
            DataError: A grade is no whole number.

        Example:
            >>> ranking = Ranking.from_lists([[("d1", 2.0), ("d2", 1.0), ("d3", 0.5)]], stage="example")
            >>> found = RelevantHits.match(ranking, np.array([0]), [{"d3": 1, "d1": 2, "d2": 0, "d9": 1}])
            >>> found.ranks.tolist(), found.grades.tolist(), found.judged_grades.tolist()
            ([1, 3], [2, 1], [2, 1, 1])
        """
        queries, grades, doc_ids = _relevant(judgements)
        codes = ranking.ids.codes(doc_ids)
        retrieved = np.where(rows >= 0, np.append(ranking.counts(), 0)[rows], 0)
        known = np.flatnonzero((rows[queries] >= 0) & (codes >= 0))
        keys = rows[queries[known]] * len(ranking.ids) + codes[known]
        by_key = np.argsort(keys)
        hits, matched = _matches(ranking, codes[known], keys[by_key])
        judgement = known[by_key][matched]
        by_query = np.argsort(queries[judgement], kind="stable")  # from the run's order of queries to ours
        hits, judgement = hits[by_query], judgement[by_query]
        found = queries[judgement]
        best_first = np.lexsort((-grades, queries))
        return cls(
            retrieved=retrieved,
            judged_queries=queries[best_first],
            judged_grades=grades[best_first],
            queries=found,
            ranks=hits - ranking.offsets[rows[found]] + 1,
            grades=grades[judgement],
        )

    def at_level(self, level: int) -> RelevantHits:
        """Only grades of at least `level`, which is 1 or more."""
        judged, hit = self.judged_grades >= level, self.grades >= level
        return replace(
            self,
            judged_queries=self.judged_queries[judged],
            judged_grades=self.judged_grades[judged],
            queries=self.queries[hit],
            ranks=self.ranks[hit],
            grades=self.grades[hit],
        )


def _relevant(judgements: Sequence[Mapping[str, int]]) -> tuple[Integers, Integers, list[str]]:
    """Query, grade and document of each judgement with a grade above 0."""
    all_grades = np.array([grade for one in judgements for grade in one.values()])
    if all_grades.size and all_grades.dtype.kind not in "bi":
        raise DataError("a grade is no whole number", stage="evaluate", accepted="whole numbers such as 0, 1, 2, 3")
    relevant = all_grades > 0
    queries = np.repeat(np.arange(len(judgements)), [len(one) for one in judgements])
    doc_ids = [doc_id for one in judgements for doc_id, grade in one.items() if grade > 0]
    return queries[relevant], all_grades[relevant].astype(np.int64), doc_ids


def _matches(ranking: Ranking, codes: NDArray[np.int32], keys: Integers) -> tuple[Integers, Integers]:
    """Hits that have a judgement, and which.

    Args:
        ranking: The hits.
        codes: Codes of all judged documents, in any order.
        keys: query of the ranking * size of its id table + code, for each judgement; ascending.

    Returns:
        Places of hits in the ranking's columns, ascending, and for each the place of its key.
    """
    size = len(ranking.ids)
    judged_anywhere = np.zeros(size, dtype=np.bool_)
    judged_anywhere[codes] = True  # most hits are of documents that no query judges: no search for them
    keys = np.append(keys, np.iinfo(np.int64).max)  # so that every place found below is a place in the array
    found: list[tuple[Integers, Integers]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for first, last in blocks(ranking.offsets):
        start, end = int(ranking.offsets[first]), int(ranking.offsets[last])
        candidates = np.flatnonzero(judged_anywhere[ranking.codes[start:end]]) + start
        numbers = np.searchsorted(ranking.offsets[first : last + 1], candidates, side="right") - 1 + first
        wanted = numbers * size + ranking.codes[candidates]
        begin, stop = np.searchsorted(keys, [first * size, last * size])
        places = np.searchsorted(keys[begin:stop], wanted) + begin
        judged = keys[places] == wanted
        found.append((candidates[judged], places[judged]))
    return np.concatenate([hits for hits, _ in found]), np.concatenate([places for _, places in found])
