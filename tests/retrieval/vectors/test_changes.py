"""Indexes that are added to, deleted from, compacted, reopened and killed, against brute force."""

import errno
import os
import shutil
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Session
from rankloom.corpus import Corpus
from rankloom.encoders import Encoded
from rankloom.errors import DamagedIndexError, DataError, StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.retrieval import VectorIndex
from rankloom.retrieval.vectors import commit
from rankloom.retrieval.vectors.vector_parts import VectorParts

SESSION = Session(offline=True)


class Spelled:
    """An encoder without a model: a text is numbers, and `|` stands between its windows."""

    model = "spelled"

    def fingerprint(self):
        return digest(self.model)

    def settings(self):
        return {}

    def precision_in(self, session):  # noqa: ARG002
        return "float32"

    def resolve(self, session):
        pass

    load = resolve

    def close(self):
        pass

    def encode(self, texts, *, role, session):  # noqa: ARG002
        vectors = np.array([[float(number) for number in text.split()] for text in texts], dtype=np.float32)
        nothing = np.zeros(len(texts), dtype=np.int64)
        return Encoded(vectors.reshape(-1, 2), nothing, nothing, 1)

    def passages(self, texts, session):  # noqa: ARG002
        return [text.split("|") for text in texts]


def documents(held):
    """Documents by id, as the encoder reads them."""
    texts = {doc_id: "|".join(" ".join(map(str, row)) for row in rows) for doc_id, rows in held.items()}
    return [Document(doc_id, text) for doc_id, text in texts.items()]


def expected(held, query, k):
    """Ids and scores by the best row of each document; whole numbers, so sums are exact."""
    scores = {doc_id: max(int(np.dot(row, query)) for row in rows) for doc_id, rows in held.items()}
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:k]


def check(index, held):
    assert list(index.ids) == sorted(held)
    for query in [(1, 0), (0, 1), (2, -1), (0, 0)]:
        for k in (1, 3, 100):
            codes, scores = index.search(np.array([query], dtype=np.float32), k).of(0)
            found = list(zip(index.ids.take(codes), scores.tolist(), strict=True))
            assert found == expected(held, query, k)
    means = [np.mean(held[doc_id], axis=0) for doc_id in index.ids]
    vectors = index.vectors(np.arange(len(index), dtype=np.int32))
    np.testing.assert_allclose(vectors, np.reshape(means, (-1, 2)), rtol=1e-6)


ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=3)
IDS = st.sampled_from([f"d{number}" for number in range(12)])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(IDS, ROWS, min_size=1, max_size=4)),
        st.tuples(st.just("delete"), st.sets(IDS, min_size=1, max_size=3)),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=6,
)


def applied(index, held, change, path):
    """The index and the documents after a change."""
    what, how = change
    if what == "add":
        new = {doc_id: rows for doc_id, rows in how.items() if doc_id not in held}
        if len(new) < len(how):
            with pytest.raises(DataError, match="in the index already"):
                index.add(documents(how), session=SESSION)
        return (index.add(documents(new), session=SESSION), held | new) if new else (index, held)
    if what == "delete":
        known = sorted(how & held.keys())
        if len(known) < len(how):
            with pytest.raises(DataError, match="not in the index"):
                index.delete(sorted(how))
        left = {doc_id: rows for doc_id, rows in held.items() if doc_id not in known}
        return (index.delete(known), left) if known else (index, held)
    if what == "compact":
        compacted = index.compact()
        assert compacted.describe()["deleted_rows"] == 0
        return compacted, held
    return (VectorIndex.open(path, encoder=Spelled(), verify=True) if path else index), held


@pytest.mark.parametrize("kind", ["exact_int8", "exact_float32"])
@pytest.mark.parametrize("on_disk", [False, True])
@settings(max_examples=25, deadline=None)
@given(first=st.dictionaries(IDS, ROWS, min_size=1, max_size=6), changes=CHANGES)
def test_any_changes(kind, on_disk, tmp_path_factory, first, changes):
    corpus, path = Corpus.of(documents(first)), None
    if on_disk:
        path = tmp_path_factory.mktemp("changes") / "index"
        index = VectorIndex.build(corpus, path, encoder=Spelled(), session=SESSION, kind=kind)
    else:
        index = VectorIndex.of(corpus, encoder=Spelled(), session=SESSION, kind=kind)
    check(index, first)
    held, before = first, [(index, first)]
    for change in changes:
        index, held = applied(index, held, change, path)
        check(index, held)
        before.append((index, held))
    for old, then in before:  # whoever holds an index from before goes on searching it
        check(old, then)
    if on_disk:
        check(VectorIndex.open(path, encoder=Spelled(), verify=True), held)
        shutil.rmtree(path.parent)


