"""Two-phase search against both phases done by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Query, Run
from rankloom.config import PipelineBuilder
from rankloom.errors import UsageError
from rankloom.retrieval import ImpactIndex, ImpactIndexWriter
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from rankloom.retrieval.learned_sparse import LearnedSparse
from rankloom.retrieval.two_phase import TwoPhases, heavy_terms, search_in_two_phases
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_tokenizer

DOCUMENTS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 300), max_size=6), max_size=40)
QUERY = st.dictionaries(st.sampled_from("abcdefz"), st.integers(-64, 256).map(lambda n: n / 64), max_size=7)


def best(documents, query, k):
    """The best k documents that hold a term of the query, with their scores; ties by number."""
    asked = {term: weight for term, weight in query.items() if weight}
    scores = {
        number: np.float32(
            math.fsum(np.float32(asked[term]) * np.float32(terms[term]) for term in asked.keys() & terms.keys())
        )
        for number, terms in enumerate(documents)
        if asked.keys() & terms.keys()
    }
    return sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:k]


def by_hand(documents, query, k, ratio, candidates):
    """Both phases: (document, score) of the best k, and whether the heavy terms have chosen."""
    asked = {term: weight for term, weight in query.items() if weight}
    heaviest = max(map(abs, asked.values()), default=0)
    heavy = {term: weight for term, weight in asked.items() if abs(weight) >= ratio * heaviest}
    chosen = [number for number, _ in best(documents, heavy, candidates)]
    if len(heavy) == len(asked) or len(chosen) < candidates:
        return best(documents, asked, k), False
    return best([terms if n in chosen else {} for n, terms in enumerate(documents)], asked, k), True


@given(DOCUMENTS, st.lists(QUERY, max_size=4), st.integers(1, 5), st.floats(0, 1), st.integers(0, 4))
@settings(deadline=None, max_examples=200)
def test_hits_are_those_of_both_phases_by_hand(documents, queries, k, ratio, more):
    index = ImpactIndex.of([f"d{number:02}" for number in range(len(documents))], documents, linear=True)
    hits, lossy = search_in_two_phases(index, queries, k, TwoPhases(ratio, k + more))
    assert len(hits.offsets) == len(queries) + 1
    for place, query in enumerate(queries):
        here = slice(*hits.offsets[place : place + 2].tolist())
        expected, chosen = by_hand(documents, query, k, ratio, k + more)
        assert lossy[place] == chosen
        assert list(zip(hits.codes[here].tolist(), hits.scores[here].tolist(), strict=True)) == expected


@given(DOCUMENTS, QUERY)
@settings(deadline=None, max_examples=100)
def test_scores_of_known_documents_are_those_of_a_search(documents, query):
    index = ImpactIndex.of([f"d{number:02}" for number in range(len(documents))], documents, linear=True)
    hits = index.search_impacts([query], max(1, len(documents)))
    assert index.impact_scores(query, hits.codes[::-1].copy()).tolist() == hits.scores[::-1].tolist()


def test_scores_of_known_documents_in_many_blocks_and_segments(tmp_path):
    documents = [{"a": 1 + number % 7, f"t{number % 50}": 255 + number} for number in range(3000)]
    with ImpactIndexWriter(tmp_path / "index", linear=True) as writer:
        for number, terms in enumerate(documents):
            writer.add(f"d{number:04}", terms)
            if number % 700 == 699:
                writer.commit()
        writer.delete([f"d{number:04}" for number in range(0, 3000, 3)])
        writer.commit()
    index = ImpactIndex.open(tmp_path / "index")
    query = {"a": 0.5, "t7": 2.0, "t49": 1.5, "nowhere": 1.0}
    hits = index.search_impacts([query], 5000)
    assert len(hits.codes) == 2000
    assert index.impact_scores(query, hits.codes).tolist() == hits.scores.tolist()
    without = index.impact_scores({"t7": 2.0}, hits.codes)
    assert 0 < (without > 0).sum() < 100
    with pytest.raises(UsageError, match="frequencies, not impacts"):
        ImpactIndex.of(["d"], [{"a": 1}]).impact_scores({"a": 1.0}, hits.codes[:1])


def test_heavy_terms():
    assert heavy_terms({"a": 2.0, "b": 0.8, "c": 0.79, "d": -1.0}, 0.4) == {"a": 2.0, "b": 0.8, "d": -1.0}
    assert heavy_terms({"a": 2.0, "b": 0.1}, 0.0) == {"a": 2.0, "b": 0.1}
    assert heavy_terms({}, 0.4) == {}


HELD = {f"d{number:02}": {"sky": 1.0 + number / 64, "the": 2.0} for number in range(20)} | {"lost": {"the": 9.0}}
ASKED = {"sky": 2.0, "the": 0.7}


def test_what_may_be_lost_is_noted():
    run = Run.start([Query("q1", "", terms=ASKED), Query("q2", "", terms={"sky": 1.0})])
    exact = LearnedSparse.of_terms(HELD, k=5).run(run)
    stage = LearnedSparse.of_terms(HELD, k=5, two_phase=0.4, candidates=5)
    found = stage.run(run)
    assert exact["q1"].doc_ids == ["lost", "d19", "d18", "d17", "d16"]
    assert found["q1"].doc_ids == ["d19", "d18", "d17", "d16", "d15"]
    assert found["q1"].scores == [*exact["q1"].scores[1:], pytest.approx(exact["q1"].scores[4] - 2 / 64)]
    assert [(note.kind, note.query_id) for note in found.ledger.notes] == [("approximate", "q1")]
    assert found["q2"].doc_ids == exact["q2"].doc_ids
    every = LearnedSparse.of_terms(HELD, k=5, two_phase=0.4).run(run)  # fewer documents than candidates: all are scored
    assert every.to_dict() == exact.to_dict()
    assert not every.ledger.notes


def test_parameters_out_of_range():
    for wrong, message in (
        ({"two_phase": 1.5}, "two_phase is out of range"),
        ({"two_phase": 0.4, "candidates": 4}, "at least k, 5"),
        ({"candidates": 10}, "no effect without two_phase"),
    ):
        with pytest.raises(UsageError, match=message):
            LearnedSparse.of_terms(HELD, k=5, **wrong)


def test_yaml_knows_the_words():
    spec = [{"learned_sparse": {"model": "x", "two_phase": 0.4, "candidates": 2000}}]
    PipelineBuilder({}).check(spec, at=())


class TestTwoPhases(StageConformance):
    own_process = False

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory):
        self.folder = tmp_path_factory.mktemp("free")
        tiny_tokenizer(self.folder, max_length=8)
        (self.folder / "idf.json").write_text(json.dumps(ASKED))

    def make_stage(self):
        queries = InferenceFreeEncoder(self.folder)
        return LearnedSparse.of_terms(HELD, queries=queries, k=5, two_phase=0.4, candidates=6)

    def make_run(self):
        return Run.start({"q1": "the sky", "q2": "sky"})
