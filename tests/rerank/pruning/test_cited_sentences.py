"""Which sentences an answer cites: examples, any text, and the rules of the paper's code on answers as it expects."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.pruning.cited_sentences import CitedSentences, read_citations


def cited(*places, unknown=0):
    return CitedSentences(places, "cited", unknown)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("[0]", cited(0)),
        ("Air scatters blue light [2]. At dusk it is red [0][1].", cited(0, 1, 2)),
        ("[0, 3]", cited(0, 3)),
        ("[ 3,0 ,3 ]", cited(0, 3)),
        ("[1; 2]", cited(1, 2)),
        ("[1-3]", cited(1, 2, 3)),
        ("[3 \u2013 1], [0]", cited(0, 1, 2, 3)),
        ("[1,]", cited(1)),
        ("**[2]**\n\n- [3]", cited(2, 3)),
        ("It is so [4].", CitedSentences((), "unreadable", unknown=1)),
        ("It is so [1][4][1999].", cited(1, unknown=2)),
        ("[2-9999999999]", cited(2, 3, unknown=1)),
        ("[8-9999999999]", CitedSentences((), "unreadable", unknown=1)),
        ("[99999999999999999999]", CitedSentences((), "unreadable", unknown=1)),
        ("<think>It may be [0] or [1].</think>It is so [2].", cited(2)),
        ("<think>It may be [0]", CitedSentences((), "unreadable")),
        ("No answer", CitedSentences((), "no_answer")),
        ("No answer.", CitedSentences((), "no_answer")),
        ("**NO ANSWER**", CitedSentences((), "no_answer")),
        ("There is no answer in the context.", CitedSentences((), "no_answer")),
        ("No answer [1].", CitedSentences((), "no_answer", overruled=1)),
        ("He gave no answer [1].", cited(1)),
        ("", CitedSentences((), "unreadable")),
        ("The sky is blue.", CitedSentences((), "unreadable")),
        ("Sentences 0 and 1", CitedSentences((), "unreadable")),
        ("[a], [], [-1], [1.5], [\u0661x]", CitedSentences((), "unreadable")),
    ],
)
def test_examples(output, expected):
    assert read_citations(output, 4) == expected


PIECES = st.sampled_from(
    ["[", "]", "0", "1", "12", ",", "-", ";", " ", "No answer", "no answer", "<think>", "</think>"]
)


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)), st.integers(0, 6))
def test_nothing_that_is_said_raises(output, sentences):
    found = read_citations(output, sentences)
    assert list(found.places) == sorted(set(found.places))
    assert all(0 <= place < sentences for place in found.places)
    assert bool(found.places) == (found.verdict == "cited")
    assert found.unknown >= 0
    assert not found.overruled or found.verdict == "no_answer"


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=4), max_size=4), st.booleans(), st.integers(1, 9))
def test_answers_as_they_are_asked_for_are_read_as_in_the_paper(citations, denied, sentences):
    output = "".join(f"A fact {numbers}. " for numbers in citations) + ("No answer" if denied else "")
    found = read_citations(output, sentences)
    selected = {int(number) for match in re.findall(r"\[([\d, ]+)\]", output) for number in match.split(",")}
    if denied:
        assert found.verdict == "no_answer"
    elif not selected:
        assert found.verdict == "unreadable"  # the paper's code makes no label
    else:
        assert list(found.places) == [place for place in range(sentences) if place in selected]
