"""Batches: full, of one source, without false negatives, and the same for a seed."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.training.contrasts import Row, batches

keys = st.integers(0, 25)
given_rows = st.lists(
    st.tuples(st.integers(0, 12), keys, st.lists(keys, max_size=2), st.lists(keys, max_size=3), st.sampled_from("ab")),
    min_size=1,
    max_size=40,
)


def rows_of(values):
    rows = []
    for query, positive, negatives, others, source in values:
        shown = frozenset([positive, *negatives]) - set(others)
        rows.append(Row(f"q{query}", f"d{positive}", (), source, shown, frozenset([positive, *others])))
    return rows


def go_together(one, other):
    return (
        one.query != other.query
        and not one.shown & other.relevant
        and not other.shown & one.relevant
        and one.source == other.source
    )


@given(given_rows, st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_no_row_shows_what_is_relevant_to_another_of_its_batch(values, size, seed):
    rows = rows_of(values)
    try:
        found = list(batches(rows, size=size, count=6, seed=seed))
    except DataError:  # two rows are found wherever they are; more may be missed
        assert size > 1
        assert size > 2 or not any(go_together(*two) for two in combinations(rows, 2))
        return
    assert len(found) == 6
    for batch in found:
        assert len(set(batch)) == size
        assert all(go_together(rows[one], rows[other]) for one, other in combinations(batch, 2))
    assert found == list(batches(rows, size=size, count=6, seed=seed))


def test_every_row_has_its_turn_in_every_pass():
    rows = [Row(f"q{n}", f"d{n}", (), "ab"[n % 2], frozenset([n]), frozenset([n])) for n in range(24)]
    found = list(batches(rows, size=4, count=12, seed=1))
    for start in (0, 6):
        assert sorted(place for batch in found[start : start + 6] for place in batch) == list(range(24))
    assert found[:6] != found[6:]
    assert list(batches(rows, size=4, count=6, seed=2)) != found[:6]


def test_rows_that_do_not_go_together_wait_for_another_batch():
    rows = [Row(f"q{n}", "d", (), "a", frozenset(["d", n]), frozenset(["d"])) for n in range(3)]
    with pytest.raises(DataError, match="no 2 of 3 rows go together"):
        list(batches(rows, size=2, count=1, seed=1))
    rows += [Row(f"r{n}", f"e{n}", (), "a", frozenset([f"e{n}"]), frozenset([f"e{n}"])) for n in range(3)]
    found = list(batches(rows, size=2, count=3, seed=1))
    assert all(sum(place < 3 for place in batch) < 2 for batch in found)


@pytest.mark.parametrize("seed", range(20))
def test_two_rows_are_found_wherever_they_are(seed):
    alone = [Row(f"q{n}", f"d{n}", (), "a", frozenset(["x", n]), frozenset(["x"])) for n in range(3)]
    rows = [*alone, Row("r", "e", (), "a", frozenset(["e"]), frozenset(["e"]))]
    assert all(3 in batch for batch in batches(rows, size=2, count=2, seed=seed))
