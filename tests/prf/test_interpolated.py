"""Interpolated feedback beside the same pipelines written by hand."""

import pickle

import pytest

from rankloom import Run, interpolate
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, ConfigError, UsageError
from rankloom.eval.collections import load_collection
from rankloom.eval.experiment import Experiment
from rankloom.eval.plan import plan_of
from rankloom.pipeline import Pipeline
from rankloom.prf import RM3, InterpolatedFeedback, TextPRF, VectorPRF
from rankloom.records import Document
from rankloom.rerank import StoredVectors
from rankloom.retrieval import BM25
from rankloom.session import Session
from rankloom.stage import Feedback
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors

TEXTS = {"d1": "a a b", "d2": "b c c", "d3": "a c c c", "d4": "b b b a", "d5": "c"}
QUERIES = {"q1": "a", "q2": "b c", "q3": " ", "q4": "nothing"}
STRATEGIES = ["none", "before", "after", "both"]
OPTIONS = {"norm": "minmax", "missing": "minimum"}


class CountedTerms(FakeTerms):
    """Counts the queries that it is asked."""

    asked = 0

    def __call__(self, run):
        type(self).asked += len(run)
        return super().__call__(run)


class CountedVectors(FakeVectors):
    """Likewise."""

    asked = 0

    def __call__(self, run):
        type(self).asked += len(run)
        return super().__call__(run)


SPARSE = FakeTerms(texts=TEXTS)
DENSE = FakeVectors(vectors={i: [text.count(letter) for letter in "abc"] for i, text in TEXTS.items()})


class Seen(Feedback):
    """Writes nothing new and remembers the ranking that it was given."""

    name = "seen"
    grain = "none"

    def __init__(self):
        self.rankings = []

    def fingerprint(self):
        return "seen"

    def __call__(self, run):
        self.rankings.append(run.to_dict())
        return run.rewritten(run.queries)


def by_hand(strategy, base, fed, partner, alphas):
    """The four pipelines of the paper."""
    alpha, after = alphas
    first = interpolate(partner, base, alpha=alpha, **OPTIONS)
    return {
        "none": lambda: base >> fed,
        "before": lambda: first >> fed,
        "after": lambda: interpolate(partner, base >> fed, alpha=after, **OPTIONS),
        "both": lambda: interpolate(partner, first >> fed, alpha=after, **OPTIONS),
    }[strategy]()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("alphas", [(0.5, None), (0.3, 0.8), (0.0, 1.0)])
