"""The oracle: what is marked is kept, wherever the splitter cuts; in YAML an experiment tells it the labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import ConfigError, DataError, UsageError
from rankloom.eval import Experiment
from rankloom.eval.pruning import retention
from rankloom.rerank import LeadPruner, OraclePruner
from rankloom.rerank.pruning.sentences import split_sentences
from rankloom.rerank.pruning.splitting import Splitter
from rankloom.testing import StageConformance

TEXTS = {"d1": "Bread needs yeast. Air scatters blue light. Red?", "d2": "The sea. The moon."}
MARKED = {"q1": {"d1": ((19, 43),)}, "q2": {"d2": ((0, 8), (9, 18)), "d1": ((0, 3),)}}


def candidates():
    documents = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    return Run.from_dict({"q1": scores, "q2": scores}, queries={"q1": "sky", "q2": "sea"}, documents=documents)


def test_exactly_what_is_marked_is_kept():
    run = OraclePruner(MARKED).run(candidates())
    assert [hit.pruned_text for hit in run["q1"]] == ["Air scatters blue light.", ""]
    assert [hit.pruned_text for hit in run["q2"]] == ["Bread needs yeast.", "The sea. The moon."]
    assert [(note.kind, note.query_id, note.doc_id) for note in run.ledger.notes] == [("nothing_kept", "q1", "d2")]
    assert [(span.kept, span.probability, span.reason) for span in run["q1"][0].spans] == [
        (False, 0, "not relevant"), (True, 1, "relevant"), (False, 0, "not relevant"),
    ]  # fmt: skip
    assert run.to_dict() == candidates().to_dict()


def test_labels_go_by_ids_and_not_by_texts():
    """Two queries of the same words, and two documents of the same text."""
    documents = MemoryDocuments([Document("d1", "One. Two."), Document("d2", "One. Two.")])
    scores = {"d1": 2.0, "d2": 1.0}
    run = Run.from_dict({"a": scores, "b": scores}, queries={"a": "same", "b": "same"}, documents=documents)
    found = OraclePruner({"a": {"d1": [(0, 4)]}, "b": {"d2": [(5, 9)]}}).run(run)
    assert [[hit.pruned_text for hit in hits] for hits in found.values()] == [["One.", ""], ["", "Two."]]


@given(st.text("ab. \n", max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4))
def test_nothing_that_is_marked_is_lost(text, marked):
    inside = [(min(one), min(max(one), len(text))) for one in marked if min(one) <= len(text)]
    run = OraclePruner({"q1": {"d": inside}}).run(Run.from_documents("sky", [Document("d", text)]))
    assert retention(run, {"q1": {"d": tuple(inside)}})["q1"] == 1
    for span in run["q1"][0].spans:
        shared = [text[max(span.start, first) : min(span.end, last)] for first, last in inside]
        assert span.kept == any(part.strip() for part in shared)


def test_a_text_of_many_queries_is_split_once():
    asked = []

    def counted(text):
        asked.append(text)
        return split_sentences(text)

    OraclePruner(MARKED, splitter=Splitter("counted", counted)).run(candidates())
    assert sorted(asked) == sorted(TEXTS.values())


def test_below_the_depth_documents_stay_whole():
    run = OraclePruner(MARKED, depth=1).run(candidates())
    assert [[hit.spans is None for hit in hits] for hits in run.values()] == [[False, True], [False, True]]


def test_labels_that_do_not_fit_and_labels_that_are_not_there():
    with pytest.raises(DataError, match=r"oracle_pruner.*'d1' lies outside.*\(40, 99\)"):
        OraclePruner({"q1": {"d1": [(40, 99)]}}).run(candidates())
    with pytest.raises(UsageError, match=r"oracle_pruner.*which sentences.*collection\.sentences"):
        OraclePruner().run(candidates())


def test_other_labels_make_another_stage():
    made = [OraclePruner(MARKED), OraclePruner({}), OraclePruner(), OraclePruner(MARKED, splitter="lines")]
    assert len({stage.fingerprint() for stage in made}) == 4


def test_it_is_shown_without_its_labels():
    assert repr(OraclePruner(MARKED)) == "OraclePruner(<labels of 2 queries>, splitter='syntok', depth=100)"


def _experiment(collection):
    pipelines = {name: ["bm25", {"top": 5}, *last] for name, last in (("all", []), ("oracle", ["oracle_pruner"]))}
    pipelines["lead"] = ["bm25", {"top": 5}, {"lead_pruner": 2}]
    measures = ["nDCG@10", "compression", *(["retention"] if collection == "mini" else [])]
    return Experiment.from_dict(
        {"collection": collection, "pipelines": pipelines, "measures": measures, "output": "runs/unwritten"}
    )


def test_an_experiment_tells_it_the_labels_of_its_collection():
    session = Session(offline=True)
    result = _experiment("mini").evaluate(session)
    assert not result.failures
    values = {name: outcome.evaluation.means for name, outcome in result.outcomes.items()}
    assert values["oracle"]["retention"] == 1 > values["lead"]["retention"]
    assert values["oracle"]["compression"] > values["lead"]["compression"] > values["all"]["compression"] == 0
    assert len({one["nDCG@10"] for one in values.values()}) == 1
    oracle = result.outcomes["oracle"].pipeline.stages[-1]
    assert isinstance(oracle, OraclePruner)
    assert oracle.sentences == result.collection.sentences
    assert isinstance(result.outcomes["lead"].pipeline.stages[-1], LeadPruner)


def test_a_collection_without_labels_is_told_before_anything_runs(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "sky"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "sky"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    experiment = _experiment(str(tmp_path))
    session = Session(offline=True)
    _, failures = experiment.build(experiment.load(session), session)
    assert isinstance(failures["oracle"], ConfigError)
    assert "oracle_pruner needs labels of sentences" in str(failures["oracle"])


class TestConformance(StageConformance):
    def make_stage(self):
        return OraclePruner(MARKED)

    def make_run(self):
        return candidates()
