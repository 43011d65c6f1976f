"""The rules for the sizes of FAISS indexes, and what can not be built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.retrieval.vectors.faiss_kinds import KINDS, build_settings, nprobe, plan, search_settings


@given(st.sampled_from(sorted(KINDS)), st.integers(16, 10**9), st.integers(1, 2000))
def test_rules_give_what_faiss_can_build(kind, rows, dimensions):
    what = plan(kind, rows, dimensions, stage="dense")
    assert what.training_rows <= rows
    assert what.lists <= max(1, rows // 39)
    if what.layout == "lists":
        assert 1 <= what.lists <= 4 * rows**0.5 + 1
        assert what.training_rows >= min(rows, 39 * what.lists)
        assert what.thin == (rows < 39 * 16 and what.code == "pq")
    if what.code == "pq":
        assert dimensions % what.parts == 0
        assert dimensions <= 2 * what.parts


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_plan_takes_the_settings_of_its_kind(kind):
    asked = {"nlist": 10, "links": 8, "code_bytes": 16}
    what = plan(kind, 5000, 64, {name: asked[name] for name in build_settings(kind)}, stage="dense")
    taken = {"nlist": what.lists, "links": what.links, "code_bytes": what.parts // 2}
    assert {name for name, value in taken.items() if value} == build_settings(kind)
    assert all(value in (0, asked[name]) for name, value in taken.items())
    assert search_settings(kind) == {"lists": {"nprobe"}, "links": {"ef"}, "all": set()}[what.layout]


@pytest.mark.parametrize(("dimensions", "parts"), [(384, 192), (768, 384), (10, 5), (9, 9), (13, 13), (1, 1)])
def test_a_byte_for_every_four_dimensions_or_fewer(dimensions, parts):
    assert plan("ivf_pq", 10_000, dimensions, stage="dense").parts == parts
    assert plan("ivf_pq", 10_000, dimensions, {"code_bytes": (parts + 1) // 2}, stage="dense").parts == parts


def test_few_rows_get_few_lists():
    assert [plan("ivf", rows, 8, stage="dense").lists for rows in (1, 38, 78, 10_000)] == [1, 1, 2, 256]


@given(st.integers(1, 10**8), st.integers(1, 2000))
def test_a_search_sees_enough_rows_for_its_depth(rows, depth):
    lists = plan("ivf", rows, 8, stage="dense").lists
    probes = nprobe(lists, rows, depth)
    assert 1 <= probes <= lists
    assert probes == lists or probes * rows / lists >= 4 * depth


@pytest.mark.parametrize(
    ("kind", "rows", "settings", "message"),
    [
        (
            "ivf_pq",
            15,
            {},
            "too few vectors to learn .*; got '15 vectors'; .*at least 16; fix",
        ),
        (
            "ivf_pq",
            5000,
            {"code_bytes": 5},
            "12 dimensions .*; got 'code_bytes 5'; accepted: 1, 2, 3, 6",
        ),
        ("ivf_pq", 5000, {"code_bytes": 0}, "code_bytes is out of range"),
        ("ivf", 100, {"nlist": 101}, "100 vectors are too few .* got 'nlist 101'; accepted: at most 100; 2 or fewer"),
        ("ivf", 100, {"nlist": 0}, "nlist is out of range"),
        ("hnsw", 100, {"links": 1}, "links is out of range"),
        ("hnsw", 100, {"links": 2.5}, "links is out of range"),
    ],
)
def test_what_can_not_be_built_is_an_error(kind, rows, settings, message):
    with pytest.raises(UsageError, match=f"^dense: .*{message}"):
        plan(kind, rows, 12, settings, stage="dense")
