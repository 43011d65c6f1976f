"""The cascade over passages, on rerankers that are simple enough to compute by hand, and on real ones."""

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Session
from rankloom.budget import Budget
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus, MemoryDocuments
from rankloom.errors import CompositionError, ConfigError, StageError, UsageError
from rankloom.ledger import Note
from rankloom.rerank import BiEncoder, Cascade, CrossEncoder, Pointwise, StoredVectors
from rankloom.rerank.llm import Pairwise, Setwise
from rankloom.rerank.pointwise import Scored
from rankloom.testing import StageConformance
from tests.rerank.folders import SESSION
from tests.rerank.llm.models import Grader
from tests.tiny_models import tiny_cross_encoder, tiny_encoder


class Words(Pointwise):
    """Scores a text by how often it has words of the query; `rate` for each."""

    name = "words"
    kind = ScoreKind.LOGIT
    asked: list[tuple[str, str]] = []  # noqa: RUF012  # every pair that was computed, by whatever instance

    def __init__(self, rate=1.0, *, sees=100, depth=2):
        self.rate, self.sees, self.depth = rate, sees, depth

    def identity(self, session=None):  # noqa: ARG002
        return "words"

    def score(self, pairs, session):  # noqa: ARG002
        self.asked.extend((pair.query, pair.document.text) for pair in pairs)
        read = [pair.document.contents.split()[: self.sees] for pair in pairs]
        scores = [
            self.rate * sum(map(words.count, pair.query.split())) for pair, words in zip(pairs, read, strict=True)
        ]
        cut = [len(pair.document.contents.split()) - len(words) for pair, words in zip(pairs, read, strict=True)]
        return Scored(np.array(scores, np.float32), np.array(cut), len(pairs), sum(map(len, read)))


class Cheap(Words):
    name = "cheap"
    asked: list[tuple[str, str]] = []  # noqa: RUF012  # likewise

    def __init__(self, rate=-1.0, *, sees=100, depth=2):
        super().__init__(rate, sees=sees, depth=depth)


TEXTS = {
    "a": "sky x x sky sky x x x x sky",  # cores of 3: sky x x | sky sky x | x x x | sky
    "b": "x x x x x x sky sky sky",
    "c": "sky",
    "d": "",
    "e": "sea x sea x x x sea sea sea sea",
}
QUERIES = {"q1": "sky", "q2": "sea", "q3": " "}
RANKS = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}


def first(session=SESSION, texts=TEXTS):
    documents = MemoryDocuments([Document(doc_id, text) for doc_id, text in texts.items()])
    return Run.from_dict(dict.fromkeys(QUERIES, RANKS), queries=QUERIES, documents=documents, session=session)


@pytest.fixture(autouse=True)
def _fresh():
    Words.asked, Cheap.asked = [], []


def pieces(text, core=3, overlap=1):
    words = text.split()
    return [
        " ".join(words[max(0, start - overlap) : start + core + overlap]) for start in range(0, len(words), core)
    ] or [text]


def kept(query, windows, count=2):
    """What the cheap reranker, which likes windows with few of the words, leaves."""
    counts = [window.split().count(query) for window in windows]
    return [windows[place] for place in sorted(sorted(range(len(windows)), key=lambda one: (counts[one], one))[:count])]


def by_hand(query, text, *, keep, aggregate):
    """The score of a document, one step after the other."""
    scores = [2.0 * window.split().count(query) for window in kept(query, pieces(text), keep)]
    best = sorted(scores, reverse=True)
    if isinstance(aggregate, str):
        return {"max": best[0], "first": scores[0], "mean": sum(scores) / len(scores)}[aggregate]
    return sum(weight * score for weight, score in zip(aggregate, best, strict=False))


@pytest.mark.parametrize("keep", [1, 2, 3, None])
@pytest.mark.parametrize("aggregate", ["max", "first", "mean", [1.0, 0.5, 0.25]])
def test_scores_are_those_of_each_step_by_hand(keep, aggregate):
    stage = Cascade(Words(2.0), Cheap(), window=3, overlap=1, keep=keep, aggregate=aggregate)
    found = stage.run(first()).to_dict()
    for query_id in ("q1", "q2"):
        for doc_id, score in found[query_id].items():
            expected = by_hand(QUERIES[query_id], TEXTS[doc_id], keep=keep, aggregate=aggregate)
            assert score == pytest.approx(expected), (query_id, doc_id)


def test_the_expensive_reranker_reads_only_what_is_kept():
    Cascade(Words(2.0), Cheap(), window=3, overlap=1, keep=2).run(first())
    asked = {(query, one) for query in ("sky", "sea") for text in TEXTS.values() for one in kept(query, pieces(text))}
    assert set(Words.asked) == asked
    longer = {(query, one) for query in ("sky", "sea") for text in TEXTS.values() for one in pieces(text)
              if len(pieces(text)) > 2}  # fmt: skip
    assert set(Cheap.asked) == longer


