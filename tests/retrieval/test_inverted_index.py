"""The inverted index against plain Python, on disk and in memory, whole and damaged."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DamagedIndexError, DataError, NotFoundError
from rankloom.files import MANIFEST
from rankloom.ids import DocIds
from rankloom.retrieval import InvertedIndex, postings
from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.vocabulary import Vocabulary

TERMS = st.sampled_from(["a", "b", "blue", "\u6f22", "\U0001f600", "\uffff", "z" * 300, "\x00"])
DOCUMENTS = st.lists(st.lists(TERMS, max_size=12), max_size=12)


def ids_of(documents):
    return DocIds.encode([f"d{number:04}" for number in range(len(documents))])[0]


def check_against(index, documents):
    """Everything the index says, against counting by hand."""
    assert len(index) == len(documents)
    assert index.lengths.tolist() == [len(document) for document in documents]
    assert index.total_terms == sum(map(len, documents))
    assert index.nonempty_documents == sum(map(bool, documents))
    counts = [Counter(document) for document in documents]
    terms = sorted(set().union(*counts))
    assert index.vocabulary.take(range(len(index.vocabulary))) == terms
    for term in [*terms, "unknown", ""]:
        found = index.postings(term)
        expected = [(code, count[term]) for code, count in enumerate(counts) if count[term]]
        assert list(zip(found.documents.tolist(), found.frequencies.tolist(), strict=True)) == expected
        assert index.document_frequencies([term]).tolist() == [len(expected)]
    assert [index.term_vector(code) for code in range(len(index))] == counts


@settings(deadline=None)
@given(DOCUMENTS)
def test_in_memory_as_counted_by_hand(documents):
    check_against(InvertedIndex.of(ids_of(documents), iter(documents)), documents)


@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 30))
def test_blocks_do_not_show(documents, block):
    whole = InvertedIndex.of(ids_of(documents), documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "_BLOCK_TERMS", block)
        in_blocks = InvertedIndex.of(ids_of(documents), documents)
    assert in_blocks.fingerprint() == whole.fingerprint()


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [[]],
        [["a"], [], ["b", "a", "b"]],
        [["t" + str(number % 97) for number in range(size)] for size in range(200)],
    ],
)
def test_on_disk_as_counted_by_hand(documents, tmp_path):
    built = InvertedIndex.build(tmp_path / "index", ids_of(documents), documents, about={"analyzer": "x"})
    check_against(built, documents)
    again = InvertedIndex.open(tmp_path / "index", verify=True)
    check_against(again, documents)
    assert again.about == {"analyzer": "x"}
    assert list(again.ids) == list(ids_of(documents))
    assert again.fingerprint() == built.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_what_is_opened_is_mapped_and_can_not_be_written(tmp_path):
    index = InvertedIndex.build(tmp_path / "index", ids_of([["a"]]), [["a"]])
    with pytest.raises(ValueError, match="read-only"):
        index.lengths[0] = 7


def test_fingerprints_tell_indexes_apart(tmp_path):
    texts = {"one": [["a"], ["b"]], "two": [["a"], ["b", "b"]], "three": [["a"], ["c"]]}
    ids = ids_of([[], []])
    on_disk = {InvertedIndex.build(tmp_path / name, ids, documents).fingerprint() for name, documents in texts.items()}
    in_memory = {InvertedIndex.of(ids, documents).fingerprint() for documents in texts.values()}
    assert (len(on_disk), len(in_memory)) == (3, 3)
    assert InvertedIndex.build(tmp_path / "again", ids, texts["one"]).fingerprint() in on_disk
    assert InvertedIndex.of(ids, texts["one"], about={"analyzer": "x"}).fingerprint() not in in_memory


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_documents_as_ids(count, tmp_path):
    with pytest.raises(DataError, match=f"{count} documents for 2 ids"):
        InvertedIndex.build(tmp_path / "index", ids_of([[], []]), [["a"]] * count)
    assert not list(tmp_path.iterdir())


def test_a_build_that_fails_leaves_what_was_there(tmp_path):
    def broken():
        yield ["new"]
        raise RuntimeError("the source broke")

    InvertedIndex.build(tmp_path / "index", ids_of([[]]), [["old"]])
    with pytest.raises(RuntimeError):
        InvertedIndex.build(tmp_path / "index", ids_of([[], []]), broken())
    assert InvertedIndex.open(tmp_path / "index").term_vector(0) == {"old": 1}
    InvertedIndex.build(tmp_path / "index", ids_of([[]]), [["new"]])
    assert InvertedIndex.open(tmp_path / "index", verify=True).term_vector(0) == {"new": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("code", [-1, 2])
def test_term_vector_of_no_document(code):
    with pytest.raises(IndexError):
        InvertedIndex.of(ids_of([[], []]), [[], ["a"]]).term_vector(code)


# --- damage --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    documents = [["a", "b"], ["b", "c", "c"], ["a"]]
    InvertedIndex.build(tmp_path / "index", ids_of(documents), documents)
    return tmp_path / "index"


FILES = ["ids.arrow", "terms.arrow", "posting_offsets.npy", "posting_documents.npy", "forward_terms.npy", "lengths.npy"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_missing(folder, name):
    (folder / name).unlink()
    with pytest.raises(DamagedIndexError, match=name):
        InvertedIndex.open(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_file_is_cut_off(folder, name, kept):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:kept])
    with pytest.raises(DamagedIndexError):
        InvertedIndex.open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_another_index_s(folder, name, tmp_path):
    other = [["a", "b", "d", "e"], ["b"], ["a"], ["a"]]
    InvertedIndex.build(tmp_path / "other", ids_of(other), other)
    (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(DamagedIndexError):
        InvertedIndex.open(folder)


def test_a_changed_byte_is_found_when_asked(folder):
    data = bytearray((folder / "posting_documents.npy").read_bytes())
    data[-1] ^= 1
    (folder / "posting_documents.npy").write_bytes(bytes(data))
    with pytest.raises(DamagedIndexError, match="posting_documents"):
        InvertedIndex.open(folder, verify=True)


@pytest.mark.parametrize(
    "change", [{"format": "something-else"}, {"version": 99}, {"documents": 7}, {"postings": "x"}, {"about": None}]
)
def test_a_foreign_manifest(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **change}))
    with pytest.raises(DamagedIndexError, match="fix:"):
        InvertedIndex.open(folder)


def test_no_manifest_no_index(folder, tmp_path):
    (folder / MANIFEST).unlink()
    with pytest.raises(DamagedIndexError):
        InvertedIndex.open(folder)
    with pytest.raises(NotFoundError):
        InvertedIndex.open(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DamagedIndexError):
        InvertedIndex.open(tmp_path / "empty")


# --- the parts -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sets(st.text(min_size=1)), st.text())
def test_vocabulary_is_sorted_and_finds(terms, other):
    vocabulary, numbers = Vocabulary.number(list(terms))
    assert vocabulary.take(numbers) == list(terms)
    assert vocabulary.take(range(len(terms))) == sorted(terms)
    for term in [*terms, *terms, other]:  # twice: the second time from memory
        assert vocabulary.find(term) == (sorted(terms).index(term) if term in terms else None)


def lucene_code(length):
    """SmallFloat.intToByte4, bit by bit."""

    def int4(value):
        bits = value.bit_length()
        return value if bits < 4 else (value >> (bits - 4)) & 7 | (bits - 3) << 3

    free = 255 - int4(2**31 - 1)
    return length if length < free else free + int4(length - free)


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_length_codes_are_lucenes(length):
    code = int(length_codes(np.array([length], dtype=np.int32))[0])
    assert code == lucene_code(length)
    assert LENGTHS[code] <= length
    assert code == 255 or LENGTHS[code + 1] > length


def test_short_lengths_are_exact():
    assert LENGTHS[length_codes(np.arange(40, dtype=np.int32))].tolist() == list(range(40))