# --- commits -------------------------------------------------------------------------------------------------

HELD = {"a": [(1, 0)], "b": [(0, 1), (2, 2)], "c": [(3, -1)]}


@pytest.fixture
def path(tmp_path):
    VectorIndex.build(Corpus.of(documents(HELD)), tmp_path / "index", encoder=Spelled(), session=SESSION)
    return tmp_path / "index"


def opened(path):
    return VectorIndex.open(path, encoder=Spelled(), verify=True)


class Killed(BaseException):
    """Stands for the death of the process."""


def changed(index, change, new):
    if change == "add":
        return index.add(documents(new), session=SESSION)
    return index.delete(["c"]) if change == "delete" else index.compact()


@pytest.mark.parametrize("change", ["add", "delete", "compact"])
def test_killed_at_any_write_it_is_the_old_index_or_the_new_one(change, path, tmp_path, monkeypatch):
    new = {"d": [(5, 5)]}
    outcomes = set()
    for kill_at in count():
        there = tmp_path / f"copy{kill_at}"
        shutil.copytree(path, there)
        index = opened(there)
        if change == "compact":
            index = index.delete(["a"])
        held = {doc_id: rows for doc_id, rows in HELD.items() if doc_id in index.ids}
        calls = count()

        def dying(function, calls=calls, kill_at=kill_at):
            def wrapped(*args, **options):
                if next(calls) == kill_at:
                    raise Killed
                return function(*args, **options)

            return wrapped

        with monkeypatch.context() as patched:
            for name in ("write_generation", "write_manifest", "write_json", "_remove_unnamed", "MatrixFile"):
                patched.setattr(commit, name, dying(getattr(commit, name)))
            patched.setattr(np, "save", dying(np.save))
            patched.setattr("pathlib.Path.replace", dying(type(there).replace))
            try:
                after = changed(index, change, new)
                killed = False
            except Killed:
                killed = True
        wanted = {"add": held | new, "delete": {k: v for k, v in held.items() if k != "c"}, "compact": held}[change]
        now = opened(there)
        outcomes.add(now.contents.generation)
        there_now = wanted if now.contents.generation > index.contents.generation else held
        check(now, there_now)
        check(index, held)
        check(now.add(documents({"z": [(7, 7)]}), session=SESSION), {**there_now, "z": [(7, 7)]})
        assert not [path for path in there.rglob("*") if ".tmp" in path.name]
        if not killed:
            check(after, wanted)
            break
    assert len(outcomes) == 2
    assert kill_at > 4


def test_what_was_deleted_is_gone_after_compacting(path):
    rows = opened(path).describe()["rows"]
    index = opened(path).delete(["b"])
    assert (index.describe()["rows"], index.describe()["deleted_rows"]) == (rows, 2)
    assert index.compact().describe()["rows"] == rows - 2
    assert {one.name for one in path.iterdir()} == {"manifest.json", "lock", "000003"}


def test_an_index_that_has_changed_since_is_not_changed_again(path):
    old = opened(path)
    old.delete(["a"])
    with pytest.raises(UsageError, match="has been changed since"):
        old.delete(["b"])
    check(opened(path), {doc_id: rows for doc_id, rows in HELD.items() if doc_id != "a"})


def test_one_writer_at_a_time(path):
    from rankloom.retrieval.index_lock import locked

    lock = locked(path / "lock")
    try:
        with pytest.raises(UsageError, match="another writer"):
            opened(path).delete(["a"])
    finally:
        lock.release()


def test_a_changed_index_is_no_longer_that_of_its_corpus(path):
    corpus = Corpus.of(documents(HELD))
    index = VectorIndex.open(path, corpus=corpus, encoder=Spelled())
    assert index.documents is corpus
    less = index.delete(["a"])
    assert less.documents is None
    with pytest.raises(UsageError, match="does not hold the documents"):
        VectorIndex.open(path, corpus=corpus, encoder=Spelled())
    left = Corpus.of([document for document in corpus if document.id != "a"])
    assert VectorIndex.open(path, corpus=left, encoder=Spelled()).documents is left
    again = less.add([corpus.get(["a"])[0]], session=SESSION, corpus=corpus)
    assert again.documents is corpus
    assert len({one.fingerprint() for one in (index, less, again)}) == 3


