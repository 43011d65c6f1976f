"""The words of reductions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.reduction import FORMS, Unreduced, reductions
from rankloom.reduction.clustering import Clusters, ClusterShare
from rankloom.reduction.pooling import Pooling
from rankloom.reduction.selection import Spacing, Tail

WORDS = {
    "none": (Unreduced(), Unreduced()),
    "C8x32": (Clusters(8), Clusters(32)),
    "C4x8": (Clusters(4), Clusters(8)),
    "C25": (ClusterShare(25), ClusterShare(25)),
    "C75": (ClusterShare(75), ClusterShare(75)),
    "K2": (Spacing(2), Spacing(2)),
    "K4": (Spacing(4), Spacing(4)),
    "T4x8": (Tail(4), Tail(8)),
    "pool2": (Unreduced(), Pooling(2.0)),
    "pool1.5": (Unreduced(), Pooling(1.5)),
    "pool1234.567": (Unreduced(), Pooling(1234.567)),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_names_what_is_done_to_either_side(word):
    both = reductions(word)
    assert (both.query, both.document, both.name) == (*WORDS[word], word)
    assert both.of("query") == both.query
    assert both.of("document") == both.document


@pytest.mark.parametrize("word", WORDS)
def test_the_name_of_a_reduction_makes_it_again(word):
    both = reductions(word)
    assert reductions(both.document.name).document == both.document
    assert reductions(both.query.name).query == both.query


@pytest.mark.parametrize(
    ("written", "name"),
    [("c8X32", "C8x32"), ("NONE", "none"), (" K2 ", "K2"), ("C08x032", "C8x32"), ("Pool2.50", "pool2.5")],
)
def test_a_word_has_one_way_to_be_written(written, name):
    assert reductions(written).name == name
    assert reductions(written) == reductions(name)


@pytest.mark.parametrize(
    "word",
    ["", "C", "C0", "C100", "C8x0", "C0x8", "C8x", "8x32", "K0", "K1", "K", "T8", "T0x1", "pool", "pool1", "pool0.5",
     "pool0", "C-8x32", "C8.5x32", "K\uff12", "C8x32 C8x32", None, 8],
)  # fmt: skip
def test_other_words_are_refused_with_what_there_is(word):
    with pytest.raises(UsageError, match=r"^encoder: no such reduction; got ") as caught:
        reductions(word, stage="encoder")
    assert all(form in str(caught.value) for form in FORMS)


def test_the_nearest_word_is_told():
    with pytest.raises(UsageError, match="did you mean 'C8x32'"):
        reductions("C8-32")
    with pytest.raises(UsageError, match="did you mean 'pool2'"):
        reductions("pooling2")


def test_every_form_is_a_word():
    assert [reductions(form).name for form in FORMS] == list(FORMS)


def test_means_are_brought_to_length_1_unless_told_otherwise():
    assert reductions("C25").query == ClusterShare(25, normalize=True)
    assert reductions("C8x32", normalize=False).document == Clusters(32, normalize=False)
    with pytest.raises(UsageError, match=r"^reduction: token pooling needs vectors of length 1.*got 'pool2'.*C50"):
        reductions("pool2", normalize=False)


@given(tokens=st.integers(0, 3000))
def test_how_many_remain(tokens):
    kept = {word: reductions(word).document.kept(tokens) for word in WORDS}
    assert kept["none"] == tokens
    assert kept["C8x32"] == min(32, tokens)
    assert kept["T4x8"] == min(8, tokens)
    assert kept["C25"] == len(range(0, tokens, 4)) == kept["K4"]
    assert kept["K2"] == len(range(0, tokens, 2))
    assert 0 <= 4 * kept["C75"] - 3 * tokens < 4
    assert kept["pool2"] == (tokens if tokens < 2 else 1 + max(1, (tokens - 1) // 2))
    assert all(number <= tokens for number in kept.values())
    assert all(number > 0 for number in kept.values()) == (tokens > 0)
