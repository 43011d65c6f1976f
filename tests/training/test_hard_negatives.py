"""Mining: ranks, filters, what is drawn at random, and that all of it is counted."""

import pytest

from rankloom import Corpus, Document, Query, Session
from rankloom.errors import DataError
from rankloom.rerank import BiEncoder
from rankloom.retrieval import BM25
from rankloom.run import Run
from rankloom.stage import Reranker
from rankloom.training.contrastive_config import Negatives
from rankloom.training.hard_negatives import mine
from rankloom.training.pairs import SourceTexts, same_text
from rankloom.training.recipe_config import TrainingSource

SESSION = Session(offline=True)
QUERY = Query("q", "tides")


class Given(Reranker):
    """Scores that a test gives."""

    name = "given_scores"

    def __init__(self, scores):
        self.scores = scores

    def __call__(self, run):
        lists = {key: {doc_id: self.scores[doc_id] for doc_id in run[key].doc_ids} for key in run}
        given = Run.from_dict(lists, queries=run.queries, documents=run.documents, session=run.session)
        return run.ranked(given.ranking)


def source(grades, documents=None):
    # the fewer words beside "tides", the better the rank: d0, d1, ...
    documents = documents or [Document(f"d{n}", "tides" + " other" * n + f" word{n}") for n in range(10)]
    told = TrainingSource(name="own", licence="CC0", collection="own/train")
    return SourceTexts(told, Corpus.of(documents), (QUERY,), (), {"q": grades}, ())


def mined(texts, how, judge=None, seed=1):
    candidates = BM25.for_corpus(texts.corpus, SESSION)
    return mine(texts, texts.queries, how, candidates=candidates, judge=judge, session=SESSION, seed=seed)


def negatives(**more):
    return Negatives.model_validate({"pipeline": ["bm25"], "count": 10, **more})


def test_negatives_come_from_the_ranks_and_are_not_judged_relevant():
    examples, counts = mined(source({"d0": 1, "d3": 2, "d5": 0}), negatives(ranks=[2, 7], count=5, positives=9))
    assert [one.positive for one in examples] == ["d3", "d0"]  # the best grade first
    assert all(set(one.negatives) == {"d1", "d2", "d4", "d5", "d6"} for one in examples)
    assert counts == {
        "candidates": 6, "judged relevant": 1, "copies of a relevant document": 0, "examples": 2,
        "too near to the relevant document": 0, "drawn at random instead": 0, "relevant documents missing": 0,
    } | {key: 0 for key in counts if not counts[key]}  # fmt: skip


def test_the_judge_s_scores_stand_by_the_documents():
    given = {f"d{n}": 10.0 - n for n in range(10)}
    (one,), counts = mined(source({"d0": 1}), negatives(ranks=[1, 4], count=5), judge=Given(given))
    assert counts["drawn at random instead"] == 2
    assert one.scores == (given["d0"], *(max(given[doc_id], given["d3"]) for doc_id in one.negatives))


def test_without_a_judge_there_are_no_scores():
    (one,), _ = mined(source({"d0": 1}), negatives(count=5))
    assert one.scores == ()


def test_they_are_drawn_at_random_by_the_seed():
    texts = source({"d0": 1})
    drawn = {mined(texts, negatives(count=2), seed=seed)[0][0].negatives for seed in range(12)}
    assert len(drawn) > 4
    assert mined(texts, negatives(count=2), seed=3) == mined(texts, negatives(count=2), seed=3)


def test_copies_of_a_relevant_document_are_no_negatives():
    documents = [
        Document("d0", "the tides, all of them"),
        Document("d1", "The  tides, ALL of them"),
        *(Document(f"e{n}", f"tides and {n} more words") for n in range(3)),
    ]
    (example,), counts = mined(source({"d0": 1}, documents), negatives(count=3))
    assert set(example.negatives) == {"e0", "e1", "e2"}
    assert counts["copies of a relevant document"] == 1
    with pytest.raises(DataError, match="too few documents"):
        mined(source({"d0": 1}, documents), negatives(count=4))


@pytest.mark.parametrize(
    ("positive", "how", "kept"),
    [
        (10.0, {"share": 0.95}, {"d1", "d2", "d5"}),  # 9.5 stays, 9.6 does not
        (10.0, {"share": 1.0, "margin": 2.0}, {"d2", "d5"}),
        (-10.0, {"share": 0.95}, {"d5", "d6"}),  # at most -10.5
    ],
)
def test_what_the_judge_finds_nearly_as_good_is_no_negative(positive, how, kept):
    scores = {f"d{n}": 99.0 for n in range(10)}
    near = {"d1": 9.5, "d2": 8.0, "d3": 9.6, "d4": 10.0} if positive > 0 else {"d6": -10.5, "d7": -10.4}
    judge = Given({**scores, "d0": positive, **near})
    texts = source({"d0": 1, "d5": 0})  # d5 was judged irrelevant: the judge is not asked
    (example,), counts = mined(texts, negatives(count=len(kept), **how), judge)
    assert set(example.negatives) == kept
    assert counts["too near to the relevant document"] == 9 - len(kept)


def test_a_judge_may_retrieve_and_what_it_does_not_find_is_its_worst():
    texts = source({"d4": 1})
    (example,), counts = mined(texts, negatives(count=3), BM25.for_corpus(texts.corpus, SESSION, k=8))
    assert set(example.negatives) < {f"d{n}" for n in range(5, 10)}  # d0 .. d3 score higher than d4
    assert counts["too near to the relevant document"] >= 4


@pytest.mark.parametrize("seed", range(10))
def test_what_was_left_out_does_not_come_back_at_random(seed):
    documents = [*(Document(f"d{n}", f"tides {n}") for n in range(6)), *(Document(f"e{n}", "bread") for n in range(4))]
    judge = Given({f"d{n}": 10.0 for n in range(6)})  # all are as good as the relevant one
    (example,), counts = mined(source({"d0": 1}, documents), negatives(ranks=[2, 6], count=4), judge, seed=seed)
    assert set(example.negatives) == {"e0", "e1", "e2", "e3"}
    assert counts["drawn at random instead"] == 4


@pytest.mark.parametrize("seed", range(10))
def test_random_documents_are_found_among_many_copies(seed):
    copies = [Document(f"c{n}", "all of the TIDES") for n in range(60)]
    documents = [Document("d0", "all of the tides"), *copies, *(Document(f"e{n}", f"bread {n}") for n in range(3))]
    (example,), _ = mined(source({"d0": 1}, documents), negatives(ranks=[1, 2], count=3), seed=seed)
    assert set(example.negatives) == {"e0", "e1", "e2"}
    with pytest.raises(DataError, match=r"too few documents.*3 of 4.*lower negatives.count"):
        mined(source({"d0": 1}, documents), negatives(ranks=[1, 2], count=4), seed=seed)


def test_a_judge_that_scores_fewer_is_an_error():
    with pytest.raises(DataError, match="the judge scores 3 of 10 documents"):
        mined(source({"d0": 1}), negatives(), BiEncoder(depth=3))


def test_what_is_missing_is_drawn_from_the_corpus():
    documents = [Document("d0", "tides"), *(Document(f"e{n}", f"bread {n}") for n in range(40))]
    (example,), counts = mined(source({"d0": 1, "gone": 1}, documents), negatives(count=4))
    assert len(set(example.negatives)) == 4
    assert "d0" not in example.negatives
    assert counts["drawn at random instead"] == 4
    assert counts["relevant documents missing"] == 1
    assert same_text(" A\n b ") == "a b"