@pytest.mark.parametrize("wrong", [["a", "a"], ["a", "x"], [""]])
def test_wrong_ids_are_errors(wrong, path):
    with pytest.raises(DataError):
        opened(path).delete(wrong)
    with pytest.raises(DataError):
        opened(path).add(documents({"n": [(1, 1)]}) * 2, session=SESSION)
    check(opened(path), HELD)


def test_an_index_may_lose_all_documents_and_gain_others(path):
    index = opened(path).delete(list(HELD))
    check(index, {})
    check(index.add(documents({"n": [(1, 1)]}), session=SESSION), {"n": [(1, 1)]})


def test_damage_of_any_file_of_a_changed_index_is_found(path):
    opened(path).add(documents({"n": [(1, 1)]}), session=SESSION)
    for file in [one for one in path.rglob("*") if one.is_file() and one.name != "lock"]:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(DamagedIndexError):
            opened(path)
        file.write_bytes(content)
    opened(path)


# --- what must not come into an index ------------------------------------------------------------------------


def test_an_index_that_was_built_anew_is_not_changed_through_the_one_before(path):
    old = opened(path)
    others = {"x": [(9, 9)], "y": [(8, 8)], "z": [(7, 7)]}
    VectorIndex.build(Corpus.of(documents(others)), path, encoder=Spelled(), session=SESSION)
    for change in ("add", "delete", "compact"):
        with pytest.raises(UsageError, match="another was put in its place"):
            changed(old, change, {"d": [(5, 5)]})
    check(opened(path), others)
    check(old, HELD)


class Wide(Spelled):
    """Spelled, but its vectors have another width than the index's."""

    def encode(self, texts, *, role, session):
        vectors, *others = super().encode(texts, role=role, session=session)
        return Encoded(np.repeat(vectors, 2, axis=1), *others)


@pytest.mark.parametrize("on_disk", [False, True])
def test_vectors_of_another_width_are_refused_and_nothing_is_written(on_disk, path):
    corpus = Corpus.of(documents(HELD))
    index = opened(path) if on_disk else VectorIndex.of(corpus, encoder=Spelled(), session=SESSION)
    wide = VectorIndex(index.contents, encoder=Wide(), path=index.path)
    before = sorted(file.name for file in path.iterdir())
    with pytest.raises(DataError, match=r"shape \(1, 4\).*\(rows, 2\).*fix: "):
        wide.add(documents({"d": [(5, 5)]}), session=SESSION)
    check(opened(path) if on_disk else index, HELD)
    assert {*before, "lock"} >= {file.name for file in path.iterdir()}


@pytest.mark.parametrize("on_disk", [False, True])
def test_blocks_of_different_widths_are_refused(on_disk, tmp_path):
    blocks = [np.ones((2, 2), dtype=np.float32), np.ones((1, 4), dtype=np.float32)]
    with pytest.raises(DataError, match="can not stand in one matrix"):
        VectorIndex.from_vectors(
            ["a", "b", "c"], iter(blocks), encoder=Spelled(), path=tmp_path / "new" if on_disk else None
        )
    assert not (tmp_path / "new").exists()


def test_a_commit_that_can_not_be_read_again_leaves_the_index_as_it_was(path, monkeypatch):
    index, write = opened(path), commit.write_generation

    def cut(place, contents):
        write(place, contents)
        np.save(place / "owners.npy", contents.owners[:-1])

    monkeypatch.setattr(commit, "write_generation", cut)
    with pytest.raises(DamagedIndexError, match="number of rows"):
        index.delete(["a"])
    monkeypatch.undo()
    check(opened(path), HELD)
    check(opened(path).delete(["a"]), {doc_id: rows for doc_id, rows in HELD.items() if doc_id != "a"})


@pytest.mark.parametrize("refusal", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOMEM])
@pytest.mark.parametrize("where", ["vectors", "manifest"])
def test_what_the_system_refuses_is_not_called_damage(refusal, where, path, monkeypatch):
    def refused(*_, **__):
        raise OSError(refusal, os.strerror(refusal))

    if where == "vectors":
        monkeypatch.setattr(commit, "mapped", refused)
    else:
        monkeypatch.setattr("pathlib.Path.read_text", refused)
    with pytest.raises(StageError, match=f"can not be read now.*{os.strerror(refusal)}.*fix: ") as caught:
        opened(path)
    assert "build it again" not in str(caught.value)


# --- many changes, few documents -----------------------------------------------------------------------------


