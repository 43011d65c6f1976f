"""Records of labelled sentences: labels are of sentences, and offsets are where these stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.eval.labelled_sentences import LabelledText
from rankloom.eval.labelled_sentences.text import LabelledTexts, in_hidden_order

SENTENCES = st.lists(st.text(alphabet="ab. \n\u3000", max_size=6), max_size=6)


@given(SENTENCES, st.data())
def test_labels_survive_blank_sentences_and_spaces(sentences, data):
    wanted = data.draw(st.lists(st.integers(0, len(sentences) - 1), max_size=5) if sentences else st.just([]))
    found = LabelledTexts()
    found.add(query_id="q", question="?", doc_id="d", sentences=sentences, relevant=wanted)
    full = [sentence.strip() for sentence in sentences if sentence.strip()]
    relevant = [sentences[place].strip() for place in sorted(set(wanted)) if sentences[place].strip()]
    if not full:
        assert found.texts == []
        assert found.notes
        return
    (text,) = found.texts
    assert text.text == " ".join(full)
    assert [text.text[start:end] for start, end in text.offsets()] == relevant
    assert sum(note.amount for note in found.notes) == len(sentences) - len(full)


@given(SENTENCES.map(lambda ones: [f"x{one}" for one in ones]), st.data())
def test_sentences_as_they_are_give_back_the_text(sentences, data):
    wanted = data.draw(st.sets(st.integers(0, len(sentences) - 1)) if sentences else st.just(set()))
    text = LabelledText("q", "?", "d", "", tuple(sentences), tuple(sorted(wanted)))
    assert text.text == "".join(sentences)
    assert [text.text[start:end] for start, end in text.offsets()] == [
        sentences[place].strip() for place in text.relevant
    ]


def test_what_is_no_label_is_refused():
    for sentences, relevant in ((("A.",), (1,)), (("A.", "B."), (1, 0)), (("A.",), (0, 0)), (("A.",), (-1,))):
        with pytest.raises(DataError, match="not of its sentences"):
            LabelledText("q", "?", "d", "", sentences, relevant)
    with pytest.raises(DataError, match="blank"):
        LabelledText("q", "?", "d", "", ("A. ", " "), ())


def test_hidden_order_depends_on_neither_labels_nor_input_order():
    sentences = [f"Sentence {number}." for number in range(20)]
    ordered = in_hidden_order("key", sentences)
    assert sorted(ordered) == sorted(sentences)
    assert ordered == in_hidden_order("key", [*reversed(sentences), sentences[3]])
    assert ordered not in (sentences, in_hidden_order("another", sentences))
