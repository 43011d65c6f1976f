"""Each check of the conformance class must catch the fault it is for; the stages here are broken on purpose."""

import inspect
import re
import sys
import types
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from rankloom import Document, Feedback, Pruner, Query, Ranking, Reranker, Retriever, Run, Span, Stage
from rankloom.corpus import MemoryDocuments
from rankloom.errors import RankloomError
from rankloom.ledger import Note
from rankloom.pipeline import Top
from rankloom.run_comparison import content, difference, disorder
from rankloom.score_parts import ScoreExplainer, ScoreParts, TermPart
from rankloom.stage_probe import variants
from rankloom.testing import StageConformance

DOCUMENTS = MemoryDocuments([Document(f"d{number}", f"text {number}") for number in range(4)])
SCORES = {"q1": {"d1": 3.0, "d2": 2.0, "d3": 1.0}, "q2": {"d2": 5.0, "d0": 4.0}, "q3": {"d3": 1.0}}


class Shift(Stage):
    """An honest stage: every score moves by so much."""

    name = "shift"
    needs = frozenset({"ranking"})

    def __init__(self, *, by=1.0, batch_size=8):
        self.by = by
        self.batch_size = batch_size

    def __call__(self, run):
        return self.scored(run, run.hits(stage=self.name).scores + np.float32(self.by))

    def scored(self, run, scores):
        return run.ranked(replace(run.ranking, scores=scores.astype(np.float32)))


class Neutral(Shift):
    """Honest too: the batch size is left out of the fingerprint."""

    def fingerprint(self):
        return f"neutral by {self.by}"


class TestHonestStage(StageConformance):
    def make_stage(self):
        return Shift()

    def make_run(self):
        return Run.from_dict(SCORES, queries={"q1": "one", "q2": "two", "q3": "three"}, documents=DOCUMENTS)


class TestTop(TestHonestStage):
    def make_stage(self):
        return Top(2)


class Keeping(Shift):
    """Keeps no parameter."""

    def __init__(self, *, by=1.0):
        self.amount = by


class Doubling(Shift):
    """Keeps another value than it is given."""

    def __init__(self, *, by=1.0):
        self.by = 2 * by


class Open(Shift):
    """Lets its parameters be set."""

    __setattr__ = object.__setattr__


class Restless(Shift):
    """Two equal instances differ."""

    numbers = count()

    def fingerprint(self):
        return f"{next(self.numbers)}"


class Seeded(Shift):
    """Depends on the hash seed of the process."""

    def fingerprint(self):
        return str(hash("a string"))


class Deaf(Shift):
    """Its fingerprint does not know the parameters."""

    def fingerprint(self):
        return "shift"


class Heavy(Shift):
    """Its constructor imports a model library."""

    def __init__(self, *, by=1.0):
        self.by = by
        if "pytest_asyncio" not in sys.modules:  # only in the fresh process; this one keeps its modules
            sys.modules["tensorflow"] = types.ModuleType("tensorflow")


class Promising(Shift):
    """Promises spans."""

    provides = frozenset({"spans"})


class Hoarding(Shift):
    """Says it drops the ranking."""

    drops = frozenset({"ranking"})


class InPlace(Shift):
    """Writes into the run it is given."""

    def __call__(self, run):
        run.ranking.scores[:] += np.float32(self.by)
        return run


class Losing(Shift):
    """Loses a query."""

    def __call__(self, run):
        return run.select(range(len(run) - 1))


class Unsorted(Shift):
    """Turns the scores around and not the documents."""

    def __call__(self, run):
        return self.scored(run, -run.ranking.scores)


class NotANumber(Shift):
    """Scores NaN."""

    def __call__(self, run):
        return self.scored(run, run.ranking.scores * np.nan)


class Doubled(Shift):
    """Returns one document in every place."""

    def __call__(self, run):
        return run.ranked(replace(run.ranking, codes=run.ranking.codes * 0))


