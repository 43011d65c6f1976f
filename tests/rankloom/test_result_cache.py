"""A second run costs nothing and tells the same; a killed run goes on; nothing stale is ever served."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankloom import Query, Run, ScoreKind, Session, Span, Top, rrf
from rankloom.errors import StageError
from rankloom.ledger import Note
from rankloom.stage import Stage
from tests.rankloom.stages_for_tests import (
    QUERIES,
    TEXTS,
    Calls,
    Embed,
    Expand,
    Lengths,
    Sentences,
    SlowWords,
    Words,
    pieces,
    some_documents,
)

ROOT = Path(__file__).parents[2]


def pipeline(calls=None):
    """Terms, notes, spans, partly reranked hits, and a query that finds nothing."""
    first, second = Words(calls=calls), Words(calls=calls, boost=0.1)
    fused = rrf(first, first >> Expand(calls=calls) >> second)
    return fused >> Lengths(calls=calls, depth=2, limit=40) >> Sentences(calls=calls)


# --- the second run -------------------------------------------------------------------------------------------------


def test_a_second_run_makes_no_calls_and_equals_the_first_byte_for_byte(tmp_path):
    calls = Calls()
    first = pipeline(calls).run(QUERIES, session=Session(cache=tmp_path))
    made = len(calls.made)
    second = pipeline(calls).run(QUERIES, session=Session(cache=tmp_path))
    assert made > 0
    assert len(calls.made) == made
    assert pieces(second) == pieces(first)
    assert second.lineage == first.lineage
    assert {note.kind for note in second.ledger.notes} == {"no_hits", "no_feedback", "truncated"}
    assert [hit.trace for hit in second["q1"]] == [hit.trace for hit in first["q1"]]


def test_a_cached_run_equals_one_without_a_cache(tmp_path):
    without = pipeline().run(QUERIES)
    for _ in range(2):
        cached = pipeline().run(QUERIES, session=Session(cache=tmp_path))
        assert pieces(cached)[0] == pieces(without)[0]
        assert sorted(map(repr, cached.ledger.notes)) == sorted(map(repr, without.ledger.notes))


def test_vectors_come_back_bit_for_bit(tmp_path):
    calls = Calls()
    runs = [(Words() >> Embed(calls=calls)).run(QUERIES, session=Session(cache=tmp_path)) for _ in range(2)]
    assert pieces(runs[0]) == pieces(runs[1])
    assert len(calls.made) == 1
    vector = runs[1].queries[0].vectors["space"]
    assert vector.dtype == np.float32
    assert np.signbit(vector[2])
    assert vector.flags.aligned


def test_costs_say_what_came_from_the_cache(tmp_path):
    for cached in (0, 4):
        run = (Words() >> Lengths()).run(QUERIES, session=Session(cache=tmp_path))
        assert run.ledger.by_stage()["words"].cached == cached
        assert run.ledger.by_stage()["lengths"].cached == cached
    assert run.ledger.by_stage()["lengths"].calls == 0


def test_without_a_cache_nothing_is_kept():
    calls = Calls()
    for _ in range(2):
        Words(calls=calls).run(QUERIES, session=Session())
    assert len(calls.made) == 2


def test_trivial_stages_are_not_cached(tmp_path):
    session = Session(cache=tmp_path)
    rrf(Words(), Words(boost=2.0)).top(2).run(QUERIES, session=session)
    assert [holding.stage for holding in session.cache.holdings()] == ["words"]


def test_search_and_a_batch_share_their_results(tmp_path):
    calls = Calls()
    session = Session(cache=tmp_path)
    Words(calls=calls, k=10).run(QUERIES, session=session)
    made = len(calls.made)
    assert Words(calls=calls, k=10).search("blue sky", k=10, session=session).doc_ids == ["d1", "d2"]
    assert len(calls.made) == made


# --- in part --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [["q1"], ["q3"], ["q2", "q4"], ["q4", "q1", "q2"]])
def test_only_what_is_missing_is_computed(tmp_path, known):
    calls = Calls()
    Words(calls=calls).run({query: QUERIES[query] for query in known}, session=Session(cache=tmp_path))
    calls.made.clear()
    whole = Words(calls=calls).run(QUERIES, session=Session(cache=tmp_path))
    assert calls.queries("words") == [query for query in QUERIES if query not in known]
    assert pieces(whole) == pieces(Words().run(QUERIES))
    assert whole.ledger.by_stage()["words"].cached == len(known)


def test_a_partly_cached_pipeline_equals_one_run_at_once(tmp_path):
    pipeline().run({"q2": QUERIES["q2"], "q3": QUERIES["q3"]}, session=Session(cache=tmp_path))
    after = pipeline().run(QUERIES, session=Session(cache=tmp_path))
    assert pieces(after)[0] == pieces(pipeline().run(QUERIES))[0]


def test_notes_come_in_the_order_of_the_queries_whatever_was_cached(tmp_path):
    queries = {"q1": "zebra", "q2": "yak", "q3": "gnu"}
    Words().run({"x": "yak"}, session=Session(cache=tmp_path))
    partly = Words().run(queries, session=Session(cache=tmp_path))
    assert [note.query_id for note in partly.ledger.notes] == ["q1", "q2", "q3"]


MANY = {f"q{number}": f"sky moon {number}" for number in range(9)}


def test_units_lie_on_a_fixed_grid(tmp_path):
    calls = Calls()
    stage = Words(calls=calls)  # units of two
    stage.run(dict(list(MANY.items())[3:6]), session=Session(cache=tmp_path))
    assert [ids for _, ids in calls.made] == [["q3", "q4"], ["q5"]]
    calls.made.clear()
    stage.run(MANY, session=Session(cache=tmp_path))
    assert [ids for _, ids in calls.made] == [["q0", "q1"], ["q2"], ["q6", "q7"], ["q8"]]


def test_an_interrupted_run_goes_on_with_the_same_batches(tmp_path):
    calls, left = Calls(), [3]

    class Stops(Words):
        """Fails after three units."""

        def __call__(self, run):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return super().__call__(run)

    with pytest.raises(KeyboardInterrupt):
        Stops(calls=calls).run(MANY, session=Session(cache=tmp_path))
    left[0] = 100
    Stops(calls=calls).run(MANY, session=Session(cache=tmp_path))
    uninterrupted = Calls()
    Stops(calls=uninterrupted).run(MANY, session=Session(cache=tmp_path / "other"))
    assert calls.made == uninterrupted.made


def test_a_query_asked_twice_under_two_ids(tmp_path):
    calls = Calls()
    for _ in range(2):
        run = Words(calls=calls).run({"a": "sky", "b": "moon", "c": "sky"}, session=Session(cache=tmp_path))
        assert run["a"].doc_ids == run["c"].doc_ids == ["d1", "d2"]
        assert list(run) == ["a", "b", "c"]
    assert calls.queries("words") == ["a", "b", "c"]


def test_an_id_belongs_to_the_asker_and_not_to_the_entry(tmp_path):
    session = Session(cache=tmp_path)
    Words().run({"old": "zebra"}, session=session)
    again = Words().run([Query("new", "zebra", metadata={"mine": 1})], session=session)
    assert again.ledger.notes == (Note("words", "no_hits", "new"),)
    assert again.queries[0].metadata == {"mine": 1}
    assert again.ledger.by_stage()["words"].cached == 1


def test_hits_partly_reranked_in_some_units_only(tmp_path):
    """A reranker that reaches everything in one unit says nothing of depth, in another it does."""
    queries = {"q1": "zebra", "q2": "green", "q3": "blue sky sea", "q4": "moon sea sky"}
    for _ in range(2):
        run = (Words() >> Lengths(depth=2)).run(queries, session=Session(cache=tmp_path))
        assert {q: [hit.reranked for hit in run[q]] for q in queries} == {
            "q1": [],
            "q2": [True],
            "q3": [True, True, False],
            "q4": [True, True, False, False],
        }


def test_a_stage_that_scores_some_queries_wholly_keeps_their_depth(tmp_path):
    class Partly(Lengths):
        """Says how deep it went only where that is not everything; one query a unit."""

        name = "partly"
        unit = 1

    queries = {"deep": "blue sky sea moon", "shallow": "green"}
    for asked in (queries, dict(reversed(queries.items()))):
        for _ in range(2):
            run = (Words() >> Partly(depth=1)).run(asked, session=Session(cache=tmp_path))
            assert [hit.reranked for hit in run["deep"]] == [True, False, False, False]
            assert [hit.reranked for hit in run["shallow"]] == [True]


# --- what a key depends on ------------------------------------------------------------------------------------------

RANKED = Run.from_dict({"q": {"d1": 2.0, "d4": 1.0, "d3": 0.5}}, queries={"q": "blue sky"}, documents=some_documents())
SPANS = ((Span(0, 16, 0.5, True),), None, (Span(0, 15, 0.25, False, "x"),))


class ReadingLengths(Lengths):
    """A reranker that may be given rewritten queries."""

    accepts = frozenset({"terms", "vectors"})


def with_ranking(**changes):
    return RANKED.ranked(replace(RANKED.ranking, **changes))


def computed_again(tmp_path, stage, first, second, **options):
    """Whether a stage is called for the second input, after it has been called for the first."""
    calls = Calls()
    stage.replace(calls=calls).run(first, session=Session(cache=tmp_path))
    assert calls.made
    calls.made.clear()
    again = options.pop("again", stage).replace(calls=calls)
    again.run(second, session=Session(cache=tmp_path, **options))
    return bool(calls.made)


@pytest.mark.parametrize(
    "second",
    [
        Run.from_dict({"q": {"d1": 2.5, "d4": 1.0, "d3": 0.5}}, queries={"q": "blue sky"}, documents=some_documents()),
        Run.from_dict({"q": {"d1": 2.0, "d5": 1.0, "d3": 0.5}}, queries={"q": "blue sky"}, documents=some_documents()),
        Run.from_dict({"q": {"d1": 2.0, "d4": 1.0}}, queries={"q": "blue sky"}, documents=some_documents()),
        Run.from_dict(RANKED.to_dict(), queries={"q": "blue seas"}, documents=some_documents()),
        Run.from_dict(RANKED.to_dict(), queries=[Query("q", "blue sky", {"a": 1.0})], documents=some_documents()),
        Run.from_dict(
            RANKED.to_dict(), queries=[Query("q", "blue sky", vectors={"v": np.ones(2)})], documents=some_documents()
        ),
        Run.from_dict(RANKED.to_dict(), queries={"q": "blue sky"}, documents=some_documents({**TEXTS, "d1": "Other."})),
        with_ranking(kind=ScoreKind.LOGIT),
        with_ranking(scored=np.array([1])),
        with_ranking(spans=SPANS),
    ],
    ids=["score", "document", "fewer", "text", "terms", "vectors", "corpus", "kind", "scored", "spans"],
)
@pytest.mark.parametrize("stage", [ReadingLengths(), Sentences()], ids=["reranker", "pruner"])
def test_another_input_is_computed_again(tmp_path, stage, second):
    assert computed_again(tmp_path, stage, RANKED, second)


@pytest.mark.parametrize(
    "spans",
    [
        ((Span(0, 16, 0.5, False),), None, SPANS[2]),
        ((Span(0, 16, 0.6, True),), None, SPANS[2]),
        ((Span(0, 15, 0.5, True),), None, SPANS[2]),
        ((Span(0, 16, 0.5, True, "why"),), None, SPANS[2]),
        ((Span(0, 16, 0.5, True),), (), SPANS[2]),
        (None, None, SPANS[2]),
    ],
)
def test_what_a_pruner_said_before_is_part_of_the_input(tmp_path, spans):
    assert computed_again(tmp_path, Lengths(), with_ranking(spans=SPANS), with_ranking(spans=spans))


def test_a_pruners_spans_are_never_those_of_another_pruner(tmp_path):
    """A reranker passes on the spans of the pruner before it; its scores do not depend on them, its result does."""
    session = Session(cache=tmp_path)
    strict = (Words() >> Sentences(threshold=1.0) >> Lengths()).run("blue sky", session=session)
    loose = (Words() >> Sentences(threshold=0.1) >> Lengths()).run("blue sky", session=session)
    assert [len(hit.pruned_text) for hit in strict["q1"]] < [len(hit.pruned_text) for hit in loose["q1"]]
    assert pieces(loose) == pieces((Words() >> Sentences(threshold=0.1) >> Lengths()).run("blue sky"))


@pytest.mark.parametrize("options", [{"seed": 8}, {"dtype": "bfloat16"}, {"again": Lengths(depth=3)}], ids=str)
def test_other_numerics_or_parameters_are_computed_again(tmp_path, options):
    assert computed_again(tmp_path, Lengths(), RANKED, RANKED, **options)


def test_a_new_version_of_a_stage_is_computed_again(tmp_path):
    class Newer(Lengths):
        """The same, mended."""

        version = 2

    Newer.__module__, Newer.__qualname__ = Lengths.__module__, Lengths.__qualname__
    assert computed_again(tmp_path, Lengths(), RANKED, RANKED, again=Newer())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sky", "Sky"),
        ("sky", [Query("q1", "sky", {"sky": 1.0})]),
        ([Query("q1", "sky", {"sky": 1.0})], [Query("q1", "sky", {"sky": 1.5})]),
    ],
)
def test_another_query_is_searched_again(tmp_path, first, second):
    assert computed_again(tmp_path, Words(), first, second)


@pytest.mark.parametrize("options", [{"device": "cpu"}, {"offline": True}], ids=str)
def test_where_and_how_it_runs_does_not_matter(tmp_path, options):
    assert not computed_again(tmp_path, Lengths(), RANKED, RANKED, **options)


@pytest.mark.parametrize(
    "second",
    [
        Run.from_dict({"other": RANKED.to_dict()["q"]}, queries={"other": "blue sky"}, documents=some_documents()),
        with_ranking(),
        RANKED.noted(Note("x", "no_hits", "q")),
    ],
    ids=["id", "history", "notes"],
)
def test_what_no_result_depends_on_does_not_matter(tmp_path, second):
    assert not computed_again(tmp_path, Lengths(), RANKED, second)


def test_a_ranking_that_a_stage_passes_on_unread_is_not_mixed_up(tmp_path):
    class Clean(Stage):
        """Rewrites the text of the query, and lets the ranking through."""

        name = "clean"

        def __call__(self, run):
            return replace(run, queries=tuple(replace(query, text=query.text.lower()) for query in run.queries))

    session = Session(cache=tmp_path)
    for scores in ({"q": {"d1": 1.0}}, {"q": {"d2": 2.0}}):
        assert Clean().run(Run.from_dict(scores), session=session).to_dict() == scores


def test_a_truncation_is_an_error_if_the_session_says_so_also_from_the_cache(tmp_path):
    class Strict(Lengths):
        """Keeps to the session's policy."""

        def __call__(self, run):
            after = super().__call__(run)
            if run.session.on_truncate == "error" and after.ledger.of("truncated"):
                raise StageError("a text is too long", stage=self.name)
            return after

    stage = Strict(limit=40)
    for _ in range(2):
        assert stage.run(RANKED, session=Session(cache=tmp_path)).ledger.of("truncated")
        with pytest.raises(StageError, match="too long"):
            stage.run(RANKED, session=Session(cache=tmp_path, on_truncate="error"))


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_damaged_entry_is_computed_again_and_mended(tmp_path, caplog):
    calls = Calls()
    whole = pieces(Words(calls=calls).run(QUERIES, session=Session(cache=tmp_path)))
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        ((key, value),) = database.execute("SELECT key, value FROM entries LIMIT 1")
        database.execute("UPDATE entries SET value = ? WHERE key = ?", (value[:-1] + bytes([value[-1] ^ 1]), key))
    for made in (1, 0):
        calls.made.clear()
        caplog.clear()
        assert pieces(Words(calls=calls).run(QUERIES, session=Session(cache=tmp_path))) == whole
        assert len(calls.queries("words")) == made
        assert len([record for record in caplog.records if "damaged" in record.message]) == made


