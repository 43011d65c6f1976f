from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Query, Ranking, Run, ScoreKind, Session
from rankloom.errors import CompositionError, DataError, StageError, UsageError
from rankloom.ledger import Note
from tests.rankloom.stages_for_tests import Lengths, Words, pieces, some_documents

SCORES = st.floats(-1e6, 1e6, width=32)
DICTS = st.dictionaries(
    st.text(min_size=1, max_size=2).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)),
    st.dictionaries(st.sampled_from(["d1", "d2", "é", "\U0001f600", "D"]), SCORES, max_size=5),
    max_size=5,
)


@given(DICTS)
@settings(deadline=None)
def test_a_dict_comes_back_best_first(scores):
    out = Run.from_dict(scores).to_dict()
    assert out == scores
    assert list(out) == list(scores)
    for hits in out.values():
        assert list(hits.items()) == sorted(hits.items(), key=lambda hit: (-hit[1], hit[0]))


@given(DICTS, st.randoms())
@settings(deadline=None)
def test_columns_in_any_order_are_the_same_run(scores, random):
    rows = [(query, doc, score) for query, hits in scores.items() for doc, score in hits.items()]
    random.shuffle(rows)
    queries = [Query(key, "") for key in scores]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    given_columns, given_dict = Run.from_columns(*columns, queries=queries), Run.from_dict(scores, queries=queries)
    assert pieces(given_columns) == pieces(given_dict)
    assert given_columns.lineage == given_dict.lineage


def test_a_query_without_scores_has_no_hits():
    run = Run.from_dict({"q1": {"d": 1.0}}, queries={"q2": "sea", "q1": "sky"})
    assert list(run) == ["q2", "q1"]
    assert run["q2"].doc_ids == []
    assert run["q1"].query.text == "sky"


def test_a_ranked_query_that_nobody_asked_is_refused():
    with pytest.raises(DataError, match=r"1 ranked quer.*'q9'"):
        Run.from_dict({"q1": {"d": 1.0}, "q9": {"d": 1.0}}, queries={"q1": "sky"})


def test_two_queries_with_one_id_are_refused():
    with pytest.raises(DataError, match="'a'"):
        Run(queries=(Query("a", "x"), Query("b", "x"), Query("a", "y")))


@pytest.mark.parametrize("make", [Run.from_dict, lambda d: Run.from_columns(["q"], ["d"], [d["q"]["d"]])])
def test_bad_scores_name_where_they_came_in(make):
    with pytest.raises(StageError, match=r"^Run\.from_.*1 of 1 scores"):
        make({"q": {"d": float("nan")}})


def test_a_document_id_that_is_no_string_is_refused():
    with pytest.raises(DataError, match="not a string"):
        Run.from_dict({"q": {1: 1.0}})


def test_a_run_is_a_mapping_of_query_ids_to_lists():
    run = Run.from_dict({"q1": {"d1": 1.0}, "q2": {}})
    assert (len(run), list(run), "q1" in run, "q3" in run) == (2, ["q1", "q2"], True, False)
    assert [len(hits) for hits in run.values()] == [1, 0]
    with pytest.raises(KeyError):
        run["q3"]


def test_a_run_of_queries_only_has_no_ranking():
    run = Run.start({"q1": "sky"})
    assert run.ranking is None
    with pytest.raises(CompositionError, match=r"^mine: needs a ranking"):
        run.hits(stage="mine")
    with pytest.raises(CompositionError, match=r"^mine: needs the texts"):
        run.texts(stage="mine")


def test_a_run_can_start_with_documents():
    run = Run.start("sky", documents=some_documents())
    assert run.texts(stage="mine").get(["d3"])[0].text == "Grass is green."


def test_documents_at_hand_are_ranked_as_given():
    run = Run.from_documents("why", [Document("z", "1"), Document("a", "2"), Document("m", "3")])
    (hits,) = run.values()
    assert hits.doc_ids == ["z", "a", "m"]
    assert [hit.text for hit in hits] == ["1", "2", "3"]
    assert run.ranking.kind is ScoreKind.RANK


def test_no_documents_at_hand_are_no_hits():
    run = Run.from_documents("why", [])
    assert [len(hits) for hits in run.values()] == [0]
    assert run.documents is not None


def test_select_takes_queries_hits_and_order():
    run = Run.from_dict({"q1": {"a": 1.0}, "q2": {"b": 2.0, "c": 1.0}, "q3": {}}).noted(Note("x", "no_hits", "q3"))
    part = run.select([2, 1])
    assert list(part) == ["q3", "q2"]
    assert part["q2"].doc_ids == ["b", "c"]
    assert part.ledger.notes == ()


