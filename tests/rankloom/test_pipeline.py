import pytest

from rankloom import Fuser, Pipeline, Query, Run, Top, interpolate, rrf
from rankloom.errors import CompositionError, UsageError
from tests.rankloom.stages_for_tests import (
    QUERIES,
    Calls,
    Deaf,
    Embed,
    Expand,
    Lengths,
    NoTexts,
    OtherWords,
    Sentences,
    Words,
    pieces,
    some_documents,
)


def names(stage):
    return [inner.name for inner in stage.stages]


# --- what may follow what -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compose", "message"),
    [
        (
            lambda: NoTexts() >> Lengths(),
            "lengths: needs text, which no_texts does not leave; fix: retrieve from a corpus",
        ),
        (lambda: NoTexts() >> Sentences(), "sentences: needs text, which no_texts does not leave; fix: retrieve"),
        (
            lambda: Words() >> Expand() >> Lengths(),
            "lengths: needs ranking, which expand does not leave; fix: put a ret",
        ),
        (
            lambda: Words() >> Expand() >> Top(3),
            "top: needs ranking, which expand does not leave; fix: put a retriever",
        ),
        (lambda: Words() >> Expand() >> Expand(), "expand: needs ranking, which expand does not leave"),
        (
            lambda: Words() >> Expand(retriever=Words()) >> Deaf(),
            "deaf: can not read the terms that expand wrote into the query; fix: put a retriever over the same",
        ),
        (
            lambda: Words() >> Embed() >> Words(),
            "words: can not read the vectors that embed wrote into the query; fix:",
        ),
        (
            lambda: Words() >> Expand(retriever=Words()) >> rrf(Words(), Deaf()),
            "deaf: can not read the terms that expand wrote",
        ),
        (
            lambda: Words() >> Expand() >> NotATermSource(),
            "expand: writes queries that plain can not read; accepted: a",
        ),
        (lambda: Words() >> "bm25", "pipeline: this is not a stage; got 'bm25'"),
        (lambda: Pipeline([]), "pipeline: a pipeline needs at least one stage"),
        (lambda: Pipeline([Words(), None]), "pipeline: this is not a stage; got None"),
    ],
)
def test_what_can_not_follow_is_refused_when_composed_naming_both_and_the_fix(compose, message):
    with pytest.raises(CompositionError) as caught:
        compose()
    assert str(caught.value).startswith(message)


class NotATermSource(Deaf.__mro__[2]):  # Retriever
    """A retriever that has no terms to read."""

    name = "plain"
    documents = some_documents()

    def __init__(self, k=10):
        self.k = k

    def __call__(self, run):
        raise NotImplementedError


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
def test_a_cut_off_is_a_positive_whole_number(k):
    with pytest.raises(UsageError, match="k is out of range"):
        Words().top(k)


def test_what_a_pipeline_needs_is_checked_against_the_run_it_is_given():
    with pytest.raises(CompositionError, match=r"^lengths: needs ranking.* the start"):
        Lengths().run("sky")
    with pytest.raises(CompositionError, match=r"^lengths: needs text, which given"):
        Lengths().run(Run.from_dict({"q": {"d1": 1.0}}))
    held = Run.from_dict({"q": {"d1": 1.0}}, documents=some_documents())
    assert Lengths().run(held)["q"].doc_ids == ["d1"]


def test_a_rewritten_query_that_the_retriever_does_not_read_is_never_ignored():
    queries = [Query("q", "sky", {"blue": 1.0})]
    with pytest.raises(CompositionError, match="can not read the terms that the start wrote"):
        Deaf().run(queries)
    assert Words().run(queries)["q"].doc_ids == Words().run("blue")["q1"].doc_ids


def test_a_search_must_end_with_a_ranking():
    with pytest.raises(
        CompositionError, match=r"^expand: the pipeline ends with rewritten queries.*retriever after it"
    ):
        (Words() >> Expand()).search("sky")


# --- parts ----------------------------------------------------------------------------------------------------------


def test_a_part_can_be_made_first_and_put_behind_a_retriever_later():
    part = Lengths(depth=1) >> Sentences() >> Top(2)
    whole = Words() >> part
    assert names(whole) == ["words", "lengths", "sentences", "top"]
    assert len(whole.search("blue sky moon")) == 2
    with pytest.raises(CompositionError, match="needs ranking"):
        part.run("sky")


def test_a_part_runs_over_a_run_that_has_what_it_needs():
    ranked = Words().run(QUERIES)
    assert pieces((Lengths() >> Top(1)).run(ranked)) == pieces((Words() >> Lengths() >> Top(1)).run(QUERIES))


def test_a_part_that_begins_with_feedback():
    part = Expand() >> Words()
    assert pieces((Words() >> part).run(QUERIES)) == pieces((Words() >> Expand() >> Words()).run(QUERIES))


# --- flattening and binding -----------------------------------------------------------------------------------------


def test_pipelines_are_taken_apart_however_they_are_put_together():
    a, b, c = Words(), Lengths(), Top(2)
    one, other = (a >> b) >> c, Pipeline([a, Pipeline([b, Pipeline([c])])])
    assert names(one) == names(other) == ["words", "lengths", "top"]
    assert one.fingerprint() == other.fingerprint()


def test_feedback_reads_from_the_retriever_behind_it():
    first, second = Words(boost=1.0), Words(boost=2.0)
    assert (first >> Expand() >> second).stages[1].retriever is second


def test_feedback_that_names_its_retriever_keeps_it():
    first, second = Words(boost=1.0), Words(boost=2.0)
    assert (first >> Expand(retriever=first) >> second).stages[1].retriever is first


def test_feedback_is_bound_when_its_retriever_comes_later():
    second = Words(boost=2.0)
    part = Words() >> Expand()
    assert part.stages[1].retriever is None
    assert (part >> second).stages[1].retriever is second
    assert part.stages[1].retriever is None


