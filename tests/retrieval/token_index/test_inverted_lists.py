"""Inverted lists against a brute-force inversion."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DamagedIndexError
from rankloom.retrieval.token_index.inverted_lists import InvertedLists


def offsets_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def by_hand(codes, documents, centroids):
    """The documents of each centroid."""
    lists = [[] for _ in range(centroids)]
    for document, (begin, end) in enumerate(pairwise(documents)):
        for code in sorted(set(codes[begin:end].tolist())):
            lists[code].append(document)
    return lists


def listed(lists):
    return [lists.documents[begin:end].tolist() for begin, end in pairwise(lists.offsets)]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
@given(lengths=st.lists(st.integers(0, 6), max_size=12), centroids=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_lists_are_those_of_a_brute_force_inversion(dtype, lengths, centroids, seed):
    documents = offsets_of(lengths)
    codes = np.random.default_rng(seed).integers(0, centroids, documents[-1]).astype(dtype)
    lists = InvertedLists.build(codes, documents, centroids)
    assert len(lists) == centroids
    assert listed(lists) == by_hand(codes, documents, centroids)


def test_no_documents_and_no_centroids(tmp_path):
    lists = InvertedLists.build(np.zeros(0, dtype=np.uint16), np.zeros(1, dtype=np.int64), 0, folder=tmp_path)
    assert (len(lists), len(lists.documents)) == (0, 0)


def test_files_hold_what_memory_holds(tmp_path):
    documents = offsets_of(np.random.default_rng(1).integers(0, 50, 300))
    codes = np.random.default_rng(2).integers(0, 40, documents[-1]).astype(np.uint16)
    in_memory = InvertedLists.build(codes, documents, 40)
    built = InvertedLists.build(codes, documents, 40, folder=tmp_path)
    for lists in (built, InvertedLists.read(tmp_path)):
        assert listed(lists) == listed(in_memory) == by_hand(codes, documents, 40)
        assert lists.nbytes == in_memory.nbytes == 41 * 8 + 4 * len(in_memory.documents)


def test_damaged_files_are_told(tmp_path):
    documents = np.arange(0, 31, 3)
    lists = InvertedLists.build(np.arange(30, dtype=np.uint16) % 7, documents, 7, folder=tmp_path)
    with pytest.raises(DamagedIndexError, match=r"list_documents\.npy"):
        InvertedLists.read(tmp_path).check(9)
    InvertedLists.read(tmp_path).check(10)
    for offsets in (lists.offsets[:-1], lists.offsets + 1, lists.offsets[::-1].copy(), lists.offsets[:0]):
        np.save(tmp_path / "list_offsets.npy", offsets)
        with pytest.raises(ValueError, match="does not divide"):
            InvertedLists.read(tmp_path)
    (tmp_path / "list_documents.npy").unlink()
    np.save(tmp_path / "list_offsets.npy", lists.offsets)
    with pytest.raises(FileNotFoundError):
        InvertedLists.read(tmp_path)