def test_without_a_cheap_reranker_the_first_windows_are_read():
    run = Cascade(Words(2.0), window=3, overlap=1, keep=1).run(first())
    expected = {doc_id: 2.0 * pieces(text)[0].split().count("sky") for doc_id, text in TEXTS.items()}
    assert run.to_dict()["q1"] == expected
    assert {text for _, text in Words.asked} == {pieces(text)[0] for text in TEXTS.values()}


def test_hits_below_the_depth_and_queries_without_text_keep_their_place():
    run = Cascade(Words(2.0), Words(), window=3, overlap=1, depth=3).run(first())
    assert run["q1"].doc_ids == ["b", "a", "c", "d", "e"]
    assert run["q3"].doc_ids == list(TEXTS)
    notes = [(note.stage, note.kind, note.query_id, note.amount) for note in run.ledger.notes]
    assert notes == [
        ("cascade", "not_reranked", "q1", 2),
        ("cascade", "not_reranked", "q2", 2),
        ("cascade", "empty_query", "q3", 1),
        ("cascade", "not_reranked", "q3", 5),
    ]


def test_what_a_reranker_says_of_windows_is_said_of_documents():
    run = Cascade(Words(2.0, sees=2), window=3, overlap=1, keep=None).run(first())
    cut = {doc_id: sum(max(0, len(one.split()) - 2) for one in pieces(text)) for doc_id, text in TEXTS.items()}
    noted = {(note.query_id, note.doc_id): note.amount for note in run.ledger.of("truncated")}
    assert noted == {(query, doc_id): amount for query in ("q1", "q2") for doc_id, amount in cut.items() if amount}
    cost = run.ledger.by_stage()
    assert cost["words"].inputs == 2 * sum(len(pieces(text)) for text in TEXTS.values())


def test_windows_are_remembered_in_the_cache(tmp_path):
    session = Session(cache=tmp_path, offline=True)
    stage = Cascade(Words(2.0), Cheap(), window=3, overlap=1, keep=2)
    once = stage.run(first(session))
    Words.asked, Cheap.asked = [], []
    again = Cascade(Words(2.0), Cheap(), window=3, overlap=1, keep=2, aggregate="mean")
    again.run(first(Session(cache=tmp_path, offline=True)))
    assert Words.asked == Cheap.asked == []
    assert once.ledger.by_stage()["words"].calls > 0


class Ranks(Words):
    name = "ranks"
    kind = ScoreKind.RANK


class Half(Words):
    name = "half"

    def __call__(self, run):
        return super().__call__(run).top(1)


def test_what_can_not_be_used_is_refused():
    with pytest.raises(CompositionError, match="nothing scores"):
        Cascade(cheap=Words())
    with pytest.raises(CompositionError, match="in no index"):
        Cascade(StoredVectors())
    with pytest.raises(UsageError, match="keep"):
        Cascade(Words(), keep=0)
    with pytest.raises(UsageError, match="aggregate"):
        Cascade(Words(), aggregate="top3")
    with pytest.raises(UsageError, match="no weights"):
        Cascade(Words(), aggregate=[])
    with pytest.raises(StageError, match="can not be added up"):
        Cascade(Ranks(), aggregate="mean").run(first())
    assert Cascade(Ranks()).run(first()).ranking.kind == ScoreKind.RANK
    with pytest.raises(StageError, match="half scores 1 of"):
        Cascade(Half(), window=3).run(first())


class Stopped(Words):
    """A reranker whose budget suffices for so many windows."""

    name = "stopped"

    def __init__(self, rate=2.0, *, sees=100, depth=2, affords=3):
        super().__init__(rate, sees=sees, depth=depth)
        self.affords = affords

    def score(self, pairs, session):
        done = super().score(pairs[: self.affords], session)
        return done._replace(stopped="calls" if len(pairs) > self.affords else "")


