import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest

from rankloom import Pipeline, Query, Run, Session, Stage, Top, interpolate, rrf
from rankloom.errors import CompositionError, MissingExtraError, StageError, UsageError
from rankloom.execution import aexecute, apply, execute
from rankloom.ranking import Ranking
from tests.rankloom.stages_for_tests import (
    QUERIES,
    Calls,
    Embed,
    Expand,
    Lengths,
    OtherWords,
    Returns,
    Sentences,
    Words,
    pieces,
    some_documents,
)


def everything(calls=None):
    """A pipeline with a shared prefix, feedback, a fusion in a fusion, a reranker and a pruner."""
    first = Words(calls=calls)
    rm = first >> Expand(calls=calls) >> Words(calls=calls)
    inner = interpolate(first, rm, alpha=0.3)
    return rrf(first, inner, OtherWords(calls=calls)).top(4) >> Lengths(calls=calls, limit=40) >> Sentences(calls=calls)


# --- shared first stages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_shared_first_stages_run_once_also_inside_fusions(cached, tmp_path):
    calls = Calls()
    everything(calls).run(QUERIES, session=Session(cache=tmp_path if cached else None))
    asked = sorted(QUERIES)
    assert sorted(calls.queries("words")) == sorted(asked * 2)  # once for the first stage, once after the feedback
    for name in ("expand", "other_words", "lengths", "sentences"):
        assert sorted(calls.queries(name)) == asked


async def test_shared_first_stages_run_once_when_branches_run_side_by_side():
    calls = Calls()
    await everything(calls).asearch("blue sky")
    assert sorted(calls.names()) == ["expand", "lengths", "other_words", "sentences", "words", "words"]


def test_pipelines_of_one_remembering_session_share_their_first_stages():
    calls, session = Calls(), Session().remembering()
    words = Words(calls=calls)
    (words >> Lengths(calls=calls)).run(QUERIES, session=session)
    (words >> Lengths(calls=calls) >> Sentences()).run(QUERIES, session=session)
    assert calls.names() == ["words", "lengths"]


def test_a_session_forgets_between_runs_unless_told():
    calls, session = Calls(), Session()
    for _ in range(2):
        run = Words(calls=calls).run("sky", session=session)
    assert calls.names() == ["words", "words"]
    assert run.session is session
    assert session.memo is None


def test_the_memo_keeps_other_queries_texts_terms_and_runs_apart():
    calls, session = Calls(), Session().remembering()
    words = Words(calls=calls)
    first = words.run({"q": "sky"}, session=session)
    assert words.run({"q": "sea"}, session=session).to_dict() != first.to_dict()
    assert words.run({"p": "sky"}, session=session).to_dict().keys() == {"p"}
    weighted = words.run([Query("q", "sky", {"moon": 1.0})], session=session)
    assert weighted.to_dict() != first.to_dict()
    assert len(calls.made) == 4
    deep = words.run({"q": "sky sea moon"}, session=session)
    lengths = [len(Top(9).run(run, session=session)["q"]) for run in (deep, deep.top(1), deep.top(2))]
    assert lengths == [4, 1, 2]


def test_a_stage_inside_a_stage_gets_the_run_it_is_given():
    """A changed run within a stage is not taken for the run that the stage itself was given."""

    class Twice(Stage):
        """Searches for something else than it was asked."""

        name = "twice"

        def __call__(self, run):
            return apply(Words(), run.rewritten([query.with_terms({"moon": 1.0}) for query in run.queries]))

    session = Session().remembering()
    Words().run({"q": "green"}, session=session)
    assert Twice().run({"q": "green"}, session=session)["q"].doc_ids == ["d4", "d5"]


# --- costs ----------------------------------------------------------------------------------------------------------


def costs(run):
    return {stage: (cost.inputs, cost.cached, cost.calls, cost.tokens) for stage, cost in run.ledger.by_stage().items()}


def test_costs_are_counted_once_for_shared_first_stages():
    run = everything().run(QUERIES)
    assert costs(run) == {
        "words": (8, 0, 0, 0),
        "expand": (4, 0, 0, 0),
        "other_words": (4, 0, 0, 0),
        "interpolate": (4, 0, 0, 0),
        "rrf": (4, 0, 0, 0),
        "top": (4, 0, 0, 0),
        "lengths": (6, 0, 1, 10),
        "sentences": (4, 0, 0, 0),
    }


class Counting(Words):
    """Counts the queries that it is asked, as encoders do."""

    name = "counting"
    grain = "query"

    def __call__(self, run):
        return super().__call__(run).counted(inputs=len(run), calls=1)


def test_what_the_cache_held_counts_among_the_inputs(tmp_path):
    session = Session(cache=tmp_path)
    Counting().run({"a": "green", "b": "blue"}, session=session)
    partly = Counting().run({"a": "green", "b": "blue", "c": "moon"}, session=session)
    assert costs(partly)["counting"][:2] == (3, 2)
    assert costs(Counting().run({"a": "green"}, session=session))["counting"][:2] == (1, 1)


