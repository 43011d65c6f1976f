from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import StageError
from rankloom.ids import DocIds
from rankloom.ranking import Ranking, ScoreKind, concatenate
from rankloom.records import Span

SCORES = st.sampled_from([0.0, 1.0, -1.0, 0.5]) | st.floats(-1e6, 1e6, width=32)
LISTS = st.lists(st.dictionaries(st.text("abcdé", min_size=1, max_size=2), SCORES, max_size=8), max_size=6)
KEPT, DROPPED = (Span(0, 2, 0.9, True),), (Span(0, 2, 0.1, False),)


def ranking_of(lists, **options):
    return Ranking.from_lists([one.items() for one in lists], stage="test", **options)


def as_lists(ranking):
    return [
        list(zip(ranking.doc_ids(n), ranking.scores[slice(*ranking.bounds(n))].tolist(), strict=True))
        for n in range(len(ranking))
    ]


def by_rule(hits):
    return sorted(((doc_id, float(np.float32(score))) for doc_id, score in hits.items()), key=lambda h: (-h[1], h[0]))


@given(LISTS)
@settings(deadline=None)
def test_lists_come_out_in_order(lists):
    ranking = ranking_of(lists)
    assert as_lists(ranking) == [by_rule(one) for one in lists]
    assert ranking.counts().tolist() == [len(one) for one in lists]
    assert ranking.ranks().tolist() == [rank for one in lists for rank in range(1, len(one) + 1)]
    assert ranking.query_numbers().tolist() == [number for number, one in enumerate(lists) for _ in one]


def test_columns_have_the_promised_types():
    ranking = ranking_of([{"a": 1}, {}])
    assert (ranking.offsets.dtype, ranking.codes.dtype, ranking.scores.dtype) == (np.int64, np.int32, np.float32)
    assert ranking.kind is ScoreKind.SIMILARITY


@given(LISTS, st.integers(1, 10))
@settings(deadline=None)
def test_the_top_of_a_ranking_is_its_head(lists, k):
    assert as_lists(ranking_of(lists).top(k)) == [by_rule(one)[:k] for one in lists]


@given(LISTS.filter(bool), st.data())
@settings(deadline=None)
def test_select_takes_queries_in_any_order_and_more_than_once(lists, data):
    numbers = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=8))
    assert as_lists(ranking_of(lists).select(numbers)) == [by_rule(lists[number]) for number in numbers]


@given(LISTS, st.data())
@settings(deadline=None)
def test_a_slice_is_a_selection_of_neighbours(lists, data):
    first = data.draw(st.integers(0, len(lists)))
    last = data.draw(st.integers(first, len(lists)))
    ranking = ranking_of(lists)
    assert as_lists(ranking.slice(first, last)) == as_lists(ranking.select(range(first, last)))


def pruned():
    """Two queries; spans tell which hit they belong to."""
    ranking = ranking_of([{"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 1.0, "d": 5.0}])
    spans = tuple((Span(place, place + 1, 0.5, True),) for place in range(5))
    return replace(ranking, spans=spans, scored=np.array([2, 1]))


def starts(ranking):
    return [one[0].start for one in ranking.spans]


def test_cutting_keeps_the_spans_of_the_hits_that_stay():
    cut = pruned().top(1)
    assert starts(cut) == [0, 3]
    assert cut.scored.tolist() == [1, 1]


def test_selecting_and_slicing_keep_spans_and_reranked_depth():
    assert starts(pruned().select([1, 0])) == [3, 4, 0, 1, 2]
    assert pruned().select([1, 0]).scored.tolist() == [1, 2]
    assert starts(pruned().slice(1, 2)) == [3, 4]
    assert pruned().slice(1, 2).scored.tolist() == [1]


@given(LISTS.filter(bool), st.data())
@settings(deadline=None)
def test_parts_under_different_id_tables_concatenate(lists, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(lists)), max_size=3)) | {0, len(lists)})
    parts = [ranking_of(lists[a:b]) for a, b in pairwise(cuts)]
    assert as_lists(concatenate(parts)) == [by_rule(one) for one in lists]


def test_concatenation_fills_in_what_some_parts_do_not_say():
    plain, said = ranking_of([{"x": 1.0, "y": 0.0}]), pruned()
    both = concatenate([plain, said])
    assert both.scored.tolist() == [2, 2, 1]
    assert both.spans == (None, None, *said.spans)