@pytest.mark.parametrize("affords", [0, 1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("stops", ["cheap", "expensive"])
def test_a_budget_leaves_the_first_documents_scored(affords, stops):
    both = {"cheap": Cheap(), "expensive": Words(2.0)}
    both[stops] = Stopped(-1.0 if stops == "cheap" else 2.0, affords=affords)
    run = Cascade(**both, window=3, overlap=1, keep=2, aggregate="mean").run(first().select([0]))
    asked = [pieces(text) if stops == "cheap" else kept("sky", pieces(text)) for text in TEXTS.values()]
    if stops == "cheap":
        asked = [windows if len(windows) > 2 else [] for windows in asked]
    spent, scored = set(), 0
    for windows in asked:  # equal windows are paid for once
        spent |= set(windows)
        if len(spent) > affords:
            break
        scored += 1
    assert run["q1"].scored == (None if scored == len(TEXTS) else scored)
    expected = {doc_id: by_hand("sky", text, keep=2, aggregate="mean") for doc_id, text in list(TEXTS.items())[:scored]}
    assert dict(list(run.to_dict()["q1"].items())[:scored]) == expected
    notes = [(note.stage, note.kind, note.amount) for note in run.ledger.notes]
    left = [("cascade", "unfinished", 1), ("cascade", "not_reranked", len(TEXTS) - scored)]
    assert sorted(notes) == (sorted(left) if scored < len(TEXTS) else [])
    told = [note.detail for note in run.ledger.of("unfinished")]  # of documents, not windows
    assert told == ([f"calls; its first {scored} hits are done"] if scored < len(TEXTS) else [])


class Losing(Words):
    """A reranker that says that it has not looked at windows, though no budget stopped it."""

    name = "losing"

    def __call__(self, run):
        return super().__call__(run).noted(Note("losing", "not_reranked", "q1", amount=3))


def test_only_a_budget_explains_windows_that_were_not_looked_at():
    run = Cascade(Losing(2.0), window=3, overlap=1).run(first())
    noted = [(note.stage, note.query_id, note.amount) for note in run.ledger.of("not_reranked")]
    assert ("losing", "q1", 3) in noted


LONG = {"a": (3, 5), "b": (1, 9), "c": (4, 2), "d": (8,), "e": (0, 7)}  # grades, one for each window


def graded(session=SESSION):
    """A query with documents whose windows of five words have grades."""
    documents = [Document(one, " ".join(f"a passage of grade {n}" for n in own)) for one, own in LONG.items()]
    ranks = {"q1": {one: -float(place) for place, one in enumerate(LONG)}}
    return Run.from_dict(ranks, queries={"q1": "sky"}, documents=MemoryDocuments(documents), session=session)


@pytest.mark.parametrize("sorter", [Setwise, Pairwise])
@pytest.mark.parametrize("method", ["heapsort", "tournament"])
def test_a_reranker_that_sorts_settles_all_windows(sorter, method):
    run = Cascade(sorter(Grader(), method=method, k=1), window=5, overlap=0, keep=None).run(graded())
    assert run["q1"].scored is None
    assert run["q1"].doc_ids == sorted(LONG, key=lambda one: -max(LONG[one]))
    assert run.ledger.notes == ()


@pytest.mark.parametrize("calls", [1, 20])
def test_a_sorting_that_a_budget_stops_is_noted_of_documents(calls):
    session = Session(offline=True, budget=Budget(calls=calls))
    run = Cascade(Pairwise(Grader(), method="heapsort"), window=5, overlap=0, keep=None).run(graded(session))
    (note,) = run.ledger.of("unfinished")
    done = len(LONG) if run["q1"].scored is None else run["q1"].scored
    detail = "the best so far" if done == len(LONG) else f"its first {done} hits are done"
    assert (note.stage, note.query_id, note.detail) == (
        "cascade",
        "q1",
        f"the budget of {calls} calls is spent; {detail}",
    )


# --- real rerankers -------------------------------------------------------------------------------------------


def test_real_rerankers_from_yaml(tmp_path):
    bi, cross = tiny_encoder(tmp_path / "bi"), tiny_cross_encoder(tmp_path / "cross")
    told = {
        "cascade": {
            "cheap": {"bi_encoder": {"model": str(bi)}},
            "expensive": {"cross_encoder": {"model": str(cross)}},
            "window": 3,
            "overlap": 1,
            "keep": 2,
            "aggregate": [1.0, 0.5],
        }
    }
    corpus = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items() if text])
    builder = PipelineBuilder({})
    builder.check(["bm25", told], at=())
    found = builder.build(["bm25", told], corpus=corpus, session=SESSION).run({"q1": "sky"}, session=SESSION)
    cheap, expensive = BiEncoder(str(bi)), CrossEncoder(str(cross))
    for doc_id, score in found.to_dict()["q1"].items():
        windows = [Document(str(number), one) for number, one in enumerate(pieces(TEXTS[doc_id]))]
        order = cheap.run(Run.from_documents("sky", windows, session=SESSION))["q1"].doc_ids[:2]
        kept = [windows[int(number)] for number in sorted(order)]
        best = expensive.run(Run.from_documents("sky", kept, session=SESSION))["q1"].scores
        expected = sum(weight * one for weight, one in zip([1.0, 0.5], best, strict=False))
        assert score == pytest.approx(expected, abs=1e-4), doc_id
    with pytest.raises(ConfigError, match="nothing scores"):
        builder.check(["bm25", {"cascade": {"keep": 3}}], at=())


class TestConformance(StageConformance):
    def make_stage(self):
        return Cascade(Words(2.0), Cheap(), window=3, overlap=1, keep=2, depth=4)

    def make_run(self):
        return first()
