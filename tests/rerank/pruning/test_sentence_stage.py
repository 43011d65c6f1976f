"""What every pruner shares: the choice of sentences, against a plain reading of its rules, and the base itself."""

import importlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Pruner, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import StageError, UsageError
from rankloom.rerank.pruning import Judged, SentenceStage
from rankloom.rerank.pruning.sentence_stage import decide
from rankloom.testing import StageConformance

TEXTS = ("Sky! A. B. Sky. C.", "", "نعم؟ لا. Sky.", "sky " * 25_000, "no punctuation")


class Length(SentenceStage, Pruner):
    """The longer a sentence, the more probable."""

    name = "length"

    def __init__(self, *, threshold=0.5, best=None, keep_at_least=0, splitter="syntok", depth=100, broken=False):
        super().__init__(threshold=threshold, best=best, keep_at_least=keep_at_least, splitter=splitter, depth=depth)
        self.broken = broken

    def judge(self, pairs, session):
        assert isinstance(session, Session)
        lengths = [np.array([len(one) for one in pair.sentences], dtype=np.float32) for pair in pairs]
        found = [np.minimum(some / 8, 1) * (np.nan if self.broken else 1) for some in lengths]
        return Judged(found, np.zeros(len(pairs), dtype=np.int64), 1, 0)

    def identity(self, session=None):  # noqa: ARG002
        return "length"


class TitleFirst(Length):
    name = "title_first"
    title_first = True


def candidates():
    documents = MemoryDocuments([Document(f"d{number}", text) for number, text in enumerate(TEXTS)])
    scores = {f"d{number}": -float(number) for number in range(len(TEXTS))}
    return Run.from_dict({"q1": scores, "q2": scores}, queries={"q1": "sky", "q2": "sea"}, documents=documents)


def kept(stage, text):
    hit = stage.run(Run.from_documents("sky", [Document("d", text)]))["q1"][0]
    return [text[span.start : span.end] for span in hit.spans if span.kept]


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), max_size=6),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.one_of(st.none(), st.integers(1, 4)),
    st.integers(0, 4),
    st.booleans(),
)
def test_the_choice_is_what_its_rules_say(probabilities, threshold, best, at_least, titled):
    above = [probability >= threshold for probability in probabilities]
    fates = decide(probabilities, above, best=best, keep_at_least=at_least, title_first=titled)
    body = [place for place in range(len(probabilities)) if not (titled and place == 0)]
    expected = set()
    for place in body:
        before = sum((-probabilities[other], other) < (-probabilities[place], place) for other in body)
        chosen = above[place] and (best is None or before < best)
        if chosen or (before < at_least and not above[place]):
            expected.add(place)
    if titled and probabilities and (expected or above[0] or at_least):  # with others, or by itself like any other
        expected.add(0)
    assert {place for place, (one, _) in enumerate(fates) if one} == expected
    assert all(reason for _, reason in fates)


def test_reasons():
    assert decide([0.9, 0.1, 0.6, 0.2], [True, False, True, False], best=2, keep_at_least=2) == [
        (True, "above threshold"), (False, "below threshold"), (True, "above threshold"), (False, "below threshold"),
    ]  # fmt: skip
    assert decide([0.1, 0.2], [False, False], keep_at_least=1) == [(False, "below threshold"), (True, "among the best")]
    assert decide([0.9, 0.8], [True, True], best=1)[1] == (False, "not among the best")
    assert decide([0.0, 0.8], [False, True], title_first=True)[0] == (True, "title")
    assert decide([0.9, 0.1], [True, False], title_first=True)[0] == (True, "above threshold")
    assert decide([0.1, 0.1], [False, False], title_first=True)[0] == (False, "below threshold")
    assert decide([0.2, 0.1], [True, False], compared="share ") == [
        (True, "share above threshold"), (False, "share below threshold"),
    ]  # fmt: skip
    assert decide([], [], title_first=True, keep_at_least=1) == []
    assert decide([0.2], [False], title_first=True, keep_at_least=1) == [(True, "among the best")]  # nothing else
    assert decide([0.2, 0.1], [False] * 2, title_first=True, keep_at_least=1) == [
        (True, "title"),
        (True, "among the best"),
    ]


def test_threshold_number_and_title():
    text = "Sky!! Ah. Sea rises. Bread. Moon light falls."
    assert kept(Length(), text) == ["Sky!!", "Sea rises.", "Bread.", "Moon light falls."]
    assert kept(Length(best=1), text) == ["Sea rises."]  # as probable as the last, and before it
    assert kept(Length(best=2, threshold=0), text) == ["Sea rises.", "Moon light falls."]
    assert kept(Length(threshold=1, keep_at_least=1), "Ah. Sky.") == ["Sky."]
    assert kept(TitleFirst(best=1), text) == ["Sky!!", "Sea rises."]
    assert kept(TitleFirst(threshold=1), "Sky! Ah.") == []
    assert kept(TitleFirst(), "Sky!! Ah.") == ["Sky!!"]  # the only relevant sentence stands first
    assert kept(TitleFirst(threshold=1, keep_at_least=1), "Sky!") == ["Sky!"]
    assert kept(Length(threshold=None), text) == kept(Length(threshold=0.5), text)


def test_texts_of_any_kind_have_spans_that_slice_them():
    run = Length(threshold=0.6).run(candidates())
    for hit in run["q1"]:
        before = 0
        for span in hit.spans:
            assert not hit.text[before : span.start].strip()
            before = span.end
        assert not hit.text[before:].strip()
    nothing = {note.doc_id for note in run.ledger.notes if note.kind == "nothing_kept"}
    assert nothing == {hit.doc_id for hit in run["q1"] if not hit.pruned_text} == {"d1", "d2"}


def test_hits_below_the_depth_stay_whole():
    assert [hit.spans is None for hit in Length(depth=2).run(candidates())["q1"]] == [False, False, True, True, True]


def test_probabilities_that_are_none_are_refused():
    with pytest.raises(StageError, match="length"):
        Length(broken=True).run(candidates())


OWN = """
import numpy as np
from rankloom import Pruner
from rankloom.rerank.pruning import Judged, SentenceStage

class Constant(SentenceStage, Pruner):
    name = "constant"

    def __init__(self, *, splitter="syntok"):
        super().__init__(threshold=0.5, best=None, keep_at_least=0, splitter=splitter, depth=9)

    def judge(self, pairs, session):
        found = [np.full(len(pair.offsets), {value}, np.float32) for pair in pairs]
        return Judged(found, np.zeros(len(pairs), np.int64), 0, 0)

    def identity(self, session=None):
        return ""
"""


def test_an_edited_pruner_of_another_package_gets_none_of_its_old_results(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    session = Session(cache=tmp_path / "cache")
    for value, expected in ((0.9, "Sky."), (0.125, ""), (0.125, "")):
        (tmp_path / "pruner_of_mine.py").write_text(OWN.format(value=value))
        sys.modules.pop("pruner_of_mine", None)
        stage = importlib.import_module("pruner_of_mine").Constant()
        run = stage.run(Run.from_documents("sky", [Document("d", "Sky.")]), session=session)
        assert run["q1"][0].pruned_text == expected
    assert run.ledger.by_stage()["constant"].cached == 1


def test_more_can_not_be_kept_than_the_best():
    with pytest.raises(UsageError, match=r"keep_at_least is out of range.*best=1"):
        Length(best=1, keep_at_least=2)


class TestConformance(StageConformance):
    def make_stage(self):
        return Length()

    def make_run(self):
        return candidates()