def test_concatenation_takes_the_kind_of_the_parts_with_hits():
    nothing, logits = Ranking.empty(1), ranking_of([{"x": 1.0}], kind=ScoreKind.LOGIT)
    assert concatenate([nothing, logits]).kind is ScoreKind.LOGIT
    assert concatenate([logits, nothing]).kind is ScoreKind.LOGIT


def test_no_hits_at_all():
    assert as_lists(Ranking.empty(2)) == [[], []]
    assert as_lists(Ranking.empty(2).top(3)) == [[], []]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_scores_name_the_stage(bad):
    with pytest.raises(StageError, match=r"^mine: 1 of 2"):
        Ranking.from_lists([[("a", bad), ("b", 1.0)]], stage="mine")


def test_a_score_too_large_for_float32_is_refused():
    with pytest.raises(StageError, match="NaN or infinite"), np.errstate(over="ignore"):
        Ranking.from_lists([[("a", 1e39)]], stage="mine")


def test_a_document_twice_in_one_query_names_stage_and_document():
    with pytest.raises(StageError, match=r"^mine: .*twice; got 'b'"):
        Ranking.from_lists([[("a", 1.0)], [("b", 1.0), ("a", 2.0), ("b", 0.5)]], stage="mine")


def test_the_same_document_in_neighbouring_queries_is_no_duplicate():
    assert as_lists(ranking_of([{"a": 1.0}, {"a": 1.0}])) == [[("a", 1.0)], [("a", 1.0)]]


def test_recoding_changes_the_table_and_not_the_hits():
    ranking = ranking_of([{"b": 2.0, "a": 1.0}])
    union, codes = ranking.ids.merge(DocIds.encode(["A", "aa"])[0])
    assert as_lists(ranking.recoded(union, codes[0])) == as_lists(ranking)


@given(LISTS)
@settings(deadline=None)
def test_a_compact_ranking_has_the_same_hits_and_only_their_ids(lists):
    ranking = ranking_of(lists)
    union, codes = ranking.ids.merge(DocIds.encode(["0", "b0"])[0])
    wide = ranking.recoded(union, codes[0])
    assert as_lists(wide.compact()) == as_lists(ranking)
    assert list(wide.compact().ids) == sorted({doc_id for one in lists for doc_id in one})


def test_rankings_that_share_ids_already_stay_as_they_are():
    ranking = ranking_of([{"a": 1.0}, {"b": 1.0}])
    first, second = ranking.slice(0, 1), ranking.slice(1, 2)
    shared = Ranking.sharing_ids([first, second, ranking_of([{"b": 2.0, "a": 1.0}])])
    assert all(one.ids is ranking.ids for one in shared)
    assert shared[0].codes is first.codes


def test_a_few_hits_do_not_pay_for_the_table_of_a_corpus():
    corpus = DocIds.encode([f"d{number}" for number in range(1000)])[0]
    few = Ranking(corpus, np.array([0, 2]), np.int32([5, 3]), np.float32([2, 1]))
    for one, other in [(few, ranking_of([{"x": 1.0}])), (ranking_of([{"x": 1.0}]), few)]:
        shared = Ranking.sharing_ids([one, other])
        assert [as_lists(ranking) for ranking in shared] == [as_lists(one), as_lists(other)]
        assert len(shared[0].ids) == 3


FULL = replace(ranking_of([{"a": 2.0, "b": 1.0}]), spans=(KEPT, DROPPED), scored=np.array([1]))


@pytest.mark.parametrize(
    "other",
    [
        replace(FULL, scores=np.float32([2.0, 0.5])),
        replace(FULL, codes=np.int32([1, 0])),
        replace(FULL, ids=DocIds.encode(["a", "c"])[0]),
        replace(FULL, kind=ScoreKind.LOGIT),
        replace(FULL, scored=np.array([2])),
        replace(FULL, scored=None),
        replace(FULL, spans=(KEPT, KEPT)),
        replace(FULL, spans=None),
        replace(FULL, offsets=np.array([0, 1, 2])),
    ],
)
def test_the_fingerprint_changes_with_everything_that_is_known(other):
    assert other.fingerprint() != FULL.fingerprint()
    assert replace(FULL).fingerprint() == FULL.fingerprint()
