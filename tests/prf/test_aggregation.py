from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import ScoreKind
from rankloom.errors import UsageError
from rankloom.prf.aggregation import AGGREGATIONS, MISSING, aggregate
from rankloom.ranking import Ranking

LISTS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(-4, 9).map(float), max_size=6), min_size=1, max_size=4
)


def by_hand(lists, method, missing):
    """The formulas of the paper for one query, list after list."""
    documents = sorted({doc for one in lists for doc in one})
    scores = dict.fromkeys(documents, 0.0)
    for doc in documents:
        if method == "max":
            scores[doc] = max(one[doc] for one in lists if doc in one)
            continue
        for one in lists:
            if method == "average":
                absent = min(one.values(), default=0.0) if missing == "minimum" else 0.0
                scores[doc] += one.get(doc, absent) / len(lists)
            elif doc in one:
                rank = 1 + sum((-other, name) < (-one[doc], doc) for name, other in one.items())
                scores[doc] += (len(one) - rank + 1) / len(one)
    return scores


def combined(lists, owners, queries, method="borda", *, missing="minimum", kind=ScoreKind.SIMILARITY):
    found = Ranking.from_lists([one.items() for one in lists], stage="test", kind=kind)
    return aggregate(found, np.array(owners), queries, method=method, missing=missing, stage="text_prf")


def scores_of(ranking, number):
    start, end = ranking.bounds(number)
    return dict(zip(ranking.doc_ids(number), ranking.scores[start:end].tolist(), strict=True))


@pytest.mark.parametrize("method", AGGREGATIONS)
@pytest.mark.parametrize("missing", MISSING)
@settings(deadline=None)  # imports count in the first example
@given(queries=st.lists(LISTS, min_size=1, max_size=3))
def test_the_formulas_by_brute_force(method, missing, queries):
    lists = [one for query in queries for one in query]
    owners = [number for number, query in enumerate(queries) for _ in query]
    ranking = combined(lists, owners, len(queries), method, missing=missing)
    for number, query in enumerate(queries):
        assert scores_of(ranking, number) == pytest.approx(by_hand(query, method, missing), abs=1e-5)
        start, end = ranking.bounds(number)
        assert (np.diff(ranking.scores[start:end]) <= 0).all()


def test_borda_by_hand():
    ranking = combined([{"a": 9.0, "b": 8.0, "c": 1.0}, {"b": 0.3, "d": 0.2}], [0, 0], 1)
    # first list: a 3/3, b 2/3, c 1/3; second: b 2/2, d 1/2
    assert scores_of(ranking, 0) == pytest.approx({"b": 5 / 3, "a": 1.0, "d": 0.5, "c": 1 / 3})
    assert ranking.kind is ScoreKind.RANK


def test_average_and_max_keep_what_scores_mean():
    for method in ("average", "max"):
        assert combined([{"a": 1.0}], [0], 1, method, kind=ScoreKind.LOGIT).kind is ScoreKind.LOGIT


def test_ranks_are_not_averaged():
    assert scores_of(combined([{"a": 1.0}], [0], 1, kind=ScoreKind.RANK), 0) == {"a": 1.0}
    with pytest.raises(UsageError, match=r"text_prf.*only stand for ranks.*borda"):
        combined([{"a": 1.0}], [0], 1, "average", kind=ScoreKind.RANK)


def test_queries_of_no_new_query_and_of_no_hits_have_none():
    ranking = combined([{}, {"a": 1.0}], [0, 2], 3)
    assert ranking.counts().tolist() == [0, 0, 1]
    assert combined([], [], 0).counts().tolist() == []


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_hits_below_the_rerankers_depth_stay_below(method):
    found = Ranking.from_lists(
        [{"c": 9.0, "a": 8.0, "x": 7.0, "y": 6.0}.items(), {"a": 5.0, "c": 1.0, "x": 0.5, "y": 0.2}.items()],
        stage="test",
    )
    found = replace(found, scored=np.array([2, 2]))
    ranking = aggregate(found, np.array([0, 0]), 1, method=method, missing="minimum", stage="text_prf")
    assert scores_of(ranking, 0) == pytest.approx(
        by_hand([{"c": 9.0, "a": 8.0}, {"a": 5.0, "c": 1.0}], method, "minimum")
        | {"x": min(ranking.scores), "y": min(ranking.scores)}
    )
    assert ranking.doc_ids(0)[2:] == ["x", "y"]
    assert ranking.scores[1] > ranking.scores[2] > ranking.scores[3]
    assert ranking.scored.tolist() == [2]


def test_without_a_scored_hit_the_order_is_that_of_the_best_ranks():
    found = replace(Ranking.from_lists([{"b": 2.0, "a": 1.0}.items()], stage="test"), scored=np.array([0]))
    ranking = aggregate(found, np.array([0]), 1, method="borda", missing="minimum", stage="text_prf")
    assert ranking.doc_ids(0) == ["b", "a"]
    assert ranking.scores[0] == 0 > ranking.scores[1]
    assert ranking.scored.tolist() == [0]
