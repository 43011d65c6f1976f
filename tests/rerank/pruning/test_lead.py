"""Lead pruning, against slicing the list of sentences."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import UsageError
from rankloom.rerank import LeadPruner, SentencePruner
from rankloom.testing import StageConformance

TEXTS = {"d1": "One. Two. Three. Four. Five.", "d2": "Alone.", "d3": " ", "d4": "Blue sky? Yes! No."}


def candidates(session=None):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    documents = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])
    return Run.from_dict(
        {"q1": scores, "q2": scores}, queries={"q1": "sky", "q2": "sea"}, documents=documents, session=session
    )


def kept(stage, text):
    hit = stage.run(Run.from_documents("sky", [Document("d", text)]))["q1"][0]
    return [text[span.start : span.end] for span in hit.spans if span.kept]


@given(st.lists(st.sampled_from(["Go.", "A b c.", "Sky?", "x"]), max_size=7), st.integers(1, 8), st.floats(0.01, 1))
def test_the_first_lines_are_kept(sentences, n, share):
    text = "\n".join(sentences)
    assert kept(LeadPruner(n, splitter="lines"), text) == sentences[:n]
    assert kept(LeadPruner(share=share, splitter="lines"), text) == sentences[: math.ceil(share * len(sentences))]


def test_what_is_kept_and_why():
    run = LeadPruner(2).run(candidates())
    assert [hit.pruned_text for hit in run["q1"]] == ["One. Two.", "Alone.", "", "Blue sky? Yes!"]
    assert run.to_dict() == candidates().to_dict()
    spans = run["q2"][0].spans
    assert [span.reason for span in spans] == ["among the first"] * 2 + ["after the first"] * 3
    assert [span.probability for span in spans] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert {(note.kind, note.doc_id) for note in run.ledger.notes} == {("nothing_kept", "d3")}


def test_a_small_context_keeps_the_earlier_ones():
    context = LeadPruner(3).run(Run.from_documents("sky", [Document("d", TEXTS["d1"])]))["q1"].context(max_tokens=7)
    assert context.text == "[1] One. Two."


def test_another_number_is_not_split_again(tmp_path):
    session = Session(cache=tmp_path)
    for stage, cached in ((LeadPruner(1), 0), (LeadPruner(3), 4), (LeadPruner(share=0.5), 4)):
        run = stage.run(candidates(session).select([0]), session=session)
        assert run.ledger.by_stage()["lead_pruner"].cached == cached


@pytest.mark.parametrize("parameters", [{}, {"n": 1, "share": 0.5}, {"n": 0}, {"share": 0}, {"share": 1.1}, {"n": 1.5}])
def test_parameters_are_checked(parameters):
    with pytest.raises(UsageError, match="lead_pruner"):
        LeadPruner(**parameters)


def test_the_best_n_sentences_are_a_parameter_of_every_pruner():
    text = "Bread needs yeast. Air scatters blue light, so the sky is blue. At dusk the sky is red."
    assert len(kept(SentencePruner(threshold=0, best=1), text)) == 1


class TestConformance(StageConformance):
    def make_stage(self):
        return LeadPruner(1)

    def make_run(self):
        return candidates()
