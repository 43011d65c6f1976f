"""The vector index over every kind of search: given vectors, windows, settings by name, and what it says of itself."""

import numpy as np
import pytest

from rankloom import Query, Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import DataError, UsageError
from rankloom.retrieval import Dense, VectorIndex
from rankloom.retrieval.vectors import assembly, exact_search
from rankloom.retrieval.vectors.row_kinds import KINDS

ENCODER = SentenceEncoder("none")
RNG = np.random.default_rng(11)
CENTRES = RNG.standard_normal((40, 16))
MATRIX = (CENTRES[RNG.integers(0, 40, 2000)] + 0.5 * RNG.standard_normal((2000, 16))).astype(np.float32)
IDS = [f"d{number:04d}" for number in RNG.permutation(2000)]
QUERIES = MATRIX[:20] + np.float32(0.1)
APPROXIMATE = sorted(KINDS.keys() - {"exact_int8", "exact_float32"})


def exact(k, **options):
    return VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, **options).search(QUERIES, k)


def overlap(one, other, k):
    """How much of the best k two searches share."""
    pairs = ((set(one.of(q)[0].tolist()), set(other.of(q)[0].tolist())) for q in range(len(QUERIES)))
    return np.mean([len(first & second) / k for first, second in pairs])


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_every_kind_finds_most_and_rescores_exactly(kind, tmp_path):
    best = exact(10)
    index = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind=kind, path=tmp_path / "index")
    assert (index.kind, index.describe()["exact"]) == (kind, False)
    again = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind=kind)
    assert again.fingerprint() == index.fingerprint()
    hits = index.search(QUERIES, 10, rescore=100)
    assert overlap(hits, best, 10) > 0.8
    scores = dict(zip(best.codes[:10].tolist(), best.scores[:10].tolist(), strict=True))
    codes, found = hits.of(0)
    assert codes[0] == best.codes[0]
    for code, score in zip(codes.tolist(), found.tolist(), strict=True):
        assert score == scores.get(code, score)  # to the last bit
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_sq8"])
def test_deleted_documents_are_not_found_and_added_ones_are(kind, tmp_path):
    index = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind=kind, path=tmp_path / "index")
    gone = index.ids.take(index.search(QUERIES[:1], 3).codes)
    less = index.delete(gone)
    found = less.ids.take(less.search(QUERIES[:1], 200).codes)
    assert not set(gone) & set(found)
    assert index.ids.take(index.search(QUERIES[:1], 3).codes) == gone
    compacted = less.compact()
    assert compacted.kind == kind
    assert len(compacted) == len(IDS) - 3
    assert not set(gone) & set(compacted.ids.take(compacted.search(QUERIES[:1], 200).codes))


def test_settings_are_those_of_the_kind():
    with pytest.raises(UsageError, match="kind hnsw has no nlist"):
        VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind="hnsw", settings={"nlist": 4})
    with pytest.raises(UsageError, match="kind auto has no links"):
        VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, settings={"links": 4})
    with pytest.raises(UsageError, match="did you mean 'ivf_pq'"):
        VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind="ivfpq")
    lists = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind="ivf", settings={"nlist": 8})
    assert lists.describe()["settings"]["nlist"] == 8
    assert Dense(lists, nprobe=2).replace(nprobe=8).nprobe == 8
    with pytest.raises(UsageError, match="kind ivf has no ef"):
        Dense(lists, ef=100)
    with pytest.raises(UsageError, match="nprobe is out of range"):
        Dense(lists, nprobe=0)
    plain = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER)
    for options in ({"nprobe": 3}, {"ef": 3}, {"rescore": 50}):
        with pytest.raises(UsageError, match="exact_float32"):
            Dense(plain, **options)


