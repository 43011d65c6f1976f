from dataclasses import replace

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Span
from rankloom.corpus import Corpus
from rankloom.errors import DataError, UsageError
from rankloom.rerank.source_weight import SourceFilter, SourceOf, SourceWeight
from rankloom.testing import StageConformance

CORPUS = Corpus.of(
    [Document(f"ad{n}", "Buy!", metadata={"source": "ads"}) for n in range(3)]
    + [Document(f"wiki{n}", "The sky.", metadata={"source": "wiki"}) for n in range(3)]
    + [Document("new", "Who knows?", metadata={"source": "blog"}), Document("stray", "No source.")]
)
SCORES = {
    "q1": {"ad0": 8.0, "wiki0": 6.0, "ad1": 5.0, "stray": 3.0, "wiki1": 2.0},
    "q2": {"ad0": 4.0, "ad2": 2.0},
    "q3": {"new": 9.0, "wiki2": 1.0},
    "q4": {},
}
WEIGHTS = {"ads": 0.25, "wiki": 0.75}


def run(**options):
    return Run.from_dict(SCORES, queries=dict.fromkeys(SCORES, "sky"), documents=CORPUS, **options)


def said(after, kind_or_detail):
    return [
        (note.query_id, note.amount)
        for note in after.ledger.notes
        if note.kind == kind_or_detail or note.detail.startswith(kind_or_detail)
    ]


def test_hits_of_poor_sources_go_and_the_rest_stays_as_it_was():
    after = SourceFilter(WEIGHTS).run(run())
    assert after.to_dict() == {
        "q1": {"wiki0": 6.0, "stray": 3.0, "wiki1": 2.0},
        "q2": {},
        "q3": {"new": 9.0, "wiki2": 1.0},
        "q4": {},
    }


def test_everything_left_out_is_noted():
    after = SourceFilter(WEIGHTS).run(run())
    assert said(after, "left out") == [("q1", 2), ("q2", 2)]
    assert "ads: 2" in next(note.detail for note in after.ledger.notes if note.detail.startswith("left out"))
    assert said(after, "no_hits") == [("q2", 1)]
    assert said(after, "kept, source without a weight") == [("q1", 1), ("q3", 1)]
    assert sum(amount for _, amount in said(after, "left out")) == len(run().ranking.codes) - len(after.ranking.codes)


def test_a_misspelt_key_is_seen():
    after = SourceFilter(WEIGHTS, source="sauce").run(run())
    assert after.to_dict() == run().to_dict()
    assert said(after, "kept, source without a weight, such as no source") == [("q1", 5), ("q2", 2), ("q3", 2)]


@pytest.mark.parametrize(("threshold", "hits"), [(0.0, 9), (0.25, 9), (0.26, 5), (0.75, 5), (0.76, 2), (1.0, 2)])
def test_a_weight_at_the_threshold_stays(threshold, hits):
    assert len(SourceFilter(WEIGHTS, threshold=threshold).run(run()).ranking.codes) == hits


def test_spans_and_depths_follow_their_hits():
    before = run()
    spans = tuple((Span(0, 1, place / 10, kept=True),) for place in range(len(before.ranking.codes)))
    marked = before.ranked(replace(before.ranking, spans=spans, scored=np.array([3, 1, 0, 0])))
    after = SourceFilter(WEIGHTS).run(marked).ranking
    assert after.scored.tolist() == [1, 0, 0, 0]
    assert [span[0].probability for span in after.spans] == [0.1, 0.3, 0.4, 0.7, 0.8]


def test_scores_are_multiplied_by_weights():
    after = SourceWeight(WEIGHTS, unknown=0.5).run(run()).to_dict()
    assert after["q1"] == {"wiki0": 4.5, "ad0": 2.0, "stray": 1.5, "wiki1": 1.5, "ad1": 1.25}
    assert list(after["q1"]) == ["wiki0", "ad0", "stray", "wiki1", "ad1"]  # ties go by id
    assert after["q3"] == {"new": 4.5, "wiki2": 0.75}
    assert SourceWeight({}).run(run()).to_dict() == run().to_dict()


def test_hits_below_the_depth_of_a_reranker_stay_below():
    before = run()
    shallow = before.ranked(replace(before.ranking, scored=np.array([2, 2, 2, 0])))
    after = SourceWeight(WEIGHTS).run(shallow)
    assert after["q1"].doc_ids == ["wiki0", "ad0", "ad1", "stray", "wiki1"]
    assert after["q1"].scores[:2] == [4.5, 2.0]
    assert said(after, "not_reranked") == [("q1", 3)]


@pytest.mark.parametrize("kind", [ScoreKind.LOGIT, ScoreKind.RANK])
def test_scores_without_a_zero_are_refused(kind):
    with pytest.raises(UsageError, match="can not be multiplied"):
        SourceWeight(WEIGHTS).run(run(kind=kind))


def test_negative_scores_are_refused():
    with pytest.raises(UsageError, match=r"got -0\.5"):
        SourceWeight(WEIGHTS).run(Run.from_dict({"q1": {"ad0": -0.5}}, documents=CORPUS))


def test_sources_from_a_function_have_a_name_in_the_fingerprint():
    by_id = SourceOf("first two letters", lambda document: {"ad": "ads"}.get(document.id[:2]))
    stage = SourceFilter(WEIGHTS, source=by_id)
    assert stage.run(run())["q1"].doc_ids == ["wiki0", "stray", "wiki1"]
    assert stage.fingerprint() != SourceFilter(WEIGHTS, source=SourceOf("other", by_id.function)).fingerprint()
    with pytest.raises(UsageError, match="give a function a name"):
        SourceFilter(WEIGHTS, source=lambda document: document.id)


def test_a_source_must_be_a_string():
    odd = Corpus.of([Document("d", "", metadata={"source": ["a", "b"]})])
    with pytest.raises(DataError, match="the source of d is not a string"):
        SourceFilter(WEIGHTS).run(Run.from_dict({"q": {"d": 1.0}}, documents=odd))


@pytest.mark.parametrize("stage", [SourceFilter, SourceWeight])
@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), "high"])
def test_weights_are_checked(stage, weight):
    with pytest.raises(UsageError, match="the weight of ads is out of range"):
        stage({"ads": weight})


def test_weights_can_not_be_changed_from_outside():
    given = dict(WEIGHTS)
    stage = SourceFilter(given)
    given["ads"] = 1.0
    assert stage.weights["ads"] == 0.25
    with pytest.raises(TypeError):
        stage.weights["ads"] = 1.0


class TestSourceFilterConformance(StageConformance):
    def make_stage(self):
        return SourceFilter(WEIGHTS)

    def make_run(self):
        return run()


class TestSourceWeightConformance(StageConformance):
    def make_stage(self):
        return SourceWeight(WEIGHTS)

    def make_run(self):
        return run()
