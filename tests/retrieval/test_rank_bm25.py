"""rank-bm25 as a stage: the library's own scores, our order."""

import numpy as np
import pytest
import rank_bm25

from rankloom import Document, Query, Run, Session
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import ConfigError, MissingExtraError, UsageError
from rankloom.eval import load_collection
from rankloom.retrieval import BM25, EnglishAnalyzer, RankBM25
from rankloom.retrieval import rank_bm25 as module
from rankloom.testing import StageConformance

CLASSES = {"okapi": rank_bm25.BM25Okapi, "plus": rank_bm25.BM25Plus, "l": rank_bm25.BM25L}


@pytest.fixture(scope="module")
def mini():
    return load_collection("mini")


@pytest.mark.parametrize("variant", CLASSES)
def test_scores_are_the_library_s(mini, variant):
    analyzer, documents = EnglishAnalyzer(), list(mini.corpus)
    terms = [analyzer(document.contents) for document in documents]
    library = CLASSES[variant](terms, k1=1.2, b=0.6)
    run = RankBM25(mini.corpus, variant=variant, k1=1.2, b=0.6).run(mini.queries)
    for query, hits in zip(mini.queries, run.values(), strict=True):
        wanted = analyzer(query.text)
        scores = library.get_scores(wanted).astype(np.float32).tolist()
        expected = [
            (document.id, score)
            for document, score, held in zip(documents, scores, terms, strict=True)
            if set(wanted) & set(held)
        ]
        expected.sort(key=lambda hit: (-hit[1], hit[0]))
        assert [(hit.doc_id, hit.score) for hit in hits] == expected


def test_it_agrees_with_our_bm25_on_what_is_good(mini):
    run, ours = RankBM25(mini.corpus, k1=0.9, b=0.4).run(mini.queries), BM25.of(mini.corpus).run(mini.queries)
    figures = [mini.evaluate(one, ["nDCG@10"]).means["nDCG@10"] for one in (run, ours)]
    assert figures[0] == pytest.approx(figures[1], abs=0.05)


def test_ties_and_the_cut():
    held = Corpus.of([*(Document(doc_id, "same words") for doc_id in ("d10", "d9", "d1")), Document("e", "others")])
    assert list(RankBM25(held, variant="plus", k=2).run(["same"])["q1"].doc_ids) == ["d1", "d10"]


def test_the_analyzer_is_named_in_yaml(mini):
    stage = PipelineBuilder({}).build(
        [{"rank_bm25": {"analyzer": "whitespace"}}], corpus=mini.corpus, session=Session()
    )
    assert "WhitespaceAnalyzer" in repr(stage)
    with pytest.raises(ConfigError, match="german"):
        PipelineBuilder({}).build([{"rank_bm25": {"analyzer": "germann"}}], corpus=mini.corpus, session=Session())


def test_another_version_of_the_library_is_another_fingerprint(mini, monkeypatch):
    before = RankBM25(mini.corpus).fingerprint()
    monkeypatch.setattr(module, "version", lambda _: "99.0")
    assert RankBM25(mini.corpus).fingerprint() != before


def test_queries_without_hits_are_noted(mini):
    run = RankBM25(mini.corpus).run([Query("q1", "the of"), Query("q2", "zzzz"), Query("q3", "")])
    assert [len(hits) for hits in run.values()] == [0, 0, 0]
    assert [note.kind for note in run.ledger.notes] == ["empty_query", "no_hits", "empty_query"]


def test_a_corpus_without_terms():
    assert len(RankBM25(Corpus.of([Document("d1", "...")])).run(["sky"])["q1"]) == 0


def test_feedback_by_terms_is_refused_when_composed():
    with pytest.raises(ConfigError, match="rank_bm25"):
        PipelineBuilder({}).check(["rank_bm25", "rm3", "rank_bm25"], at=())


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k1": -1.0}, {"b": 1.5}, {"variant": "okapl"}])
def test_parameters_are_checked(mini, wrong):
    with pytest.raises(UsageError, match="rank_bm25"):
        RankBM25(mini.corpus, **wrong)


def test_a_missing_library_names_the_extra(mini, monkeypatch):
    def missing(name, *, extra, stage):
        return require(f"no_such_{name}", extra=extra, stage=stage)

    require = module.require
    monkeypatch.setattr(module, "require", missing)
    with pytest.raises(MissingExtraError, match=r"rankloom\[reference\]"):
        RankBM25(mini.corpus).run(["sky"])


class TestRankBM25(StageConformance):
    def make_stage(self):
        texts = ["The sky is blue.", "Red sunsets at dusk.", "Tides follow the moon.", "Bread needs yeast.", "..."]
        return RankBM25(Corpus.of([Document(f"d{number}", text) for number, text in enumerate(texts)]), k=100)

    def make_run(self):
        return Run.start({"q1": "why is the sky blue", "q2": "the moon's tides", "q3": "red bread"})
