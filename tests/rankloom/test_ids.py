import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.ids import DocIds

#: Around the ends of one, two, three and four UTF-8 bytes; UTF-16 would order the last two the other way round.
AWKWARD = ["a", "B", "é", "\x7f", "\x80", "\u07ff", "\u0800", "\ufffd", "\U00010000", "\U0001f600", "\x00", " "]
IDS = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@given(st.lists(IDS, max_size=30))
@settings(deadline=None)
def test_ids_sort_by_code_points_as_str_does(values):
    ids, codes = DocIds.encode(values)
    assert list(ids) == sorted(set(values))
    assert [ids[code] for code in codes] == values
    assert ids.take(codes) == values
    assert codes.dtype == np.int32


@given(st.sets(IDS, max_size=30), IDS)
@settings(deadline=None)
def test_find_gives_the_code_or_none(values, wanted):
    ids, _ = DocIds.encode(sorted(values))
    expected = sorted(values).index(wanted) if wanted in values else None
    assert ids.find(wanted) == expected


@pytest.mark.parametrize("size", [0, 1, 10, 1000])
@pytest.mark.parametrize("asked", [0, 5, 63, 64, 500])
def test_codes_of_many_are_those_of_each(size, asked):
    ids, _ = DocIds.encode([f"d{number}" for number in range(size)])
    wanted = [f"d{number}" for number in range(0, 2 * asked, 2)]
    found = ids.codes(wanted)
    assert found.dtype == np.int32
    assert found.tolist() == [-1 if ids.find(one) is None else ids.find(one) for one in wanted]


@given(st.lists(st.sets(IDS, max_size=12), min_size=1, max_size=4))
@settings(deadline=None)
def test_merge_is_the_union_and_tells_each_tables_codes(tables):
    tables = [DocIds.encode(sorted(values))[0] for values in tables]
    union, codes = tables[0].merge(*tables[1:])
    assert list(union) == sorted({value for table in tables for value in table})
    for table, new in zip(tables, codes, strict=True):
        assert union.take(new) == list(table)


def test_merging_equal_tables_changes_nothing():
    one, other = DocIds.encode(["a", "b"])[0], DocIds.encode(["b", "a"])[0]
    union, codes = one.merge(other, one)
    assert union is one
    assert [part.tolist() for part in codes] == [[0, 1]] * 3


def test_a_table_merged_with_itself_and_another_is_told_twice():
    one, other = DocIds.encode(["a", "c"])[0], DocIds.encode(["b"])[0]
    union, codes = one.merge(other, one)
    assert list(union) == ["a", "b", "c"]
    assert [part.tolist() for part in codes] == [[0, 2], [1], [0, 2]]


def test_an_arrow_array_is_taken_as_it_is():
    ids, codes = DocIds.encode(pa.array(["b", "a", "b"], pa.large_string()))
    assert list(ids) == ["a", "b"]
    assert codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize("bad", [["a", ""], ["a", None], [None], [""]])
def test_an_empty_or_missing_id_is_refused(bad):
    with pytest.raises(DataError, match="empty"):
        DocIds.encode(bad)


@pytest.mark.parametrize("bad", [["a", 1], [b"\xff"], ["\ud800"], ["half \udfff"]])
def test_what_utf8_can_not_write_is_no_id(bad):
    with pytest.raises(DataError, match="not a string"):
        DocIds.encode(bad)


def test_half_a_surrogate_pair_is_simply_not_found():
    assert DocIds.encode(["a", "\ufffd", "\U0001f600"])[0].find("\ud83d") is None


def test_the_fingerprint_is_that_of_the_ids_and_not_of_their_memory():
    whole = pa.array(["a", "bb", "ccc", "dd"], pa.large_string())
    assert DocIds(whole.slice(1, 2)).fingerprint() == DocIds.encode(["ccc", "bb"])[0].fingerprint()


@pytest.mark.parametrize(("one", "other"), [(["ab", "c"], ["a", "bc"]), (["a"], ["a", "b"]), ([], ["a"])])
def test_other_ids_have_another_fingerprint(one, other):
    assert DocIds.encode(one)[0].fingerprint() != DocIds.encode(other)[0].fingerprint()


def test_the_empty_table():
    ids = DocIds.empty()
    assert (len(ids), list(ids), ids.find("a"), ids.codes(["a"]).tolist()) == (0, [], None, [-1])
    assert ids.fingerprint() == DocIds.encode([])[0].fingerprint()


def test_the_fingerprint_is_the_same_in_another_process():
    code = "from rankloom.ids import DocIds; print(DocIds.encode(['b', 'é', 'a'])[0].fingerprint())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == DocIds.encode(["a", "b", "é"])[0].fingerprint()
