"""A first stage whose hits are the judged documents."""

import pytest

from rankloom import Corpus, Document, Query, Run, Session
from rankloom.errors import ConfigError, UsageError
from rankloom.eval import JudgedDocuments, load_collection
from rankloom.eval.experiment import Experiment
from rankloom.testing import StageConformance

QRELS = {"q1": {"d2": 1, "d1": 0, "d9": 2}, "q2": {"d1": 3}, "q3": {"d9": 1}}
CORPUS = Corpus.of([Document("d1", "The sea."), Document("d2", "The sky."), Document("d3", "Bread.")])
QUERIES = [Query("q1", "colour"), Query("q2", "wet"), Query("q3", "lost"), Query("q4", "new")]


def found(**parameters):
    run = JudgedDocuments(CORPUS, QRELS, **parameters).run(QUERIES)
    return run, {query_id: hits.doc_ids for query_id, hits in run.items()}


def test_each_query_gets_its_judged_documents():
    run, hits = found()
    assert hits == {"q1": ["d1", "d2"], "q2": ["d1"], "q3": [], "q4": []}
    assert {hit.score for hits in run.values() for hit in hits} == {0.0}
    assert [hit.text for hit in run["q1"]] == ["The sea.", "The sky."]
    assert [(note.kind, note.query_id, note.amount) for note in run.ledger.notes] == [
        ("skipped_record", "q1", 1),
        ("skipped_record", "q3", 1),
        ("no_hits", "q3", 1),
        ("no_hits", "q4", 1),
    ]
    assert found(least=1)[1]["q1"] == ["d2"]
    assert found(k=1)[1]["q1"] == ["d1"]
    for wrong in ({"least": -1}, {"k": 0}):
        with pytest.raises(UsageError, match="judged"):
            found(**wrong)


def test_other_judgements_make_another_stage():
    stages = [JudgedDocuments(CORPUS, QRELS), JudgedDocuments(CORPUS, {}), JudgedDocuments(CORPUS, QRELS, least=1)]
    assert len({stage.fingerprint() for stage in stages}) == 3


def test_in_an_experiment_it_knows_the_collections_judgements_alone_and_among_others():
    among = {"rrf": {"inputs": ["judged", {"bm25": {"k": 3}}]}}
    pipelines = {"own": [{"judged": {"least": 1}}], "among": [among], "pruned": ["judged", {"lead_pruner": 2}]}
    experiment = Experiment.from_dict(
        {"collection": "mini", "pipelines": pipelines, "measures": ["R@100", "P@1", "retention"], "output": "runs/x"}
    )
    result = experiment.evaluate(Session(offline=True))
    assert not result.failures
    qrels = load_collection("mini").qrels
    own, among = (result.outcomes[name].run for name in ("own", "among"))
    for query_id, grades in qrels.items():
        assert set(own[query_id].doc_ids) == {doc_id for doc_id, grade in grades.items() if grade > 0}
        assert set(grades) <= set(among[query_id].doc_ids)
        assert len(among[query_id]) <= len(grades) + 3
    assert result.outcomes["own"].evaluation.means["R@100"] == result.outcomes["own"].evaluation.means["P@1"] == 1
    assert 0 < result.outcomes["pruned"].evaluation.means["retention"] < 1


def test_yaml_can_not_tell_it_judgements():
    with pytest.raises(ConfigError, match="judged has no parameter 'qrels'"):
        Experiment.from_dict(
            {"collection": "mini", "pipelines": {"a": [{"judged": {"qrels": {}}}]}, "measures": ["AP"], "output": "x"}
        )


class TestConformance(StageConformance):
    def make_stage(self):
        return JudgedDocuments(CORPUS, QRELS)

    def make_run(self):
        return Run(queries=tuple(QUERIES[:2]))
