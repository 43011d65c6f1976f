"""What models say, well-formed or not: orders and labels are read, repairs counted, and nothing raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.llm.parsing import answer_of, read_label, read_order

LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVW")
NUMBERS = [f"[{number}]" for number in range(1, 21)]


@pytest.mark.parametrize(
    ("output", "order", "repairs"),
    [
        ("[2] > [3] > [1]", (1, 2, 0), {}),
        ("2 > 3 > 1", (1, 2, 0), {}),
        ("3, 1, 2", (2, 0, 1), {}),
        ("2] > [3] > [1]", (1, 2, 0), {}),
        ("[2] > [2] > [3] > [1]", (1, 2, 0), {"repeated": 1}),
        ("[2] > [9] > [0]", (1, 0, 2), {"unknown": 2, "missing": 2}),
        ("[3]", (2, 0, 1), {"missing": 2}),
        ("<think>[1] is bad</think>[3] > [2] > [1]", (2, 1, 0), {}),
        ("<think>x</think><answer>[2] > [1] > [3]</answer> done 3", (1, 0, 2), {}),
        ("<answer>[1]</answer> no: <answer>[2] > [1] > [3]</answer>", (1, 0, 2), {}),
        ("[" + "9" * 5000 + "] > [2]", (1, 0, 2), {"unknown": 1, "missing": 2}),
        ("Ranking of the 3 passages: [2] > [1] > [3]", (1, 0, 2), {}),  # brackets go before other numbers
        ("1. [2]\n2. [3]\n3. [1]", (1, 2, 0), {}),
        ("[2, 3, 1]", (1, 2, 0), {}),
        ("2 > [3] > [1]", (1, 2, 0), {}),  # as RankVicuna often begins
        ("1. [3] > 2. [1] > 3. [2]", (2, 0, 1), {}),
        ("Of 3 passages: 2 > [3] > 1", (1, 2, 0), {}),
        ("[2] > [3] > [1", (1, 2, 0), {}),
        ("[see 9] 2 > 1 > 3", (1, 0, 2), {"unknown": 1}),
        ("", (), {}),
        ("I can not rank them.", (), {}),
        ("[7] > [8]", (), {}),
        ("<think>[1] is better than [2], but then", (), {}),
        ("\u0662 > \u0661", (), {}),  # digits of other scripts are not what was asked for
    ],
)
def test_orders(output, order, repairs):
    found = read_order(output, 3)
    assert (found.order, dict(found.repairs)) == (order, repairs)


@pytest.mark.parametrize(
    ("output", "verdict", "repairs"),
    [
        ("A", "A", {}),
        ("passage b.", "B", {}),
        ("**Passage B**", "B", {}),
        ("Passage: A", "A", {}),
        ("Answer: (B)", "B", {}),
        ("'A'", "A", {}),
        ("Passage A is more relevant than Passage B.", "A", {"wordy": 1}),
        ("A better passage is B", "B", {"wordy": 1}),  # the article is no label
        ("B\n\nPassage A does not mention it.", "B", {"wordy": 1}),
        ("A > B", "A", {"wordy": 1}),
        ("B is the better one", "B", {"wordy": 1}),
        ("The more relevant one is [B].", "B", {"wordy": 1}),
        ("I think that the answer is Passage B, since both mention it", "B", {"wordy": 1}),
        ("Passage A is about cats, Passage B about dogs.\n\nPassage B", "B", {"wordy": 1}),
        ("Passage A is less relevant than Passage B.", "unreadable", {}),
        ("Not Passage A. Passage B", "unreadable", {}),
        ("The answer: A passage about cats is worse than Passage B", "B", {"wordy": 1}),
        ("Passage A is about cats. Passage B is about dogs.", "unreadable", {}),
        ("It is not Passage A", "unreadable", {}),
        ("Passage A is not relevant", "unreadable", {}),
        ("Passage A, as the other is not a match", "A", {"wordy": 1}),
        ("Surely:\nB", "B", {"wordy": 1}),
        ("A\nB", "unreadable", {}),
        ("Passage A and Passage B are equally relevant.", "tie", {"wordy": 1}),
        ("It is a tie", "tie", {"wordy": 1}),
        ("Neither Passage A nor Passage B", "tie", {"wordy": 1}),
        ("Passage C", "unreadable", {}),
        ("A passage about cats", "unreadable", {}),
        ("I can't tell.", "unreadable", {}),
        ("", "unreadable", {}),
        ("\u212a", "unreadable", {}),  # the sign of Kelvin is a K to some
    ],
)
def test_letters(output, verdict, repairs):
    found = read_label(output, ["A", "B"])
    assert found.verdict == (verdict if verdict in ("tie", "unreadable") else "chosen")
    assert (found.place is None) == (found.verdict != "chosen")
    if found.place is not None:
        assert "AB"[found.place] == verdict
    assert dict(found.repairs) == repairs


@pytest.mark.parametrize(
    ("output", "number", "repairs"),
    [
        ("<think>why</think> <answer>[3]</answer>", 3, {}),
        ("why</think>\n<answer> [12] </answer>", 12, {}),  # templates may open the thought themselves
        ("<think>[1]</think><answer>3</answer>", 3, {}),
        ("<THINK>[1]</THINK><ANSWER>[3]</ANSWER>", 3, {}),
        ("<think>[1]</think><answer>[3]", 3, {}),
        ("<think>[1]</think> Document [2]", 2, {"untagged": 1}),
        ("[3] because [1] is beside the point", 3, {"untagged": 1, "wordy": 1}),
        ("<think>it never ends [1]", None, {"untagged": 1}),
        ("<answer>[21]</answer>", None, {}),
        ("<answer>[0]</answer>", None, {}),
    ],
)
def test_answers_in_tags(output, number, repairs):
    found = read_label(output, NUMBERS, tagged=True)
    assert found.place == (None if number is None else number - 1)
    assert dict(found.repairs) == repairs


said = st.text() | st.lists(
    st.sampled_from(
        ["[3]", "A", "B", "Passage ", "<think>", "</think>", "<answer>", "</answer>", "both", ">", "\n", "7"]
    )
).map("".join)


@given(output=said, passages=st.integers(1, 20))
def test_nothing_raises(output, passages):
    order = read_order(output, passages)
    assert order.order == () or sorted(order.order) == list(range(passages))
    assert all(count > 0 for count in order.repairs.values())
    for labels in (LETTERS[:passages], NUMBERS[:passages]):
        found = read_label(output, labels, tagged=True)
        assert (found.place is not None) == (found.verdict == "chosen")
        assert found.place is None or 0 <= found.place < passages
    answer_of(output)


@pytest.mark.parametrize("unit", ["[", " ", "Passage ", "<think>", "</think>", "<answer>", "- ", "9", "passage [*"])
def test_long_babble_is_read_in_linear_time(unit):
    read_label(unit * 100_000, LETTERS)  # hours, if it were not
    read_order(unit * 100_000, 20)