def test_many_additions_leave_few_files(path):
    held, index = dict(HELD), opened(path)
    for number in range(33):
        new = {f"n{number:02}": [(number, 1)]}
        index, held = index.add(documents(new), session=SESSION), held | new
        sizes = [len(part) for part in index.contents.vectors.parts]
        assert all(first >= 2 * second for first, second in pairwise(sizes))
        assert len(index.contents.files) == len(sizes) == len(list(path.glob("*/vectors.npy")))
    check(opened(path), held)
    assert len(sizes) <= 6


def test_an_addition_that_was_killed_goes_on_from_its_shards(path, tmp_path, monkeypatch):
    monkeypatch.setattr("rankloom.retrieval.vectors.shards.SHARD_SIZE", 2)
    encoded = []

    class Dying(Spelled):
        def encode(self, texts, *, role, session):
            if len(encoded) == 2:
                raise Killed
            encoded.append(list(texts))
            return super().encode(texts, role=role, session=session)

    new = {f"n{number}": [(number, 1)] for number in range(5)}
    with pytest.raises(Killed):
        VectorIndex.open(path, encoder=Dying()).add(documents(new), session=SESSION)
    assert len(encoded) == 2
    encoded.pop()  # room for one more
    with pytest.raises(DataError, match="in the index already"):
        opened(path).add(documents({"a": [(1, 1)]}), session=SESSION)
    index = VectorIndex.open(path, encoder=Dying()).add(documents(new), session=SESSION)
    assert len(encoded) == 2
    check(index, HELD | new)
    assert not list(tmp_path.glob("*.shards"))


def test_compacting_holds_a_block_of_rows_in_memory(path, monkeypatch):
    monkeypatch.setattr("rankloom.retrieval.vectors.changes._BLOCK", 2)
    index, taken = opened(path).delete(["a"]), []
    take = VectorParts.take

    def watched(self, rows):
        taken.append(len(rows))
        return take(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(VectorParts, "take", watched)
        compacted = index.compact()
    assert sum(taken) == 3
    assert max(taken) <= 2
    check(compacted, {doc_id: rows for doc_id, rows in HELD.items() if doc_id != "a"})


LEARNING = [("ivf_pq", {}), ("ivf_pq", {"nlist": 20}), ("ivf", {"nlist": 20}), ("ivf_sq8", {}), ("sq8", {})]


@pytest.mark.parametrize(("kind", "settings"), LEARNING)
@pytest.mark.parametrize("on_disk", [False, True])
def test_compacting_to_few_documents_or_none_and_adding_again(kind, settings, on_disk, tmp_path):
    held = {f"m{number:02}": [(number % 7 - 3, number // 7)] for number in range(40)}
    vectors = np.array([rows[0] for rows in held.values()], dtype=np.float32)
    path = tmp_path / "index" if on_disk else None
    index = VectorIndex.from_vectors(list(held), vectors, encoder=Spelled(), path=path, kind=kind, settings=settings)
    for left in (3, 0):
        gone, held = sorted(held)[left:], dict(sorted(held.items())[:left])
        index = index.delete(gone).compact()
        assert (index.kind, index.describe()["rows"]) == (kind, left)
        found = len(index.search(np.ones((1, 2), dtype=np.float32), 5).codes)
        assert bool(left) <= found <= left if kind == "ivf_pq" else found == left
    new = {f"n{number}": [(number, 1)] for number in range(3)}
    index = index.add(documents(new), session=SESSION)
    found = index.ids.take(index.search(np.ones((1, 2), dtype=np.float32), 5).codes)
    # codes of two dimensions are so coarse that `ivf_pq` reports fewer rows than there are
    assert found[0] == "n2" if kind == "ivf_pq" else found == ["n2", "n1", "n0"]


@pytest.mark.parametrize("kind", ["ivf", "sq8", "ivf_pq"])
def test_an_index_made_of_nothing_learns_from_what_is_added_first(kind):
    nothing = np.zeros((0, 2), dtype=np.float32)
    if kind == "ivf_pq":
        with pytest.raises(UsageError, match="too few vectors"):
            VectorIndex.from_vectors([], nothing, encoder=Spelled(), kind=kind)
        return
    index = VectorIndex.from_vectors([], nothing, encoder=Spelled(), kind=kind)
    new = {f"n{number}": [(number, 1)] for number in range(3)}
    index = index.add(documents(new), session=SESSION)
    assert index.ids.take(index.search(np.ones((1, 2), dtype=np.float32), 5).codes) == ["n2", "n1", "n0"]


def test_adding_nothing_is_no_change_of_the_documents(path):
    check(opened(path).add([], session=SESSION), HELD)