def test_top_cuts_every_query():
    run = Run.from_dict({"q1": {"a": 1.0, "b": 2.0}, "q2": {"c": 1.0}})
    assert run.top(1).to_dict() == {"q1": {"b": 2.0}, "q2": {"c": 1.0}}


@pytest.mark.parametrize("k", [-1, 1.5, "3", True])
def test_top_takes_a_whole_number(k):
    with pytest.raises(UsageError, match="k is out of range"):
        Run.from_dict({"q1": {"a": 1.0}}).top(k)


@pytest.mark.parametrize("score", ["high", (), float("nan"), None])
def test_a_score_that_is_no_number_names_where_it_came_from(score):
    with pytest.raises(StageError, match=r"^Run\.from_dict: "):
        Run.from_dict({"q1": {"a": score}})


def test_rewriting_drops_the_ranking():
    run = Run.from_dict({"q1": {"a": 1.0}})
    after = run.rewritten([run.queries[0].with_terms({"sky": 1.0})])
    assert after.ranking is None
    assert after.queries[0].terms == {"sky": 1.0}
    assert run.queries[0].terms is None


def test_rewriting_can_keep_the_ranking_to_be_reranked():
    run = Run.from_dict({"q1": {"a": 1.0}})
    rewritten = [run.queries[0].with_terms({"sky": 1.0})]
    kept = run.rewritten(rewritten, keep=True)
    assert kept.to_dict() == run.to_dict()
    assert kept.queries[0].terms == {"sky": 1.0}
    assert len({kept.lineage, run.lineage, run.rewritten(rewritten).lineage}) == 3


def test_a_ranking_of_other_queries_is_refused():
    with pytest.raises(StageError, match="2 queries for a run of 1"):
        Run.start("sky").ranked(Ranking.empty(2))


RUN = Run.from_dict({"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 1.0}}, queries={"q1": "sky", "q2": "sea"})


def test_equal_content_has_equal_lineage():
    again = Run.from_dict({"q1": {"b": 1.0, "a": 2.0}, "q2": {"a": 1.0}}, queries={"q1": "sky", "q2": "sea"})
    assert again.lineage == RUN.lineage


@pytest.mark.parametrize(
    "other",
    [
        RUN.top(1),
        RUN.select([0]),
        RUN.select([1, 0]),
        RUN.ranked(Ranking.empty(2)),
        RUN.rewritten([query.with_terms({"a": 1.0}) for query in RUN.queries]),
        RUN.rewritten(RUN.queries),
        Run.from_dict({"q1": {"a": 2.0, "b": 1.5}, "q2": {"a": 1.0}}, queries={"q1": "sky", "q2": "sea"}),
        Run.from_dict(RUN.to_dict(), queries={"q1": "sky", "q2": "seas"}),
        Run.from_dict(RUN.to_dict(), queries={"q1": "sky", "q2": "sea"}, kind=ScoreKind.LOGIT),
        Run.from_dict(RUN.to_dict(), queries={"q1": "sky", "q2": "sea"}, documents=some_documents()),
    ],
    ids=lambda run: repr(run)[:40],
)
def test_other_content_has_another_lineage(other):
    assert other.lineage != RUN.lineage


def test_lineage_is_the_same_for_the_same_stages_and_differs_for_others():
    lineages = [stage.run({"q1": "blue sky"}).lineage for stage in (Words(), Words(), Words(k=3), Words() >> Lengths())]
    assert lineages[0] == lineages[1]
    assert len(set(lineages)) == 3


def test_notes_and_costs_do_not_change_lineage():
    assert RUN.noted(Note("x", "no_hits", "q1")).counted(calls=1).lineage == RUN.lineage


def test_another_seed_or_dtype_gives_another_lineage():
    lineages = {Words().run("sky", session=session).lineage for session in (Session(), Session(seed=8))}
    lineages.add(Words().run("sky", session=Session(dtype="bfloat16")).lineage)
    assert len(lineages) == 3


def test_a_run_shows_counts_and_not_contents():
    assert repr(Words().run({"q1": "sky"})) == "<Run of 1 queries, 2 hits: words>"
    assert repr(Run.start("sky")) == "<Run of 1 queries, no ranking: start>"


def test_pandas_has_one_row_for_each_hit():
    frame = RUN.to_pandas()
    assert list(frame.columns) == ["query_id", "doc_id", "rank", "score"]
    assert frame.to_numpy().tolist() == [["q1", "a", 1, 2.0], ["q1", "b", 2, 1.0], ["q2", "a", 1, 1.0]]


def test_a_run_can_not_be_changed():
    with pytest.raises(AttributeError):
        RUN.queries = ()
    assert np.array_equal(replace(RUN).ranking.codes, RUN.ranking.codes)