class Dropping(Reranker):
    """Returns fewer documents than it was given."""

    name = "dropping"

    def __call__(self, run):
        return run.top(1)


class Overlong(Pruner):
    """Spans that end behind the text."""

    name = "overlong"

    def __call__(self, run):
        spans = tuple((Span(0, 99, 1.0, kept=True),) for _ in run.ranking.codes)
        return run.ranked(replace(run.ranking, spans=spans))


class Searching(Retriever):
    """A retriever whose scores depend on its depth, and that finds something for a blank query and says nothing."""

    name = "searching"
    documents = DOCUMENTS

    def __init__(self, *, k=4):
        self.k = k

    def __call__(self, run):
        hits = [(f"d{number}", float(self.k - number)) for number in range(min(4, self.k))]
        return run.ranked(Ranking.from_lists([hits] * len(run), stage=self.name))


class Silent(Searching):
    """Finds nothing for a blank query, and says nothing."""

    def __call__(self, run):
        hits = [[] if query.blank else [("d1", 1.0)] for query in run.queries]
        return run.ranked(Ranking.from_lists(hits, stage=self.name))


class Boasting(Silent, ScoreExplainer):
    """Tells parts of other scores than it gives."""

    def score_parts(self, _query, doc_id, _session):
        return ScoreParts(self.name, doc_id, 1.0, (TermPart("word", 1.0, 2.0, None, 2.0),))


class Secretive(Boasting):
    """Does not know the documents that it finds."""

    def score_parts(self, *_):
        return None


class Mute(Feedback):
    """Feedback that does not say when it has none."""

    name = "mute"
    provides = frozenset({"terms"})
    reads = Retriever

    def __init__(self, *, retriever=None):
        self.retriever = retriever

    def __call__(self, run):
        return run.rewritten(query.with_terms({"word": 1.0}) for query in run.queries)


class Counting(Shift):
    """Every call gives other scores."""

    def __init__(self, *, by=1.0):
        self.by = by
        self.calls = 0

    def __call__(self, run):
        self.calls += 1
        return self.scored(run, run.ranking.scores + np.float32(self.calls))


class Batching(Shift):
    """Scores depend on the other queries of the batch."""

    def __call__(self, run):
        return self.scored(run, run.ranking.scores / run.ranking.scores.max(initial=1))


class Chatty(Shift):
    """Notes depend on the other queries of the batch."""

    def __call__(self, run):
        return (
            super()
            .__call__(run)
            .noted(*(Note(self.name, "no_hits", query.id, amount=len(run)) for query in run.queries))
        )


class Mortal(Counting):
    """Does not work as before once it has been closed."""

    def __call__(self, run):
        return self.scored(run, run.ranking.scores + np.float32(self.calls))

    def close(self):
        self.calls += 1


class Nameless(Shift):
    """Notes that name no query can not be kept with its result."""

    def __call__(self, run):
        return super().__call__(run).noted(Note(self.name, "truncated"))


class Spending(Shift):
    """Looks after its own caching, and does not."""

    grain = "none"

    def __call__(self, run):
        return super().__call__(run).counted(calls=1)


class Fragile(Shift):
    """Fails without queries, without hits, and on what is not ASCII."""

    def __call__(self, run):
        for query, hits in zip(run.queries, run.values(), strict=True):
            query.text.encode("ascii")
            _ = hits[0]
        return self.scored(run, run.ranking.scores - run.ranking.scores.max())


class Crooked(Shift):
    """A query without hits shifts the results of the queries after it."""

    def __call__(self, run):
        return self.scored(run, run.ranking.scores + np.float32((run.ranking.counts() == 0).sum()))


class SeededConformance(StageConformance):
    def make_stage(self):
        return Seeded()


class HeavyConformance(StageConformance):
    def make_stage(self):
        return Heavy()


class BrokenConformance(StageConformance):
    def make_stage(self):
        raise ValueError("not outside pytest")