def test_every_cost_belongs_to_its_own_lineage():
    run = everything().run(QUERIES)
    lineages = [cost.lineage for cost in run.ledger.costs]
    assert len(set(lineages)) == len(lineages)
    assert "" not in lineages
    assert run.lineage in lineages


class Slow(Words):
    """Takes its time."""

    name = "slow"

    def __call__(self, run):
        threading.Event().wait(0.2)
        return super().__call__(run)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_the_seconds_of_branches_are_not_counted_again_for_their_fusion(side_by_side):
    pipeline = rrf(Slow(), Slow(boost=2.0), interpolate(Slow(), Slow(boost=3.0)))
    run = asyncio.run(aexecute(pipeline, "sky")) if side_by_side else execute(pipeline, "sky")
    by_stage = run.ledger.by_stage()
    assert by_stage["slow"].seconds >= 3 * 0.2
    assert 0 < by_stage["rrf"].seconds < by_stage["slow"].seconds


def test_a_fusion_of_remembered_branches_has_seconds_of_its_own():
    session = Session().remembering()
    Slow().run("sky", session=session)
    begun = rrf(Slow(), Slow()).run("sky", session=session)
    assert begun.ledger.by_stage()["rrf"].seconds > 0


# --- three ways to the same result ----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", list(QUERIES.values()))
async def test_search_asearch_and_run_agree(query):
    pipeline = everything()
    run = pipeline.run(query)
    searched = pipeline.search(query, k=10)
    awaited = await pipeline.asearch(query, k=10)
    assert pieces(searched.run) == pieces(awaited.run) == pieces(run) == pieces(await pipeline.arun(query))
    assert [hit.trace for hit in searched] == [hit.trace for hit in awaited]
    assert costs(searched.run) == costs(awaited.run)


def test_a_batch_and_its_queries_one_by_one_agree():
    pipeline = everything()
    batch = pipeline.run(QUERIES)
    for query_id, text in QUERIES.items():
        alone = pipeline.run({query_id: text})
        assert pieces(alone)[0] == [one for one in pieces(batch)[0] if one[0] == query_id]


def test_search_gives_at_most_k():
    assert [len(Words().search("blue sky moon", k=k)) for k in (1, 2, 10)] == [1, 2, 4]


def test_search_takes_a_query_record_with_terms():
    assert Words().search(Query("x", "", {"moon": 1.0})).doc_ids == ["d4", "d5"]


@pytest.mark.parametrize("bad", ["", "  \n", Query("q", " ")])
def test_an_empty_query_is_refused(bad):
    with pytest.raises(UsageError, match=r"^search: the query is empty"):
        Words().search(bad)


@pytest.mark.parametrize("bad", [["sky", "sea"], {"q": "sky"}, [], 5, None])
def test_search_takes_one_query(bad):
    with pytest.raises(UsageError, match=r"^search: searches for one query.*run\(\)"):
        Words().search(bad)


@pytest.mark.parametrize("k", [0, -1, 2.5])
def test_search_refuses_a_k_that_is_not_positive(k):
    with pytest.raises(UsageError, match="k is out of range"):
        Words().search("sky", k=k)


def test_a_batch_without_queries():
    run = everything().run([])
    assert len(run) == 0
    assert run.to_dict() == {}


def test_the_session_can_be_replaced_when_going_on_from_a_run():
    session = Session(seed=3)
    assert Top(1).run(Words().run("sky"), session=session).session is session


# --- side by side ---------------------------------------------------------------------------------------------------


class Waits(Words):
    """Goes on only when two are under way at once."""

    name = "waits"

    def __init__(self, *, barrier, k=1000, boost=1.0):
        super().__init__(k=k, boost=boost)
        self.barrier = barrier

    def __call__(self, run):
        self.barrier.wait(timeout=10)
        return super().__call__(run)

    def fingerprint(self):
        return f"waits {self.boost} {self.k}"


async def test_branches_of_a_fusion_run_side_by_side():
    barrier = threading.Barrier(2)
    hits = await rrf(Waits(barrier=barrier), Waits(barrier=barrier, boost=2.0)).asearch("sky")
    assert hits.doc_ids == ["d1", "d2"]


async def test_searches_run_side_by_side():
    barrier = threading.Barrier(2)
    stage = Waits(barrier=barrier)
    one, other = await asyncio.gather(stage.asearch("sky"), stage.asearch("moon"))
    assert one.doc_ids == ["d1", "d2"]
    assert other.doc_ids == ["d4", "d5"]


async def test_the_event_loop_is_free_while_a_stage_works():
    free = threading.Event()

    class Blocks(Words):
        """Works until the loop lets it go."""

        def __call__(self, run):
            assert free.wait(timeout=10)
            return super().__call__(run)

    search = asyncio.ensure_future(Blocks().asearch("sky"))
    await asyncio.sleep(0.01)
    assert not search.done()
    free.set()
    assert (await search).doc_ids == ["d1", "d2"]