@pytest.mark.parametrize(
    "parts",
    [
        (DENSE, VectorPRF(docs=2), SPARSE),
        (DENSE, VectorPRF(method="rocchio", docs=1), SPARSE),
        (SPARSE, RM3(docs=2), DENSE),
        (DENSE, TextPRF(method="truncate", docs=2), SPARSE),
        (SPARSE, TextPRF(method="truncate", docs=2), FakeTerms(texts={"d1": "a", "d9": "b"})),
    ],
    ids=["average", "rocchio", "rm3", "text", "two of a kind"],
)
def test_it_is_the_pipeline_written_by_hand(strategy, alphas, parts):
    (base, feedback, partner), (alpha, after) = parts, alphas
    made = InterpolatedFeedback(base, feedback, partner, strategy=strategy, alpha=alpha, alpha_after=after)
    hand = by_hand(strategy, base, feedback >> base, partner, (alpha, alpha if after is None else after))
    assert made.fingerprint() == Pipeline([hand]).fingerprint()
    found, expected = made.run(QUERIES), hand.run(QUERIES)
    assert found.to_dict() == expected.to_dict()
    assert sum(map(len, found.values())) > 0
    assert found.ledger.notes == expected.ledger.notes
    assert found.lineage == expected.lineage
    assert [step.stage for step in found.steps] == [step.stage for step in expected.steps]
    assert pickle.loads(pickle.dumps(made)).run(QUERIES).to_dict() == expected.to_dict()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "answered",
    [TextPRF(DENSE, docs=2), TextPRF(StoredVectors(DENSE), docs=2), VectorPRF(then="rerank") >> StoredVectors(DENSE)],
    ids=["texts through a retriever", "texts through a reranker", "vectors for reranking"],
)
def test_feedback_that_ends_with_a_ranking_is_not_searched_again(strategy, answered):
    made = InterpolatedFeedback(DENSE, answered, SPARSE, strategy=strategy, alpha=0.3)
    hand = by_hand(strategy, DENSE, answered, SPARSE, (0.3, 0.3))
    assert made.fingerprint() == Pipeline([hand]).fingerprint()
    assert made.run(QUERIES).to_dict() == hand.run(QUERIES).to_dict()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_which_ranking_feedback_reads(strategy):
    seen = Seen()
    InterpolatedFeedback(DENSE, seen, SPARSE, strategy=strategy, alpha=0.9).run(QUERIES)
    fused = interpolate(SPARSE, DENSE, alpha=0.9, **OPTIONS).run(QUERIES).to_dict()
    own = DENSE.run(QUERIES).to_dict()
    assert fused != own
    assert seen.rankings == [fused if strategy in ("before", "both") else own]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_equal_is_computed_once(strategy):
    CountedTerms.asked = CountedVectors.asked = 0
    sparse, dense = CountedTerms(texts=TEXTS), CountedVectors(vectors=DENSE.vectors)
    InterpolatedFeedback(dense, VectorPRF(docs=2), sparse, strategy=strategy).run(QUERIES)
    assert CountedTerms.asked == (0 if strategy == "none" else len(QUERIES))
    assert CountedVectors.asked == 2 * len(QUERIES)  # before feedback and after it


def test_strategies_share_what_they_have_in_common():
    CountedTerms.asked = CountedVectors.asked = 0
    sparse, dense = CountedTerms(texts=TEXTS), CountedVectors(vectors=DENSE.vectors)
    session = Session().remembering()
    for strategy in STRATEGIES:
        InterpolatedFeedback(dense, VectorPRF(docs=2), sparse, strategy=strategy).run(QUERIES, session=session)
    assert CountedTerms.asked == len(QUERIES)
    assert CountedVectors.asked == 3 * len(QUERIES)  # the first search, and one after each of two first rankings


def test_it_takes_its_place_in_a_pipeline():
    made = InterpolatedFeedback(DENSE, VectorPRF(), SPARSE, strategy="before")
    assert [stage.name for stage in made.top(3).stages] == ["interpolate", "vector_prf", "fake_vectors", "top"]
    assert len(made.search("a", k=2)) == 2
    again = made.replace(strategy="none")
    assert again.run(QUERIES).to_dict() == (DENSE >> VectorPRF() >> DENSE).run(QUERIES).to_dict()


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        ({"strategy": "all"}, UsageError, "strategy"),
        ({"alpha": 1.5}, UsageError, "alpha"),
        ({"alpha_after": -0.1}, UsageError, "alpha_after"),
        ({"norm": "no"}, UsageError, "norm"),
        ({"missing": "no"}, UsageError, "missing"),
        ({"partner": None}, CompositionError, "partner is not a stage"),
        ({"base": SPARSE}, CompositionError, "can not read"),
        ({"feedback": VectorPRF(then="rerank")}, CompositionError, "no index|nothing reads|rewritten queries"),
    ],
)
def test_what_is_refused(changes, error, part):
    given = {"base": DENSE, "feedback": VectorPRF(), "partner": SPARSE} | changes
    with pytest.raises(error, match=part):
        InterpolatedFeedback(**given, **({} if "strategy" in changes else {"strategy": "after"})).search("a")


WRITTEN = {"base": "bm25", "feedback": {"rm3": {"docs": 2}}, "partner": {"bm25": {"b": 1.0}}}


