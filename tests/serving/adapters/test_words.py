import pytest

from rankloom import Pipeline, Session
from rankloom.budget import Budget
from rankloom.config import PipelineBuilder
from rankloom.errors import UsageError
from rankloom.rerank import BiEncoder, LeadPruner, SentencePruner
from rankloom.serving.adapters.words import imported_by_words, session_in_words, stage_in_words
from tests.rankloom.stages_for_tests import Lengths, Words


@pytest.mark.parametrize(
    "stage",
    [
        BiEncoder(),
        BiEncoder(depth=7).top(3),
        BiEncoder() >> SentencePruner(threshold=0.25, best=2).top(3),
        LeadPruner(n=1),
        Lengths(depth=4),  # which has no word and is told outright
    ],
)
def test_words_make_the_same_stage(stage):
    words = stage_in_words(stage)
    built = PipelineBuilder({}).build(words, corpus=None, session=Session())
    assert built.fingerprint() == Pipeline([stage]).fingerprint()


def test_words_are_short():
    assert stage_in_words(BiEncoder() >> LeadPruner(n=1)) == ["bi_encoder", {"lead_pruner": {"n": 1}}]
    assert stage_in_words(Lengths(depth=4)) == [{"tests.rankloom.stages_for_tests:Lengths": {"depth": 4}}]


def test_what_no_file_can_hold_is_refused():
    with pytest.raises(UsageError, match=r"words: its parameter calls can not be written.*in the words of YAML"):
        stage_in_words(Words(calls=object()))
    with pytest.raises(UsageError, match="a budget can not be written"):
        session_in_words(Session(budget=Budget(tokens=5)))


def test_sessions(tmp_path):
    assert session_in_words(Session()) == {}
    told = {"cache": str(tmp_path), "offline": True, "seed": 3, "threads": 2}
    assert session_in_words(Session(**told)) == told


def test_what_words_import():
    spec = [{"json:JSONDecoder": {}}, {"top": 5}, {"bi_encoder": {"model": "llama3:latest", "by": ["os:system"]}}]
    assert imported_by_words(spec) == ["json.JSONDecoder", "os.system"]