# --- failures -------------------------------------------------------------------------------------------------------


def failing(error):
    def fail(_run):
        raise error

    return Words() >> Returns(fail)


@pytest.mark.parametrize("cached", [False, True])
def test_an_exception_of_a_stage_is_wrapped_and_names_the_stage(cached, tmp_path):
    cause = ZeroDivisionError("oops")
    with pytest.raises(StageError, match=r"^returns: failed with ZeroDivisionError: oops$") as caught:
        failing(cause).run("sky", session=Session(cache=tmp_path if cached else None))
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("error", [UsageError("mine"), MissingExtraError("mine"), StageError("mine")])
def test_our_own_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as caught:
        failing(error).run("sky")
    assert caught.value is error


def test_an_interruption_is_not_wrapped():
    with pytest.raises(KeyboardInterrupt):
        failing(KeyboardInterrupt()).run("sky")


async def test_an_exception_in_a_branch_reaches_the_caller_of_asearch():
    with pytest.raises(StageError, match=r"^returns: failed with ValueError"):
        await rrf(Words(), failing(ValueError("x"))).asearch("sky")


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _run: None, "returned something else than a run"),
        (lambda run: run.select([0]), "returned other queries"),
        (lambda run: run.select(list(range(len(run)))[::-1]), "returned other queries"),
        (lambda run: replace(run, ranking=Ranking.empty(7)), "returned a ranking of 7 queries"),
        (
            lambda run: replace(run, ranking=replace(run.ranking, scores=run.ranking.scores * np.nan)),
            r"\d+ of \d+ scores are NaN",
        ),
    ],
)
def test_a_stage_that_returns_what_it_may_not_is_refused(make, message, cached, tmp_path):
    session = Session(cache=tmp_path if cached else None)
    with pytest.raises(StageError, match=f"^returns: {message}"):
        (Words() >> Returns(make)).run(QUERIES, session=session)
    if cached:
        assert [holding.stage for holding in session.cache.holdings()] == ["words"]


def test_a_score_that_is_no_number_names_the_stage():
    class Broken(Words):
        """Overflows."""

        name = "broken"

        def _found(self, _query):
            return [("d1", float("nan"))]

    with pytest.raises(StageError, match=r"^broken: 1 of 1 scores are NaN"):
        Broken().run("sky")


# --- what a run holds afterwards ------------------------------------------------------------------------------------


def test_texts_come_from_the_run_if_no_stage_brings_any():
    run = Run.from_dict({"q": {"d1": 1.0}}, documents=some_documents())
    assert Top(1).run(run).documents is run.documents


def test_history_has_one_step_for_each_stage():
    run = (Words() >> Expand() >> Words() >> Top(1)).run(QUERIES)
    assert [step.stage for step in run.steps] == ["words", "expand", "words"]
    assert [step.ranking is None for step in run.steps] == [False, True, False]


def test_a_run_goes_on_where_another_stopped():
    ranked = Words().run(QUERIES)
    assert pieces(Lengths().run(ranked)) == pieces((Words() >> Lengths()).run(QUERIES))
    assert [step.stage for step in Lengths().run(ranked).steps] == ["words", "lengths"]


def test_rewritten_queries_are_handed_on():
    run = (Words() >> Embed()).run({"q1": "sky", "q2": "zebra"})
    assert run.ranking is None
    assert [query.vectors["space"].tolist() for query in run.queries] == [
        np.float32([2, 0.1, -0.0]).tolist(),
        np.float32([0, 0.1, -0.0]).tolist(),
    ]


def test_composing_alone_runs_nothing():
    calls = Calls()
    Pipeline([everything(calls)]).pushed_down()
    assert calls.made == []


def test_a_reranker_can_not_follow_rewritten_queries_of_a_run():
    run = (Words() >> Embed()).run("sky")
    with pytest.raises(CompositionError, match=r"lengths: needs ranking.*which embed"):
        Lengths().run(run)


def test_settings_that_no_stage_reads_are_noted():
    from rankloom import Corpus, Document
    from rankloom.retrieval import BM25

    bm25 = BM25.of(Corpus.of([Document("a", "sky"), Document("b", "tide")]))
    settings = {"bm25": {"k1": 1.2}, "bm52": {"k1": 1.2}, "top": {"k": 3}}
    run = (bm25 >> Top(1)).run([Query("q1", "sky", metadata={"stage_settings": settings}), Query("q2", "tide")])
    unread = [note for note in run.ledger.notes if note.kind == "unread_settings"]
    assert [(note.stage, note.query_id) for note in unread] == [("bm52", "q1"), ("top", "q1")]
    again = asyncio.run(aexecute(bm25, [Query("q1", "sky", metadata={"stage_settings": {"bm52": {}}})]))
    assert [note.stage for note in again.ledger.notes] == ["bm52"]