def harness(stage, **attributes):
    """The conformance tests of one kind of stage over the run of above."""
    base = type("Harness", (TestHonestStage,), attributes)
    base.make_stage = lambda _: stage()
    if isinstance(stage, type) and issubclass(stage, Retriever):  # a retriever would throw a ranking away
        base.make_run = lambda _: Run.start({"q1": "one", "q2": "two", "q3": "three"})
    return base()


def fails(tests, check, tmp_path):
    """Run one check, which must fail, and give its message."""
    method = getattr(tests, check)
    arguments = [tmp_path] if inspect.signature(method).parameters else []
    with pytest.raises((pytest.fail.Exception, RankloomError)) as caught:
        method(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("check", "stage", "message"),
    [
        ("test_parameters_are_attributes", Keeping, "is not kept"),
        ("test_replace_makes_an_equal_stage", Doubling, "changed the fingerprint"),
        ("test_parameters_can_not_be_set", Open, "DID NOT RAISE"),
        ("test_fingerprint_is_stable", Restless, "two equal stages differ"),
        ("test_fingerprint_changes_with_each_parameter", Deaf, "by does not change the fingerprint"),
        ("test_declarations_hold", Promising, r"promised and not there: \['spans'\]"),
        ("test_declarations_hold", Hoarding, r"still there: \['ranking'\]"),
        ("test_input_is_not_changed", InPlace, "was changed: scores"),
        ("test_queries_stay", Losing, "not those that were passed in"),
        ("test_hits_are_in_order", Unsorted, "not by score descending"),
        ("test_hits_are_in_order", NotANumber, "NaN"),
        ("test_hits_are_in_order", Doubled, "stands twice"),
        ("test_documents_stay", Dropping, "q1: other documents"),
        ("test_spans_lie_in_the_text", Overlong, "bad spans"),
        ("test_shallower_retriever_gives_the_same_head", Searching, "a smaller k changes the hits"),
        ("test_parts_add_up_to_scores", Boasting, r"q1: d1 scores 1.0, told 1.0, parts 2.0"),
        ("test_parts_add_up_to_scores", Secretive, "q1: nothing is told of d1"),
        ("test_same_twice", Counting, "second call gives another result: scores"),
        ("test_batch_equals_one_at_a_time", Batching, "the results differ: q1"),
        ("test_batch_equals_one_at_a_time", Chatty, "the notes differ"),
        ("test_models_can_be_freed", Mortal, r"after close\(\)"),
        ("test_second_run_comes_from_the_cache", Nameless, "does each name its query"),
        ("test_second_run_comes_from_the_cache", Spending, "called a model"),
        ("test_no_queries", Fragile, "ValueError"),
        ("test_query_without_hits", Fragile, "IndexError"),
        ("test_query_without_hits", Crooked, "a neighbour without hits"),
        ("test_query_without_hits", Mute, "expected no_feedback"),
        ("test_blank_query", Searching, "a blank query found something"),
        ("test_blank_query", Silent, "expected empty_query or no_hits"),
        ("test_blank_query", Mute, "expected no_feedback"),
        ("test_awkward_queries", Fragile, "UnicodeEncodeError"),
    ],
)
def test_a_broken_stage_is_caught(check, stage, message, tmp_path):
    said = fails(harness(stage), check, tmp_path)
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("tests", "check", "message"),
    [
        (SeededConformance, "test_fingerprint_is_the_same_in_another_process", "another fingerprint"),
        (HeavyConformance, "test_construction_is_light", "constructing imports .'tensorflow'"),
        (BrokenConformance, "test_construction_is_light", "own_process = False"),
    ],
)
def test_a_fault_that_only_a_fresh_process_shows(tests, check, message, tmp_path):
    assert re.search(message, fails(tests(), check, tmp_path))