def mixed(steps):
    """With the partner of `WRITTEN`."""
    return {"interpolate": {"inputs": [{"bm25": {"b": 1.0}}, steps], "alpha": 0.2, "norm": "minmax"}}


def outline(spec):
    """What a plan says of a pipeline, but how the inputs of a fusion are nested."""
    plan = plan_of({"p": spec}, {})
    return plan.lines(), [(one.word, one.shown, one.hits, one.left, one.times) for one in plan.stages]


class TestFromYAML:
    def built(self, spec):
        corpus = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])
        return PipelineBuilder({}).build(spec, corpus=corpus, session=Session())

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize(
        "feedback",
        [
            {"rm3": {"docs": 2}},
            [{"rm3": {"docs": 2}}],
            {"text_prf": {"through": "bm25"}},
            [{"text_prf": {"method": "truncate"}}, {"bm25": {"k": 3}}],
        ],
        ids=["a step", "steps", "through", "answered"],
    )
    def test_plan_and_pipeline_are_those_written_in_full(self, strategy, feedback):
        written = {**WRITTEN, "feedback": feedback, "strategy": strategy, "alpha": 0.2}
        fed = feedback if isinstance(feedback, list) else [feedback]
        answered = len(fed) > 1 or "text_prf" in fed[0]
        steps = [mixed("bm25") if strategy in ("before", "both") else "bm25", *fed, *([] if answered else ["bm25"])]
        steps = [mixed(steps)] if strategy in ("after", "both") else steps
        (lines, made), (expected, full) = outline([{"interpolated_feedback": written}]), outline(steps)
        assert list(lines) == list(expected)
        assert made == full
        pipelines = [self.built([{"interpolated_feedback": written}]), self.built(steps)]
        assert pipelines[0].fingerprint() == pipelines[1].fingerprint()
        assert len({str(pipeline.run(QUERIES).to_dict()) for pipeline in pipelines}) == 1

    def test_a_sweep_goes_through_the_strategies(self, tmp_path):
        values = {
            "collection": "mini",
            "measures": ["nDCG@10"],
            "define": {"fed": {"interpolated_feedback": WRITTEN}},
            "pipelines": {"fed": ["fed"], "bm25": ["bm25"]},
            "sweep": {"fed.strategy": STRATEGIES, "fed.feedback.docs": [1, 3], "fed.alpha": [0.2, 0.8]},
            "output": str(tmp_path),
        }
        experiment = Experiment.from_dict(values)
        assert len(experiment.config.pipelines) == 17
        assert experiment.plan().lines()
        found = experiment.evaluate(experiment.session()).outcomes
        mini = load_collection("mini")
        bm25, other = BM25.of(mini.corpus), BM25.of(mini.corpus, b=1.0)
        for strategy in STRATEGIES:
            hand = by_hand(strategy, bm25, RM3(docs=3) >> bm25, other, (0.8, 0.8)).run(mini.queries)
            row = found[f"fed,strategy={strategy},docs=3,alpha=0.8"]
            assert row.run.to_dict() == hand.to_dict()

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"strategy": "sometimes"}, "strategy"),
            ({"alpha": 2.0}, "alpha"),
            ({"feedback": "vector_prf"}, "can not read"),
            ({"feedbak": "rm3"}, "did you mean 'feedback'"),
            ({"partner": "bm52"}, "bm25"),
        ],
    )
    def test_mistakes_are_found_in_the_file(self, changes, part):
        with pytest.raises(ConfigError, match=part):
            PipelineBuilder({}).check([{"interpolated_feedback": {**WRITTEN, **changes}}], at=("pipelines", "p"))


class TestContract(StageConformance):
    def make_stage(self):
        return InterpolatedFeedback(DENSE, VectorPRF(docs=2), SPARSE, alpha=0.4, alpha_after=0.6)

    def make_run(self):
        return Run.start(QUERIES)
