"""Passages of labelled texts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rankloom.eval.labelled_sentences import LabelledText
from rankloom.training.passages import cut, negative_passage, passages_of
from rankloom.training.provence_config import Passages


def text_of(count, relevant, doc_id="d"):
    """A text of so many sentences, each unlike the others."""
    sentences = [f"s{place}. " for place in range(count - 1)] + [f"s{count - 1}."]
    return LabelledText("q", "why", doc_id, "", tuple(sentences), tuple(relevant))


@st.composite
def texts(draw):
    count = draw(st.integers(1, 30))
    relevant = draw(st.sets(st.integers(0, count - 1), max_size=count))
    return text_of(count, sorted(relevant), draw(st.text(min_size=1, max_size=3)))


@given(text=texts(), longest=st.integers(1, 12), around=st.integers(0, 3), seed=st.integers(0, 5))
def test_a_passage_is_a_part_of_its_text_with_its_labels(text, longest, around, seed):
    how = Passages(longest=longest, around=around, anywhere=2, beginning=True)
    found = list(passages_of(text, how, seed=seed))
    assert found == list(passages_of(text, how, seed=seed))
    assert found[0] == text
    assert len({one.sentences for one in found}) == len(found)
    for one in found:
        begin = text.text.index(one.text)
        assert begin == 0 or text.text[begin - 1] == " "
        labelled = {text.sentences[place].rstrip() for place in text.relevant}
        assert {one.sentences[place].rstrip() for place in one.relevant} == labelled & {
            sentence.rstrip() for sentence in one.sentences
        }
        assert one == found[0] or len(one.sentences) <= longest


@given(text=texts(), longest=st.integers(1, 12), seed=st.integers(0, 5))
def test_what_is_drawn_around_a_relevant_sentence_holds_one(text, longest, seed):
    how = Passages(longest=longest, around=2, anywhere=0, beginning=False)
    found = list(passages_of(text, how, seed=seed))
    assert all(one.relevant for one in found)
    assert bool(found) == bool(text.relevant)


def test_lengths_and_places_are_drawn_evenly():
    how = Passages(longest=4, around=0, anywhere=1, beginning=False)
    found = [next(passages_of(text_of(12, [3], f"d{number}"), how, seed=7)) for number in range(2000)]
    lengths = Counter(len(one.sentences) for one in found)
    assert set(lengths) == {1, 2, 3, 4}
    assert all(400 < count < 600 for count in lengths.values())
    firsts = Counter(one.sentences[0] for one in found if len(one.sentences) == 1)
    assert len(firsts) == 12
    around = Passages(longest=4, around=1, anywhere=0, beginning=False)
    placed = Counter(
        one.relevant[0]
        for number in range(2000)
        for one in passages_of(text_of(12, [6], f"d{number}"), around, seed=7)
        if len(one.sentences) == 4
    )
    assert set(placed) == {0, 1, 2, 3}
    assert all(85 < count < 170 for count in placed.values())


def test_another_seed_draws_other_passages_and_each_question_its_own():
    how = Passages(longest=10, around=0, anywhere=1, beginning=False)
    text = text_of(30, [3])
    other = LabelledText("q2", "why", "d", "", text.sentences, (3,))
    drawn = {next(passages_of(one, how, seed=seed)).sentences for one in (text, other) for seed in range(4)}
    assert len(drawn) > 4


def test_a_negative_is_read_from_its_beginning_or_from_anywhere():
    how = Passages(longest=3, anywhere=1)
    found = [negative_passage(text_of(9, [], f"d{number}"), how, seed=7) for number in range(200)]
    whole = sum(len(one.sentences) == 9 for one in found)
    assert 70 < whole < 130
    assert all(len(one.sentences) <= 3 for one in found if len(one.sentences) < 9)
    never = Passages(longest=3, anywhere=1, beginning=False)
    assert all(len(negative_passage(text_of(9, [], f"d{n}"), never, seed=7).sentences) <= 3 for n in range(50))


def test_the_last_sentence_of_a_cut_has_no_space_behind_it():
    text = text_of(3, [0, 2])
    assert cut(text, 0, 2).sentences == ("s0. ", "s1.")
    assert cut(text, 1, 3).sentences == ("s1. ", "s2.")
    assert (cut(text, 0, 2).relevant, cut(text, 1, 3).relevant) == ((0,), (1,))
