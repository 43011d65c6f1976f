import pytest

from rankloom import Document, Run
from rankloom.corpus import MemoryDocuments
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.eval.importance import (
    UNKNOWN,
    learn,
    pruned_value,
    tune_threshold,
    utilities_from_answers,
    utilities_from_qrels,
)
from rankloom.eval.measures import evaluate
from rankloom.rerank.source_weight import SourceFilter, SourceOf

DOCUMENTS = MemoryDocuments(
    [Document(f"wiki{number}", f"fact {number}", metadata={"source": "wiki"}) for number in range(4)]
    + [Document(f"forum{number}", f"rumour {number}", metadata={"source": "forum"}) for number in range(4)]
    + [Document("stray", "whence?")]
)
QRELS = {
    "q1": {"wiki0": 2, "wiki1": 1, "forum0": 0},
    "q2": {"wiki2": 1, "stray": 1},
    "q3": {"wiki3": 1},
    "q4": {"wiki0": 1},
    "void": {},
}


def run():
    scores = {
        "q0": {"wiki0": 1.0},
        "q1": {"forum0": 9.0, "forum1": 8.0, "wiki0": 7.0, "wiki1": 6.0},
        "q2": {"forum2": 9.0, "stray": 8.0, "wiki2": 7.0},
        "q3": {"forum3": 9.0, "wiki3": 8.0},
        "q4": {},
    }
    return Run.from_dict(scores, documents=DOCUMENTS)


def test_judgements_become_utilities_and_sources():
    lists = utilities_from_qrels(run(), QRELS, depth=3)
    assert lists.names == ("forum", "wiki")
    assert lists.query_ids == ("q1", "q2", "q3", "q4")
    assert lists.utilities.tolist() == [[0, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert lists.sources.tolist() == [[0, 0, 1], [0, UNKNOWN, 1], [0, 1, UNKNOWN], [UNKNOWN] * 3]
    assert lists.lengths().tolist() == [3, 3, 2, 0]
    assert (lists.missing, lists.unjudged_queries) == (("q4",), ("q0",))
    strict = utilities_from_qrels(run(), QRELS, relevance_level=2)
    assert strict.utilities.sum() == 1.0


def test_judged_queries_that_the_run_lacks_count_as_0():
    lists = utilities_from_qrels(run().select([3]), QRELS)
    assert lists.lengths().tolist() == [0, 0, 2, 0]
    assert lists.missing == ("q1", "q2", "q4")


def test_the_pruned_value_is_the_precision_of_the_filtered_run():
    lists = utilities_from_qrels(run(), QRELS)
    learned = learn(lists, 2)
    found = tune_threshold(learned.weights, lambda dropped: pruned_value(lists, dropped, 2))
    assert found.dropped == {"forum"}
    filtered = SourceFilter(learned.weights, threshold=found.threshold).run(run())
    judged = {query_id: grades for query_id, grades in QRELS.items() if grades}
    assert evaluate(filtered, judged, ["P@2"]).means["P@2"] == pytest.approx(found.utility, abs=1e-12)
    assert evaluate(run(), judged, ["P@2"]).means["P@2"] == pytest.approx(found.tried[0][2], abs=1e-12)
    assert filtered["q2"].doc_ids == ["stray", "wiki2"]  # of unknown source, and kept


def test_answers_become_utilities_and_each_pair_is_asked_once():
    asked = []

    def correct(query, document):
        asked.append((query.id, document.id))
        return 0.75 if document.text.startswith("fact") else 0.0

    known = {("q0", "wiki0"): 0.5}
    lists = utilities_from_answers(run(), correct, depth=3, known=known)
    assert lists.utilities.tolist() == [[0.5, 0, 0], [0, 0, 0.75], [0, 0, 0.75], [0, 0.75, 0], [0, 0, 0]]
    assert lists.missing == ("q4",)
    assert len(asked) == len(known) - 1 == 8
    again = utilities_from_answers(run(), correct, depth=3, known=known)
    assert len(asked) == 8
    assert again.utilities.tolist() == lists.utilities.tolist()


def test_answers_survive_a_failure():
    known = {}

    def breaks(query, _document):
        if query.id == "q3":
            raise TimeoutError
        return 1.0

    with pytest.raises(TimeoutError):
        utilities_from_answers(run(), breaks, known=known)
    assert len(known) == 8


def test_answers_out_of_range_name_the_document():
    with pytest.raises(UsageError, match=r"utility of wiki0 is out of range; got 2\.0"):
        utilities_from_answers(run(), lambda *_: 2.0)


def test_sources_may_come_from_a_function():
    first_letter = SourceOf("first letter", lambda document: document.id[0])
    assert utilities_from_qrels(run(), QRELS, source=first_letter).names == ("f", "s", "w")
    with pytest.raises(DataError, match=r"the source of .* is not a string"):
        utilities_from_qrels(run(), QRELS, source=SourceOf("length", lambda document: len(document.id)))


def test_what_is_needed_is_asked_for():
    with pytest.raises(UsageError, match="no judgements"):
        utilities_from_qrels(run(), {"q1": {}})
    with pytest.raises(CompositionError, match="texts"):
        utilities_from_qrels(Run.from_dict({"q1": {"d": 1.0}}), QRELS)
    with pytest.raises(UsageError, match="depth"):
        utilities_from_qrels(run(), QRELS, depth=0)