def test_feedback_inside_a_branch_is_bound_there():
    second = Words(boost=2.0)
    fused = rrf(Words() >> Expand() >> second, Words())
    assert fused.branches[0].stages[1].retriever is second


# --- cut-offs pushed down -------------------------------------------------------------------------------------------


def test_a_cut_off_becomes_the_depth_of_the_retriever_before_it():
    pushed = Words(k=1000).top(10).pushed_down()
    assert [(stage.name, stage.k) for stage in pushed.stages] == [("words", 10)]


def test_a_cut_off_never_deepens_a_retriever():
    assert Words(k=3).top(10).pushed_down().stages[0].k == 3


def test_cut_offs_in_a_row_become_the_smallest():
    pushed = (Words() >> Lengths()).top(9).top(4).top(6).pushed_down()
    assert [(stage.name, getattr(stage, "k", None)) for stage in pushed.stages] == [
        ("words", 1000),
        ("lengths", None),
        ("top", 4),
    ]
    assert Words().top(9).top(4).top(6).pushed_down().stages[0].k == 4


def test_nothing_is_pushed_through_a_reranker_or_a_fusion():
    assert names((Words() >> Lengths()).top(2).pushed_down()) == ["words", "lengths", "top"]
    assert names(rrf(Words(), OtherWords()).top(2).pushed_down()) == ["rrf", "top"]


def test_cut_offs_inside_branches_are_pushed_down_too():
    pushed = rrf(Words().top(5), interpolate(OtherWords().top(2), Words())).top(3).pushed_down()
    fuser = pushed.stages[0]
    assert isinstance(fuser, Fuser)
    assert [stage.k for stage in fuser.branches[0].stages] == [5]
    assert [stage.k for stage in fuser.branches[1].branches[0].stages] == [2]
    assert fuser.branches[1].branches[1].k == 1000


@pytest.mark.parametrize("k", [1, 2, 5])
def test_pushing_down_changes_no_result(k):
    pipeline = rrf(Words().top(3), Words() >> Expand() >> Words().top(2)).top(k) >> Lengths() >> Top(k)
    assert pieces(pipeline.pushed_down()(Run.start(QUERIES))) == pieces(pipeline(Run.start(QUERIES)))


def test_the_retriever_of_a_search_is_asked_for_k():
    calls = Calls()
    hits = Words(calls=calls).search("blue sky moon", k=2)
    assert [entry.stage for entry in hits[0].trace] == ["words"]
    assert len(hits) == 2


def test_a_retriever_is_made_shallower_once_so_that_what_it_loads_is_kept():
    words = Words()
    assert words.top(5).pushed_down().stages[0] is words.top(5).pushed_down().stages[0]
    assert words.top(1000).pushed_down().stages[0] is words


# --- as a stage -----------------------------------------------------------------------------------------------------


def test_the_fingerprint_depends_on_stages_and_order():
    prints = {
        pipeline.fingerprint()
        for pipeline in (
            Words() >> Lengths(),
            Words() >> Lengths(depth=3),
            Words() >> Lengths() >> Top(3),
            Words() >> Top(3) >> Lengths(),
            Pipeline([Words()]),
        )
    }
    assert len(prints) == 5


def test_documents_are_those_of_the_last_stage_that_brings_any():
    texts = {"x": "sky"}
    assert (Words() >> Expand() >> OtherWords(texts=texts) >> Lengths()).documents.doc_ids == ["x"]
    assert Pipeline([Lengths()]).documents is None


def test_warm_up_and_close_reach_every_stage_also_in_branches():
    done = []

    class Loads(Words):
        """Tells when it is loaded and freed."""

        def warm_up(self, session=None):
            done.append(("warm", self.k, session))

        def close(self):
            done.append(("close", self.k))

    pipeline = rrf(Loads(k=1), Loads(k=2) >> Lengths()) >> Lengths()
    pipeline.warm_up("session")
    pipeline.close()
    assert done == [("warm", 1, "session"), ("warm", 2, "session"), ("close", 1), ("close", 2)]


def test_a_pipeline_shows_its_stages():
    assert repr(Lengths() >> Top(3)) == "Lengths(depth=2, limit=1000, calls=None) >> Top(k=3)"


# --- stages ---------------------------------------------------------------------------------------------------------


def test_a_stage_does_not_change_but_makes_changed_copies():
    stage = Lengths()
    with pytest.raises(UsageError, match=r"stage\.replace\(depth=\.\.\.\)"):
        stage.depth = 5
    assert (stage.replace(depth=5).depth, stage.depth) == (5, 2)
    assert stage.replace(depth=5).fingerprint() != stage.fingerprint()
    with pytest.raises(UsageError, match=r"lengths: unknown parameter; got 'deep'; accepted: depth, limit, calls"):
        stage.replace(deep=5)


def test_the_fingerprint_depends_on_class_version_and_parameters():
    class Newer(Lengths):
        """The next version."""

        version = 2

    class Other(Lengths):
        """Another class."""

    prints = {stage.fingerprint() for stage in (Lengths(), Newer(), Other(), Lengths(depth=3))}
    assert len(prints) == 4
    assert Lengths().fingerprint() == Lengths(depth=2).fingerprint()


def test_a_parameter_without_a_fingerprint_names_the_stage():
    with pytest.raises(UsageError, match=r"^lengths: has a parameter that can not be fingerprinted .*function"):
        (Words() >> Lengths(limit=lambda: 3)).run("sky")


def test_a_retriever_does_not_throw_a_ranking_away():
    with pytest.raises(CompositionError, match=r"other_words: would throw away the ranking that top leaves.*fuse"):
        Words().top(3) >> OtherWords()