# --- other processes ------------------------------------------------------------------------------------------------

SEARCHES = """
import sys
from rankloom import Session
from tests.rankloom.stages_for_tests import SlowWords, Calls
calls = Calls()
run = SlowWords(calls=calls).run({f"q{n}": f"sky moon {n}" for n in range(12)}, session=Session(cache=sys.argv[1]))
print(len(calls.queries("slow_words")), run.to_dict())
"""
TWELVE = {f"q{number}": f"sky moon {number}" for number in range(12)}


def start(folder, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", SEARCHES, str(folder)],
        cwd=ROOT,
        env={**os.environ, "RANKLOOM_TEST_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def entries(folder):
    path = folder / "results.sqlite"
    if not path.exists():
        return 0
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        return database.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_two_processes_that_do_the_same_at_once(tmp_path):
    told = [child.communicate() for child in [start(tmp_path, 0.02), start(tmp_path, 0.02)]]
    assert [stderr for _, stderr in told] == ["", ""]
    expected = str(SlowWords().run(TWELVE).to_dict())
    assert [stdout.partition(" ")[2].strip() for stdout, _ in told] == [expected, expected]
    assert entries(tmp_path) == len(TWELVE)


def test_a_process_killed_in_the_middle_loses_at_most_one_unit(tmp_path):
    child = start(tmp_path, 0.2)
    while entries(tmp_path) < 4 and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    kept = entries(tmp_path)
    assert 4 <= kept < len(TWELVE)
    calls = Calls()
    run = SlowWords(calls=calls).run(TWELVE, session=Session(cache=tmp_path))
    assert len(calls.queries("slow_words")) == len(TWELVE) - kept
    assert pieces(run) == pieces(SlowWords().run(TWELVE))


def test_progress_counts_every_query_once(tmp_path):
    told = []

    class Told:
        """Remembers what it was told."""

        def task(self, label, total):
            from contextlib import contextmanager

            @contextmanager
            def work():
                steps = []
                yield steps.append
                told.append((label, total, sum(steps)))

            return work()

    for queries in ({"q1": "sky"}, QUERIES, QUERIES):
        Words().run(queries, session=Session(cache=tmp_path, progress=Told()))
    assert told == [("words", 1, 1), ("words", 4, 4), ("words", 4, 4)]


def test_the_top_is_taken_of_what_was_cached(tmp_path):
    session = Session(cache=tmp_path)
    ranked = Words().run(QUERIES, session=session)
    assert Top(1).run(ranked).to_dict() == (Words() >> Top(1)).run(QUERIES, session=session).to_dict()