def test_checks_in_a_fresh_process_can_be_left_out():
    tests = harness(Seeded, own_process=False)
    tests.test_fingerprint_is_the_same_in_another_process()
    tests.test_construction_is_light()
    harness(Heavy, light=False).test_construction_is_light()


def test_neutral_parameters(tmp_path):
    check = "test_fingerprint_changes_with_each_parameter"
    getattr(harness(Neutral, neutral=frozenset({"batch_size"})), check)()
    assert "batch_size does not change" in fails(harness(Neutral), check, tmp_path)
    said = fails(harness(Shift, neutral=frozenset({"batch_size"})), check, tmp_path)
    assert "neutral parameter batch_size" in said


def test_a_run_of_one_query_is_refused(tmp_path):
    tests = harness(Shift)
    tests.make_run = lambda: Run.from_dict({"q1": {"d1": 1.0}})
    assert "at least two queries" in fails(tests, "test_same_twice", tmp_path)


def test_forgetting_to_say_what_to_test():
    for forgotten in ("make_stage", "make_run"):
        with pytest.raises(NotImplementedError):
            getattr(StageConformance(), forgotten)()


def test_variants_change_one_parameter_each():
    changed = dict(variants(Shift()))
    assert {name: stage.params() for name, stage in changed.items()} == {
        "by": {"by": 0.5, "batch_size": 8},
        "batch_size": {"by": 1.0, "batch_size": 9},
    }


class TestComparison:
    def test_content_tells_which_part_differs(self):
        one = Run.from_dict({"q": {"a": 1.0}}, queries={"q": "text"})
        for part, other in {
            "queries": Run.from_dict({"q": {"a": 1.0}}, queries={"q": "other text"}),
            "documents": Run.from_dict({"q": {"b": 1.0}}, queries={"q": "text"}),
            "scores": Run.from_dict({"q": {"a": 2.0}}, queries={"q": "text"}),
        }.items():
            assert [name for name, value in content(one).items() if content(other)[name] != value] == [part]

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ({"a": 1.0, "b": 0.99}, {"b": 1.0, "a": 0.99}, True),  # closer than the tolerance
            ({"a": 1.0, "b": 0.8}, {"b": 1.0, "a": 0.8}, False),
            ({"a": 1.0, "b": 0.5}, {"a": 1.0, "c": 0.5}, True),  # a tie at the cut
            ({"a": 1.0, "b": 0.5}, {"c": 1.0, "b": 0.5}, False),
            ({"a": 1.0}, {"a": 1.0, "b": 0.5}, False),
            ({"a": 100.0}, {"a": 101.0}, True),  # in proportion
            ({"a": 1.0}, {"a": 1.1}, False),
            ({}, {}, True),
        ],
    )
    def test_hits(self, one, other, same):
        runs = Run.from_dict({"q": one}), Run.from_dict({"q": other})
        assert bool(difference(*runs, 0.02)) is not same

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (Query("q", "a", {"x": 1.0}), Query("q", "a", {"x": 1.01}), True),
            (Query("q", "a", {"x": 1.0}), Query("q", "a", {"x": 1.1}), False),
            (Query("q", "a", {"x": 1.0}), Query("q", "a", {"y": 1.0}), False),
            (Query("q", "a", {}), Query("q", "a"), False),
            (Query("q", "a"), Query("q", "b"), False),
            (Query("q", "a", vectors={"v": np.ones(2)}), Query("q", "a", vectors={"v": np.ones(2) * 1.01}), True),
            (Query("q", "a", vectors={"v": np.ones(2)}), Query("q", "a", vectors={"v": np.zeros(2)}), False),
            (Query("q", "a", vectors={"v": np.ones(2)}), Query("q", "a"), False),
        ],
    )
    def test_queries(self, one, other, same):
        assert bool(difference(Run.start([one]), Run.start([other]), 0.02)) is not same

    def test_no_ranking_is_in_order(self):
        assert disorder(Run.start("text")) == ""
