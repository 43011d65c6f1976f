"""Where relevant documents fell out: each reason by hand, and random pipelines against a reading of the plain lists."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from rankloom import Document, Query, Run, Session
from rankloom.corpus import Corpus, MemoryDocuments
from rankloom.errors import UsageError
from rankloom.eval.collections import Collection
from rankloom.eval.experiment import Experiment
from rankloom.eval.lost import Diagnosis, Fate, Reason, diagnose, diagnose_experiment
from rankloom.eval.passage import Followed, ranks_of
from rankloom.execution import apply
from rankloom.fusion import Fuser
from rankloom.pipeline import Pipeline, Top
from rankloom.prf import TextPRF
from rankloom.ranking import Ranking
from rankloom.records import Span
from rankloom.rerank.pointwise import reranked
from rankloom.run import Step
from rankloom.stage import Pruner, Reranker, Retriever, Stage
from tests.prf.fakes import FakeTerms

DOCS = [f"d{number}" for number in range(12)]
CORPUS = MemoryDocuments(Document(doc_id, f"text of {doc_id}") for doc_id in DOCS)


class Listed(Retriever):
    """Retrieves what it is told, in this order."""

    name = "listed"
    grain = "none"

    def __init__(self, hits: Mapping[str, list[str]], *, k: int = 1000) -> None:
        self.hits, self.k = hits, k

    @property
    def documents(self) -> MemoryDocuments:
        return CORPUS

    def __call__(self, run: Run) -> Run:
        lists = [[(doc, -float(place)) for place, doc in enumerate(self.hits.get(q.id, []))] for q in run.queries]
        return run.ranked(Ranking.from_lists(lists, stage="listed").top(self.k))


class Again(Stage):
    """Drops the ranking, as feedback does."""

    name = "again"
    drops = frozenset({"ranking", "spans"})
    grain = "none"

    def __call__(self, run: Run) -> Run:
        return run.rewritten(run.queries)


class Reversed(Reranker):
    """Turns the best `depth` hits round."""

    name = "reversed"
    grain = "none"

    def __init__(self, *, depth: int) -> None:
        self.depth = depth

    def __call__(self, run: Run) -> Run:
        before = run.hits(stage=self.name)
        scored = np.minimum(before.counts(), self.depth)
        scores = np.concatenate([np.arange(count) for count in scored] or [[]]).astype(np.float32)
        return run.ranked(reranked(before, scores, scored, kind=before.kind))


class Without(Stage):
    """Leaves out what it is told."""

    name = "without"
    needs = frozenset({"ranking"})
    grain = "none"

    def __init__(self, docs: list[str]) -> None:
        self.docs = docs

    def __call__(self, run: Run) -> Run:
        kept = [[(hit.doc_id, hit.score) for hit in hits if hit.doc_id not in self.docs] for hits in run.values()]
        return run.ranked(Ranking.from_lists(kept, stage=self.name))


class Empties(Pruner):
    """Keeps no sentence of what it is told, and all of the others."""

    name = "empties"
    grain = "none"

    def __init__(self, docs: list[str]) -> None:
        self.docs = docs

    def __call__(self, run: Run) -> Run:
        spans = tuple((Span(0, 4, 0.5, hit.doc_id not in self.docs, ""),) for hits in run.values() for hit in hits)
        return run.ranked(replace(run.hits(stage=self.name), spans=spans))


def collection(qrels: dict[str, dict[str, int]], **changes: object) -> Collection:
    queries = tuple(Query(query_id, "text") for query_id in qrels)
    values = {"id": "test", "queries": queries, "qrels": qrels, "open_corpus": lambda: Corpus.of(CORPUS)}
    return Collection(**{**values, **changes})  # type: ignore[arg-type]


def diagnosed(stages: list[Stage], judged: Collection, cutoff: int = 3) -> Diagnosis:
    pipeline = Pipeline(stages)
    run = apply(pipeline, Run(queries=judged.queries, session=Session()))
    return diagnose(run, pipeline, judged, name="p", cutoff=cutoff)


def fate(stages: list[Stage], doc_id: str, cutoff: int = 3) -> tuple[object, ...]:
    """Reason, stage, last stage before and rank there, of one document of one query."""
    found = diagnosed(stages, collection({"q": {doc_id: 1}}), cutoff).fates[0]
    return found.reason, found.stage, found.after, found.rank


FIVE = Listed({"q": DOCS[:5]})
OTHERS = Listed({"q": DOCS[5:10]})


def test_each_reason_by_hand() -> None:
    assert fate([FIVE], "d2") == (None, None, "1 listed", 3)
    assert fate([FIVE], "d3") == (Reason.CUT, "cut-off 3", "1 listed", 4)
    assert fate([FIVE], "d9") == (Reason.NEVER, "1 listed", None, None)
    assert fate([FIVE], "elsewhere") == (Reason.ABSENT, None, None, None)
    assert fate([FIVE, Top(4)], "d4") == (Reason.CUT, "2 top", "1 listed", 5)
    assert fate([FIVE, Reversed(depth=5)], "d0") == (Reason.PUSHED, "2 reversed", "2 reversed", 5)
    assert fate([FIVE, Reversed(depth=5), Top(3)], "d1") == (Reason.PUSHED, "2 reversed", "2 reversed", 4)
    assert fate([FIVE, Reversed(depth=2)], "d4") == (Reason.DEPTH, "2 reversed", "2 reversed", 5)
    assert fate([FIVE, Reversed(depth=2), Top(3)], "d3") == (Reason.DEPTH, "2 reversed", "2 reversed", 4)
    assert fate([FIVE, Without(["d1"])], "d1") == (Reason.DROPPED, "2 without", "1 listed", 2)
    assert fate([FIVE, Empties(["d1"])], "d1") == (Reason.PRUNED, "2 empties", "2 empties", 2)
    assert fate([FIVE, Empties(["d1"]), Top(2)], "d1") == (Reason.PRUNED, "2 empties", "3 top", 2)
    assert fate([FIVE, Again(), OTHERS], "d1") == (Reason.NOT_AGAIN, "3 listed", "1 listed", 2)
    assert fate([FIVE, Again(), OTHERS], "d6") == (None, None, "3 listed", 2)
    assert fate([FIVE, Again(), Listed({"q": DOCS[4::-1]})], "d0") == (Reason.PUSHED, "3 listed", "3 listed", 5)


def test_a_document_is_lost_in_a_fusion_only_when_no_input_has_it() -> None:
    fused = Fuser([Pipeline([FIVE, Top(2)]), Pipeline([OTHERS])], method="rrf")
    assert fate([fused], "d0") == (None, None, "1 rrf", 1)
    assert fate([fused], "d3") == (Reason.CUT, "1a.2 top", "1a.1 listed", 4)
    assert fate([fused], "d11") == (Reason.NEVER, "1 rrf", None, None)
    # Third in its input, sixth or so in the fusion.
    assert fate([fused], "d7") == (Reason.PUSHED, "1 rrf", "1 rrf", 5)
    both = Fuser([Pipeline([FIVE, Top(2)]), Pipeline([Listed({"q": DOCS[3::-1]}), Without(["d3"])])], method="rrf")
    assert fate([both], "d3") == (Reason.DROPPED, "1b.2 without", "1b.1 listed", 1)  # where it stood better
    assert fate([both, Top(1)], "d2")[:2] == (Reason.PUSHED, "1 rrf")
    # Over a ranking, the inputs go on from it.
    rerankers = Fuser([Without(["d0", "d1"]), Without(["d0"])], method="rrf")
    assert fate([FIVE, rerankers], "d0") == (Reason.DROPPED, "2a without", "1 listed", 1)
    assert fate([FIVE, rerankers], "d1", cutoff=5)[0] is None
    labels = diagnosed([FIVE, rerankers], collection({"q": {"d1": 1}})).stages
    assert labels == ("1 listed", "2a without", "2b without", "2 rrf", "cut-off 3")


def test_inside_text_feedback_each_new_query_has_a_way_of_its_own() -> None:
    texts = FakeTerms(texts={"d0": "sky blue", "d1": "sky", "d2": "blue sea", "d3": "moon"})
    again = Pipeline([texts, TextPRF(Pipeline([texts, Without(["d1"])]), docs=2)])
    run = apply(again, Run(queries=(Query("q", "sky"), Query("one", "moon"))))
    found = diagnose(run, again, collection({"q": dict.fromkeys(DOCS[:4], 1)}), cutoff=1)
    assert found.stages == (
        *("1 fake_terms", "2a.1 fake_terms", "2a.2 without", "2b.1 fake_terms", "2b.2 without", "2 text_prf"),
        "cut-off 1",
    )
    assert {fate.doc_id: (fate.reason, fate.stage, fate.after, fate.rank) for fate in found.fates} == {
        "d0": (None, None, "2 text_prf", 1),
        "d1": (Reason.DROPPED, "2a.2 without", "2a.1 fake_terms", 2),
        "d2": (Reason.CUT, "cut-off 1", "2 text_prf", 2),
        "d3": (Reason.NEVER, "1 fake_terms", None, None),
    }


def test_hits_that_do_not_count_leave_their_place_to_others() -> None:
    judged = collection({"q": {"d3": 1}}, excluded={"q": frozenset({"d0"})})
    assert diagnosed([FIVE], judged).found == 1
    judged = collection({"d0": {"d3": 1}}, drop_self_hits=True)
    assert diagnosed([Listed({"d0": DOCS[:5]})], judged).found == 1


def test_only_relevant_grades_are_followed_and_counts_add_up() -> None:
    judged = replace(collection({"q": {"d0": 2, "d3": 3, "d4": 2, "d1": 1}, "r": {"d9": 2}}), relevance_level=2)
    diagnosis = diagnosed([Listed({"q": DOCS[:5], "r": []}), Top(4)], judged)
    assert [(fate.query_id, fate.doc_id) for fate in diagnosis.fates] == [
        ("q", "d0"), ("q", "d3"), ("q", "d4"), ("r", "d9")
    ]  # fmt: skip
    assert diagnosis.found == 1
    assert [tuple(count) for count in diagnosis.counts()] == [
        ("1 listed", Reason.NEVER, 1, 1),
        ("2 top", Reason.CUT, 1, 1),
        ("cut-off 3", Reason.CUT, 1, 1),
    ]
    assert [fate.doc_id for fate in diagnosis.examples(diagnosis.counts()[2], 5)] == ["d3"]
    told = diagnosis.to_dict()
    assert told["relevant"] == told["found"] + sum(count["documents"] for count in told["lost"])
    assert told["queries"]["r"][0]["reason"] == "never retrieved"


def random_pipeline(rng: random.Random) -> list[Stage]:
    """A first stage and up to five others, in any order that can be carried out."""
    stages: list[Stage] = [random_listed(rng)]
    for _ in range(rng.randrange(6)):
        kind = rng.randrange(5)
        if kind == 0:
            stages.append(Top(rng.randint(1, 12)))
        elif kind == 1:
            stages.append(Reversed(depth=rng.randint(1, 12)))
        elif kind == 2:
            stages.append(Without(rng.sample(DOCS, 2)))
        elif kind == 3:
            stages += [Again(), random_listed(rng)]
        else:
            stages.append(Empties(rng.sample(DOCS, 2)))
    return stages


def random_listed(rng: random.Random) -> Listed:
    return Listed({query: rng.sample(DOCS, rng.randint(0, 12)) for query in ("q", "r")})


def read_off(stages: list[Stage], query: str, doc_id: str, cutoff: int) -> tuple[object, ...]:
    """Reason and stage, by running every prefix of the pipeline and looking at its list of document ids."""
    lists: list[tuple[str, Stage, list[str], int, bool]] = []
    for number, stage in enumerate(stages, start=1):
        run = apply(Pipeline(stages[:number]), Run(queries=(Query(query, "text"),), session=Session()))
        if run.ranking is None:
            continue
        hits = run[query]
        scored = len(hits) if run.ranking.scored is None else int(run.ranking.scored[0])
        gone = any(hit.doc_id == doc_id and hit.spans and not any(s.kept for s in hit.spans) for hit in hits)
        lists.append((f"{number} {stage.name}", stage, hits.doc_ids, scored, gone))
    holding = [place for place, (_, _, ids, _, _) in enumerate(lists) if doc_id in ids]
    if not holding:
        return Reason.NEVER, lists[0][0]
    last = holding[-1]
    _, _, ids, scored, _ = lists[last]
    if last == len(lists) - 1:
        if doc_id in ids[:cutoff]:
            emptied = [label for label, _, _, _, gone in lists if gone]
            return (Reason.PRUNED, emptied[0]) if lists[-1][4] else (None, None)
        cut, label = cutoff, f"cut-off {cutoff}"
    else:
        label, loser = lists[last + 1][:2]
        if not isinstance(loser, Top):
            return Reason.NOT_AGAIN if isinstance(loser, Listed) else Reason.DROPPED, label
        cut = loser.k
    if doc_id not in ids[:scored]:
        return Reason.DEPTH, [name for name, stage, _, _, _ in lists[: last + 1] if isinstance(stage, Reranker)][-1]
    for place in range(last, 0, -1):
        if doc_id in lists[place - 1][2][:cut] and doc_id in lists[place][2][cut:]:
            return Reason.PUSHED, lists[place][0]
    return Reason.CUT, label


@pytest.mark.parametrize("seed", range(60))
def test_random_pipelines_by_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    stages, cutoff = random_pipeline(rng), rng.randint(1, 12)
    everything = dict.fromkeys(DOCS, 1)
    found = diagnosed(stages, collection({"q": everything, "r": everything}), cutoff)
    for one in found.fates:
        assert (one.reason, one.stage) == read_off(stages, one.query_id, one.doc_id, cutoff), (stages, cutoff, one)


def random_branch(rng: random.Random) -> list[Stage]:
    """A first stage, and up to two that take documents away."""
    takers: list[Stage] = [Top(rng.randint(1, 8)), Without(rng.sample(DOCS, 4)), Top(rng.randint(1, 4))]
    return [random_listed(rng), *rng.sample(takers, rng.randrange(3))]


@pytest.mark.parametrize("seed", range(40))
def test_random_fusions_by_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    inputs, cutoff = [random_branch(rng) for _ in range(rng.randint(2, 3))], rng.randint(1, 12)
    fuser = Fuser([Pipeline(stages) for stages in inputs], method="rrf")
    everything = dict.fromkeys(DOCS, 1)
    for one in diagnosed([fuser], collection({"q": everything, "r": everything}), cutoff).fates:
        expected = read_off_fusion(fuser, inputs, one.query_id, one.doc_id, cutoff)
        assert (one.reason, one.stage, one.after, one.rank) == expected


def read_off_fusion(
    fuser: Fuser, inputs: list[list[Stage]], query: str, doc_id: str, cutoff: int
) -> tuple[object, ...]:
    """The fate of a document in a fusion by reciprocal ranks, from the lists of ids that every stage leaves."""
    asked = Run(queries=(Query(query, "text"),), session=Session())
    fused = apply(fuser, asked)[query].doc_ids
    left = [
        [apply(Pipeline(stages[:number]), asked)[query].doc_ids for number in range(1, len(stages) + 1)]
        for stages in inputs
    ]
    if any(doc_id in lists[-1] for lists in left):  # then the fusion has it
        rank = fused.index(doc_id) + 1
        if rank <= cutoff:
            return None, None, "1 rrf", rank
        if any(doc_id in lists[-1][:cutoff] for lists in left):
            return Reason.PUSHED, "1 rrf", "1 rrf", rank
        return Reason.CUT, f"cut-off {cutoff}", "1 rrf", rank
    assert doc_id not in fused
    # Lost in every input: told of the one in which it stood best when it was last seen.
    seen = [
        (lists[step].index(doc_id) + 1, branch, step)
        for branch, lists in enumerate(left)
        for step in range(len(lists) - 1)
        if doc_id in lists[step] and doc_id not in lists[step + 1]
    ]
    if not seen:
        return Reason.NEVER, "1 rrf", None, None
    rank, branch, step = min(seen)
    loser, place = inputs[branch][step + 1], f"1{'abc'[branch]}"
    label, after = f"{place}.{step + 2} {loser.name}", f"{place}.{step + 1} {inputs[branch][step].name}"
    if not isinstance(loser, Top):
        return Reason.DROPPED, label, after, rank
    return Reason.CUT, label, after, rank


def test_ranks_of_agrees_with_lists() -> None:
    rng = random.Random(7)
    lists = [rng.sample(DOCS, rng.randint(0, 12)) for _ in range(20)]
    ranking = Ranking.from_lists([[(doc, -float(n)) for n, doc in enumerate(some)] for some in lists], stage="test")
    rows = [rng.randrange(20) for _ in range(300)]
    docs = [rng.choice([*DOCS, "nowhere"]) for _ in rows]
    expected = [lists[row].index(doc) + 1 if doc in lists[row] else 0 for row, doc in zip(rows, docs, strict=True)]
    assert ranks_of(ranking, Followed(np.array(rows), docs)).tolist() == expected
    assert ranks_of(Ranking.empty(2), Followed(np.array([1]), ["d1"])).tolist() == [0]


def experiment() -> Experiment:
    return Experiment.from_dict(
        {
            "collection": "mini",
            "measures": ["R@10"],
            "define": {"bm25": {"bm25": {"k": 50}}},
            "pipelines": {"rm3": ["bm25", {"rm3": {"docs": 3}}, "bm25", {"top": 20}]},
            "output": "out",
        }
    )


def test_of_an_experiment_agrees_with_its_recall() -> None:
    session = Session(offline=True)
    diagnosis = diagnose_experiment(experiment(), "rm3", session=session, cutoff=10)
    per_query: dict[str, list[Fate]] = {}
    for one in diagnosis.fates:
        per_query.setdefault(one.query_id, []).append(one)
    shares = [sum(one.reason is None for one in fates) / len(fates) for fates in per_query.values()]
    measured = experiment().evaluate(session).outcomes["rm3"].evaluation.means["R@10"]
    assert sum(shares) / len(shares) == pytest.approx(measured)
    assert diagnosis.stages == ("1 bm25", "2 rm3", "3 bm25", "4 top", "cut-off 10")


def test_unknown_pipelines_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'rm3'"):
        diagnose_experiment(experiment(), "rm", session=Session(offline=True))
    with pytest.raises(UsageError, match="cutoff"):
        diagnose_experiment(experiment(), "rm3", session=Session(offline=True), cutoff=0)


def test_steps_and_stages_must_fit() -> None:
    run = apply(Pipeline([FIVE]), Run(queries=(Query("q", "text"),), session=Session()))
    odd = replace(run, steps=(*run.steps, Step("more", run.queries, run.ranking)))
    with pytest.raises(ValueError, match="zip"):
        diagnose(odd, Pipeline([FIVE]), collection({"q": {"d1": 1}}))


def test_a_hit_that_the_collection_takes_out_is_lost_to_it() -> None:
    pipeline = Pipeline([Listed({"d1": ["d1", "d2"]})])
    corpus = Corpus.of(CORPUS)
    queries, qrels = (Query("d1", "own text"),), {"d1": {"d1": 1, "d2": 1}}
    collection = Collection(id="own", queries=queries, qrels=qrels, open_corpus=lambda: corpus, drop_self_hits=True)
    run = apply(pipeline, Run(queries=queries))
    fates = {fate.doc_id: fate for fate in diagnose(run, pipeline, collection).fates}
    assert fates["d1"].reason is Reason.EXCLUDED
    assert fates["d2"].reason is None
    assert collection.evaluate(run, ["R@10"]).means == {"R@10": 0.5}
