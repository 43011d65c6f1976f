"""What all pointwise rerankers share, on a reranker simple enough to compute by hand."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Run, ScoreKind, Session, Span
from rankloom.corpus import MemoryDocuments
from rankloom.errors import CompositionError, DataError, StageError
from rankloom.ranking import Ranking
from rankloom.rerank import Pointwise
from rankloom.rerank.pointwise import Scored, reranked
from rankloom.testing import StageConformance


class Killed(BaseException):
    """Stands for the death of the process."""


class CommonLetters(Pointwise):
    """Scores a pair by the letters that query and document share; reads `reads` letters of a document."""

    name = "common_letters"
    kind = ScoreKind.LOGIT
    unit = 2
    scored: list[tuple[str, str]] = []  # noqa: RUF012  # every pair that was computed, by whatever instance
    dies_at = ""

    def __init__(self, *, depth=100, reads=1000, scale=1.0, batch_size=4):
        self.depth = depth
        self.reads = reads
        self.scale = scale
        self.batch_size = batch_size

    def identity(self, session=None):  # noqa: ARG002
        return "letters"

    def score(self, pairs, session):  # noqa: ARG002
        for pair in pairs:
            if pair.query == self.dies_at:
                raise Killed
            self.scored.append((pair.query, pair.document.id))
        texts = [pair.document.contents for pair in pairs]
        scores = [
            self.scale * len(set(pair.query) & set(text[: self.reads])) for pair, text in zip(pairs, texts, strict=True)
        ]
        truncated = [max(0, len(text) - self.reads) for text in texts]
        calls = -(-len(pairs) // self.batch_size)
        return Scored(np.array(scores, np.float32), np.array(truncated), calls, sum(map(len, texts)))


TEXTS = {"d1": "x", "d2": "abc", "d3": "ab", "d4": "a", "d5": "abc"}
DOCUMENTS = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])
FIRST = {"q1": {"d1": 9.0, "d2": 8.0, "d3": 7.0, "d4": 6.0, "d5": 5.0}, "q2": {"d4": 2.0, "d1": 1.0}, "q3": {}}
QUERIES = {"q1": "abc", "q2": "x", "q3": "abx"}


def first_run(session=None, **changes):
    return Run.from_dict(FIRST, queries={**QUERIES, **changes}, documents=DOCUMENTS, session=session)


@pytest.fixture(autouse=True)
def _fresh():
    CommonLetters.scored = []
    CommonLetters.dies_at = ""


def test_hits_are_put_in_the_order_of_their_scores():
    run = CommonLetters().run(first_run())
    assert run["q1"].doc_ids == ["d2", "d5", "d3", "d4", "d1"]  # d2 and d5 tie, and go by id
    assert run["q1"].scores == [3, 3, 2, 1, 0]
    assert run["q2"].doc_ids == ["d1", "d4"]
    assert run.ranking.kind == ScoreKind.LOGIT
    assert run.ranking.scored is None
    assert run["q1"].scored is None


def test_hits_below_the_depth_keep_their_order_under_the_others():
    run = CommonLetters(depth=3).run(first_run())
    assert run["q1"].doc_ids == ["d2", "d3", "d1", "d4", "d5"]
    scores = np.array(run["q1"].scores, dtype=np.float32)
    assert scores[:3].tolist() == [3, 2, 0]
    assert (np.diff(scores[2:]) < 0).all()
    assert scores[3] > -1e-30
    assert [run[query].scored for query in QUERIES] == [3, 2, 0]
    assert [hit.reranked for hit in run["q1"]] == [True, True, True, False, False]
    assert [(note.kind, note.query_id, note.amount) for note in run.ledger.notes] == [("not_reranked", "q1", 2)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reranking_equals_sorting_by_hand(data):
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))
    lists = [[(f"d{n}", data.draw(st.integers(0, 4)) * 1.0) for n in range(size)] for size in sizes]
    ranking = Ranking.from_lists(lists, stage="test")
    spans = tuple((Span(int(code), 9, 0.5, kept=True),) for code in ranking.codes)
    depth = data.draw(st.integers(1, 8))
    scored = np.minimum(ranking.counts(), depth) * np.array([data.draw(st.booleans()) for _ in sizes])
    new = st.sampled_from([-1e30, -2.5, -0.0, 0.0, 1.0, 3e38])
    scores = np.array([data.draw(new) for _ in range(int(scored.sum()))], dtype=np.float32)
    after = reranked(replace(ranking, spans=spans), scores, scored, kind=ScoreKind.LOGIT)
    fresh = iter(scores.tolist())
    for number, count in enumerate(scored):
        before = ranking.doc_ids(number)
        head = sorted([(-next(fresh), doc_id) for doc_id in before[:count]])
        assert after.doc_ids(number) == [doc_id for _, doc_id in head] + before[count:]
        start, end = after.bounds(number)
        values = after.scores[start:end]
        assert values[:count].tolist() == [-score for score, _ in head]
        tail = values[max(0, count - 1) :]
        assert (np.diff(tail) < 0).all()
    assert [one[0].start for one in after.spans] == after.codes.tolist()  # spans moved with their hits
    assert after.scored is None or after.scored.tolist() == scored.tolist()


def test_a_query_without_text_keeps_its_order():
    run = CommonLetters(depth=2).run(first_run(q1=" "))
    assert run["q1"].doc_ids == ["d1", "d2", "d3", "d4", "d5"]
    assert run["q1"].scores[0] == 0
    assert (np.diff(np.array(run["q1"].scores, np.float32)) < 0).all()
    assert [(note.kind, note.amount) for note in run["q1"].notes] == [("empty_query", 1), ("not_reranked", 5)]
    assert run["q2"].doc_ids == ["d1", "d4"]


def test_a_pair_that_is_cut_is_noted_or_an_error():
    run = CommonLetters(reads=2).run(first_run())
    noted = [(note.kind, note.query_id, note.doc_id, note.amount) for note in run.ledger.notes]
    assert noted == [("truncated", "q1", "d2", 1), ("truncated", "q1", "d5", 1)]
    with pytest.raises(DataError, match=r"longer than the model reads.*'d2'"):
        CommonLetters(reads=2).run(first_run(), session=Session(on_truncate="error"))


def test_costs_are_counted():
    cost = CommonLetters().run(first_run()).ledger.by_stage()["common_letters"]
    assert (cost.inputs, cost.cached, cost.calls, cost.tokens) == (
        7,
        0,
        2,
        1 + 3 + 2 + 1 + 1 + 1,
    )  # d2 and d5 are equal


def test_equal_texts_are_computed_once():
    CommonLetters().run(first_run())
    assert len(CommonLetters.scored) == len(set(CommonLetters.scored)) == 6


def test_scores_that_are_not_finite_are_an_error_and_not_kept(tmp_path):
    session = Session(cache=tmp_path)
    with pytest.raises(StageError, match="NaN or infinite"):
        CommonLetters(scale=float("inf")).run(first_run(session))
    assert session.cache.holdings() == []


def test_a_ranking_and_texts_are_needed():
    with pytest.raises(CompositionError, match="ranking"):
        CommonLetters().run(QUERIES)
    with pytest.raises(CompositionError, match="text"):
        CommonLetters().run(Run.from_dict(FIRST, queries=QUERIES))


# --- the cache ------------------------------------------------------------------------------------------------


def test_a_second_run_computes_nothing_and_is_the_same(tmp_path):
    session = Session(cache=tmp_path)
    stage = CommonLetters(reads=2, depth=3)
    first = stage.run(first_run(session))
    CommonLetters.scored = []
    again = CommonLetters(reads=2, depth=3).run(first_run(session))
    assert CommonLetters.scored == []
    assert again.ranking.fingerprint() == first.ranking.fingerprint()
    assert again.ledger.notes == first.ledger.notes
    cost = again.ledger.by_stage()["common_letters"]
    assert (cost.inputs, cost.cached, cost.calls, cost.tokens) == (5, 5, 0, 0)


def test_a_deeper_run_pays_for_the_new_pairs_only(tmp_path):
    session = Session(cache=tmp_path)
    CommonLetters(depth=2).run(first_run(session))
    CommonLetters.scored = []
    deeper = CommonLetters(depth=4, batch_size=1).run(first_run(session))
    assert CommonLetters.scored == [("abc", "d3"), ("abc", "d4")]
    assert deeper.ledger.by_stage()["common_letters"].cached == 4


@pytest.mark.parametrize("change", ["parameter", "query", "document", "title", "seed", "class"])
def test_whatever_changes_a_score_is_computed_again(tmp_path, change):
    CommonLetters().run(first_run(Session(cache=tmp_path)))
    CommonLetters.scored = []
    stage = CommonLetters(scale=2.0) if change == "parameter" else CommonLetters()
    if change == "class":
        stage = type("Other", (CommonLetters,), {})()
    run = first_run(Session(cache=tmp_path, seed=8 if change == "seed" else 7), q2="y" if change == "query" else "x")
    if change in ("document", "title"):
        changed = Document("d1", "xy") if change == "document" else Document("d1", "", title="x")
        texts = MemoryDocuments([changed, *(Document(i, text) for i, text in TEXTS.items() if i != "d1")])
        run = Run.from_dict(FIRST, queries=QUERIES, documents=texts, session=Session(cache=tmp_path))
    stage.run(run)
    expected = {"query": {"q2"}, "document": {"d1"}, "title": {"d1"}}.get(change)
    computed = {doc_id for _, doc_id in CommonLetters.scored}
    if change == "query":
        assert {query for query, _ in CommonLetters.scored} == {"y"}
    elif expected:
        assert computed == expected
    else:
        assert len(CommonLetters.scored) == 6


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    texts = {f"q{number}": "abc"[: 1 + number % 3] + "z" * number for number in range(7)}
    first = dict.fromkeys(texts, FIRST["q1"])
    run = Run.from_dict(first, queries=texts, documents=DOCUMENTS, session=Session(cache=tmp_path / "killed"))
    whole = CommonLetters().run(run, session=Session(cache=tmp_path / "whole"))
    CommonLetters.scored, CommonLetters.dies_at = [], texts["q5"]
    with pytest.raises(Killed):
        CommonLetters().run(run)
    CommonLetters.scored, CommonLetters.dies_at = [], ""
    after = CommonLetters().run(run)
    assert {query for query, _ in CommonLetters.scored} == {texts["q4"], texts["q5"], texts["q6"]}  # groups of two
    assert after.ranking.fingerprint() == whole.ranking.fingerprint()


def test_a_damaged_entry_is_computed_again(tmp_path):
    session = Session(cache=tmp_path)
    first = CommonLetters().run(first_run(session))
    with session.cache._using() as connection:
        connection.execute("UPDATE entries SET value = x'00'")
    again = CommonLetters().run(first_run(session))
    assert again.ranking.fingerprint() == first.ranking.fingerprint()
    CommonLetters.scored = []
    CommonLetters().run(first_run(session))
    assert CommonLetters.scored == []  # the damaged entries have been replaced


def test_cut_pairs_of_the_cache_are_an_error_under_that_policy(tmp_path):
    CommonLetters(reads=2).run(first_run(Session(cache=tmp_path)))
    with pytest.raises(DataError, match="longer than the model reads"):
        CommonLetters(reads=2).run(first_run(Session(cache=tmp_path, on_truncate="error")))


def test_progress_counts_pairs():
    done = []

    class Counting:
        @contextmanager
        def task(self, label, total):
            done.append((label, total))
            yield done.append

    CommonLetters(depth=3).run(first_run(Session(progress=Counting())))
    assert done == [("common_letters", 5), 5, 0]


def test_documents_are_read_a_group_at_a_time():
    asked = []

    class Recording(MemoryDocuments):
        def get(self, doc_ids):
            asked.append(list(doc_ids))
            return super().get(doc_ids)

    documents = Recording([Document(doc_id, text) for doc_id, text in TEXTS.items()])
    CommonLetters().run(Run.from_dict(FIRST, queries=QUERIES, documents=documents))
    assert asked == [["d1", "d2", "d3", "d4", "d5"], []]  # each document of a group once


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    def make_stage(self):
        return CommonLetters(depth=3, reads=2)

    def make_run(self):
        return first_run()
