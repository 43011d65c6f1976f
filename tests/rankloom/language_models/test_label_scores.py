"""Labels among the likeliest tokens: by hand, and against the probabilities of whole outputs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.language_models.label_scores import LabelScore, Place, label_scores, written_first


@pytest.mark.parametrize(
    ("labels", "first"),
    [
        (["Yes", "No"], ""),
        (["Passage A", "Passage B", "Passage C"], "Passage"),
        (["[1]", "[2]"], ""),
        (["0", "1", "2", "3", "4"], ""),
        (["Grade 12", "Grade 13"], "Grade"),
        (["A)", "B)"], ""),
    ],
)
def test_what_labels_share(labels, first):
    assert written_first(labels, stage="mine") == first


@pytest.mark.parametrize("labels", [["1", "10"], ["yes"], ["A", "[A]"], ["", "no"], ["Passage A", "Passage A1"]])
def test_labels_that_no_token_tells_apart(labels):
    with pytest.raises(UsageError, match=r"^mine: .*does not tell these texts apart"):
        written_first(labels, stage="mine")


@pytest.mark.parametrize(
    ("labels", "output", "found"),
    [
        (["Yes", "No"], [Place("Yes", [("Yes", -0.5), ("No", -1.0)])], [-0.5, -1.0]),
        (["Yes", "No"], [Place(" No", [(" No", -0.5), ("yes", -1.5), ("The", -4.0)])], [None, -0.5]),
        (["Yes", "No"], [Place("\n", [("\n", -0.1)]), Place("No", [("No", -0.2), ("Yes", -2.0)])], [-2.0, -0.2]),
        (
            ["Passage A", "Passage B"],
            [Place("Passage", [("Passage", -0.1), ("A", -3.0)]), Place(" B", [(" B", -0.2), (" A", -1.0)])],
            [-1.0, -0.2],
        ),
        (["Passage A", "Passage B"], [Place("A", [("A", -0.1), ("B", -3.0), ("Passage", -4.0)])], [-0.1, -3.0]),
        (
            ["Passage A", "Passage B"],
            [Place("**", [("**", -0.1)]), Place("Passage", [("Passage", 0.0)]), Place(" B", [(" B", -0.3)])],
            [None, -0.3],
        ),
        (["[1]", "[2]"], [Place("[", [("[", -0.1)]), Place("2", [("2", -0.2), ("1", -2.0)])], [-2.0, -0.2]),
        (["[1]", "[2]"], [Place("[2", [("[2", -0.2), ("[1", -2.0)])], [-2.0, -0.2]),
        (["[1]", "[2]"], [Place("[", [("[", -0.1), ("2", -6.0), ("1", -7.0)])], [None, None]),
        (["Yes", "No"], [Place("**", [("**", -0.1), ("Yes", -6.0), ("No", -7.0)])], [None, None]),
        (["Passage A", "Passage B"], [Place("I", [("I", -0.1), ("A", -3.0)]), Place("A", [("A", 0.0)])], [None, None]),
        (
            ["Passage A", "Passage B"],
            [Place("\n", [("\n", -0.1), ("A", -3.0)]), Place("B", [("B", -0.2), ("A", -2.0)])],
            [-2.0, -0.2],
        ),
        (["Passage A", "Passage B"], [Place("I", [("I", -0.1), ("As", -3.0)]), Place("A", [("A", 0.0)])], [None, None]),
    ],
)
def test_by_hand(labels, output, found):
    told = label_scores(labels, output, stage="mine")
    assert [one.listed for one in told] == [value is not None for value in found]
    for one, value in zip(told, found, strict=True):
        if value is not None:
            assert one.log_probability == pytest.approx(value)


def test_a_label_that_is_not_listed_is_below_the_least_that_is():
    output = [Place("Yes", [("Yes", -0.1), ("Maybe", -7.0), ("Sure", -9.0)])]
    assert label_scores(["Yes", "No"], output, stage="mine") == [
        LabelScore(-0.1, listed=True),
        LabelScore(-10.0, listed=False),
    ]
    assert [one.listed for one in label_scores(["Yes", "No"], [], stage="mine")] == [False, False]
    assert len(set(label_scores(["Yes", "No"], [], stage="mine"))) == 1


def test_tokens_of_one_label_are_added():
    (yes, no) = label_scores(
        ["Yes", "No"], [Place("Yes", [("Yes", math.log(0.5)), (" Yes", math.log(0.25))])], stage="mine"
    )
    assert yes.log_probability == pytest.approx(math.log(0.75))
    assert no.log_probability < math.log(0.25)


@given(
    st.lists(st.floats(-30.0, 0.0), min_size=2, max_size=23),
    st.integers(1, 23),
    st.sampled_from(["{}", "Passage {}", "[{}]"]),
)
def test_the_order_is_that_of_the_probabilities_and_what_is_cut_off_is_last(values, listed, form):
    letters = [chr(ord("A") + number) for number in range(len(values))]
    ranked = sorted(range(len(values)), key=lambda one: (-values[one], one))
    likeliest = [(letters[one], values[one]) for one in ranked[:listed]]
    first = [Place("Passage", [("Passage", 0.0)])] if "Passage" in form else []
    told = label_scores(
        [form.format(letter) for letter in letters], [*first, Place(likeliest[0][0], likeliest)], stage="mine"
    )
    for number, one in enumerate(told):
        assert one.listed == (number in ranked[:listed])
        assert math.isfinite(one.log_probability)
        assert one.log_probability <= 0
        if one.listed:
            assert one.log_probability == values[number]
        else:
            assert one.log_probability < min(value for _, value in likeliest)