def test_more_lists_find_more_and_too_few_are_noted():
    index = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind="ivf", settings={"nlist": 40})
    best = exact(10)
    shares = [overlap(index.search(QUERIES, 10, effort={"nprobe": lists}), best, 10) for lists in (1, 4, 40)]
    assert shares[0] < shares[1] <= shares[2] == 1
    queries = [Query("q", "x").with_vector(index.space, QUERIES[0])]
    run = Dense(index, k=1500, nprobe=1).run(queries, session=Session(offline=True))
    (note,) = run.ledger.of("approximate")
    assert (note.query_id, note.amount) == ("q", 1500 - len(run["q"]))
    whole = Dense(index, k=1500, nprobe=40).run(queries, session=Session(offline=True))
    assert whole.ledger.of("approximate") == ()


@pytest.mark.parametrize("kind", ["exact_int8", "exact_float32", "hnsw"])
def test_a_document_of_several_rows_has_its_best(kind):
    owners = RNG.integers(0, 300, 2000)
    names = [f"d{owner:03d}" for owner in owners]
    index = VectorIndex.from_vectors(names, MATRIX, encoder=ENCODER, several=True, kind=kind)
    for k in (1, 20, 300):
        hits = index.search(QUERIES, k, effort={"ef": 2000} if kind == "hnsw" else {})
        for number, query in enumerate(QUERIES):
            scores = (MATRIX.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
            best = {
                name: max(scores[place] for place in np.flatnonzero(owners == int(name[1:]))) for name in set(names)
            }
            expected = sorted(best.items(), key=lambda one: (-one[1], one[0]))[:k]
            codes, found = hits.of(number)
            assert index.ids.take(codes) == [name for name, _ in expected]
            np.testing.assert_allclose(found, [score for _, score in expected], rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match="several=True"):
        VectorIndex.from_vectors(names, MATRIX, encoder=ENCODER)


def test_vectors_come_as_arrays_files_or_blocks(tmp_path, monkeypatch):
    np.save(tmp_path / "given.npy", MATRIX)
    whole = exact(10, path=tmp_path / "array")
    for name, given in {"file": tmp_path / "given.npy", "blocks": iter(np.split(MATRIX, [300, 1700]))}.items():
        hits = exact(10, path=tmp_path / name) if given is None else VectorIndex.from_vectors(
            IDS, given, encoder=ENCODER, path=tmp_path / name
        ).search(QUERIES, 10)  # fmt: skip
        assert [column.tobytes() for column in hits] == [column.tobytes() for column in whole]
        for file in ("000001/vectors.npy", "manifest.json"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "array" / file).read_bytes()
    monkeypatch.setattr(assembly, "_BLOCK", 100)
    VectorIndex.from_vectors(IDS, tmp_path / "given.npy", encoder=ENCODER, path=tmp_path / "small")
    assert (tmp_path / "small/manifest.json").read_bytes() == (tmp_path / "array/manifest.json").read_bytes()


@pytest.mark.parametrize("wrong", [MATRIX[:-1], np.vstack([MATRIX, MATRIX[:1]]), MATRIX[0]])
def test_vectors_that_do_not_fit_their_ids_are_errors(wrong, tmp_path):
    with pytest.raises(DataError, match="do not fit together"):
        VectorIndex.from_vectors(IDS, wrong, encoder=ENCODER, path=tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_mapped_vectors_are_scanned_in_small_blocks(tmp_path, monkeypatch):
    index = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind="exact_int8", path=tmp_path / "index")
    assert isinstance(index.contents.vectors.parts[0], np.memmap)
    monkeypatch.setattr(exact_search, "BLOCK", 64)
    assert [column.tobytes() for column in index.search(QUERIES, 10)] == [column.tobytes() for column in exact(10)]


def test_it_says_what_it_is(tmp_path):
    index = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, path=tmp_path / "index")
    assert "2000 documents by none, searched by exact_float32" in repr(index)
    described = index.describe()
    assert described["exact"] is True
    assert described["vector_bytes"] == MATRIX.nbytes
    large = VectorIndex.from_vectors(IDS, MATRIX, encoder=ENCODER, kind="exact_int8")
    assert large.describe()["searched_bytes"] == len(MATRIX) * (16 + 12)
