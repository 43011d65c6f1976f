"""Documents change while they are searched: what is found is what an index built anew finds, whatever breaks."""

import random
import sqlite3

import pytest

from rankloom.corpus import BESIDE, Corpus
from rankloom.errors import DataError, UsageError
from rankloom.records import Document
from rankloom.retrieval import BM25
from rankloom.retrieval.dense import Dense
from rankloom.retrieval.index.writer import ImpactIndexWriter
from rankloom.serving.live_index import LiveIndex
from rankloom.session import Session
from tests.serving.loopback import DOCUMENTS

WORDS = ["sky", "sea", "moon", "grass", "bread", "light", "tide", "yeast"]


def made(folder, documents=DOCUMENTS):
    """A folder as `rankloom index` makes it."""
    BM25.build(Corpus.build(documents, folder / BESIDE), folder / "bm25")
    return folder


@pytest.fixture
def live(tmp_path):
    live = LiveIndex.open(made(tmp_path / "index"))
    yield live
    live.close()


def hits(live, query="blue sky sea moon grass new"):
    """Everything about the hits for a query."""
    found = live.retriever("bm25", {}).search(query, 100)
    return [(hit.doc_id, hit.score, hit.text, hit.title, dict(hit.metadata)) for hit in found]


def anew(documents, query="blue sky sea moon grass new"):
    """The same of an index that is built of the documents."""
    found = BM25.of(documents).search(query, 100)
    return [(hit.doc_id, hit.score, hit.text, hit.title, dict(hit.metadata)) for hit in found]


def test_without_changes_it_is_the_index_that_is_there(live):
    assert hits(live) == anew(DOCUMENTS)
    assert (len(live), live.change) == (4, 0)


def test_an_empty_folder_begins_empty_and_finds_what_is_put_in(tmp_path):
    live = LiveIndex.open(tmp_path / "new")
    assert (len(live), hits(live)) == (0, [])
    live.put(DOCUMENTS)
    assert hits(live) == anew(DOCUMENTS)
    assert live.delete([one.id for one in DOCUMENTS]) == [one.id for one in DOCUMENTS]
    assert (len(live), hits(live)) == (0, [])
    live.close()


@pytest.mark.parametrize("seed", range(3))
def test_any_changes_leave_what_an_index_built_anew_finds(tmp_path, seed):
    draw = random.Random(seed)
    live, held = LiveIndex.open(made(tmp_path / "index")), {one.id: one for one in DOCUMENTS}
    for number in range(12):
        if draw.random() < 0.4 and held:
            gone = draw.sample(sorted(held), k=min(len(held), draw.randint(1, 2)))
            assert live.delete([*gone, "nobody"]) == gone
            for doc_id in gone:
                del held[doc_id]
        else:
            ids = draw.sample(["sky", "sea", "moon", "a", "b", "c", "d/e"], k=draw.randint(1, 3))
            new = [Document(i, " ".join(draw.choices(WORDS, k=5)), f"new {number}", {"n": number}) for i in ids]
            live.put(new)
            held |= {one.id: one for one in new}
        assert len(live) == len(held)
        if draw.random() < 0.3:
            live.close()
            live = LiveIndex.open(tmp_path / "index")
        if held:
            assert hits(live) == anew(list(held.values()))
        assert {doc_id: live.get(doc_id) for doc_id in [*held, "nobody"]} == {**held, "nobody": None}
    live.close()


def test_a_search_under_way_sees_the_documents_from_before(live):
    before = live.retriever("bm25", {})
    wanted = hits(live)
    live.put([Document("sky", "Changed sky."), Document("new", "A new sky.")])
    live.delete(["sea", "moon"])
    live.put([Document("sky", "Changed again, sky.")])
    found = before.search("blue sky sea moon grass new", 100)
    assert [(hit.doc_id, hit.score, hit.text, hit.title, dict(hit.metadata)) for hit in found] == wanted


def test_rows_that_no_reader_asks_for_any_more_are_dropped(live, tmp_path):
    for number in range(5):
        live.put([Document("new", f"The text of change {number}.")])
    rows = sqlite3.connect(tmp_path / "index" / "documents.sqlite").execute("SELECT count(*) FROM documents")
    assert rows.fetchone()[0] <= 2  # that of now, and that of the change before it


# --- what can go wrong ---------------------------------------------------------------------------------------------


def test_a_change_that_can_not_be_indexed_is_taken_back(live, monkeypatch):
    def fail(*_):
        raise RuntimeError("no")

    wanted = hits(live)
    with monkeypatch.context() as broken:
        broken.setattr(ImpactIndexWriter, "commit", fail)
        with pytest.raises(RuntimeError, match="no"):
            live.put([Document("sky", "Changed."), Document("new", "New.")])
        with pytest.raises(RuntimeError, match="no"):
            live.delete(["sea"])
    assert (hits(live), live.get("new"), len(live)) == (wanted, None, 4)
    live.put([Document("new", "New.")])
    assert hits(live) == anew([*DOCUMENTS, Document("new", "New.")])


@pytest.mark.parametrize("taken_in", [False, True])
def test_what_a_killed_process_wrote_is_found_by_the_next(tmp_path, monkeypatch, taken_in):
    live = LiveIndex.open(made(tmp_path / "index"))

    class Killed(BaseException):
        """The end of the process."""

    def killed(*_):
        raise Killed

    new = Document("new", "New.")
    store = live._store
    number = store.write([new, Document("sky", "Changed sky.")], ["sea"])
    if taken_in:  # it was killed after the index had its commit, and before the store knew
        monkeypatch.setattr(type(store), "taken_in", killed)
        with pytest.raises(Killed):
            live._bring_in_line()
        monkeypatch.undo()
    live.close()
    live = LiveIndex.open(tmp_path / "index")
    by_id = {one.id: one for one in DOCUMENTS} | {"new": new, "sky": Document("sky", "Changed sky.")}
    del by_id["sea"]
    assert hits(live) == anew(list(by_id.values()))
    assert live.change == number
    live.close()


def test_one_server_at_a_time(live, tmp_path):
    with pytest.raises(UsageError, match="another writer is at work"):
        LiveIndex.open(tmp_path / "index")
    assert hits(live) == anew(DOCUMENTS)


def test_an_id_that_stands_twice_changes_nothing(live):
    with pytest.raises(DataError, match="a document id stands twice; got 'a'"):
        live.put([Document("a", "x"), Document("b", "x"), Document("a", "y")])
    assert (len(live), live.change) == (4, 0)


# --- snapshots -----------------------------------------------------------------------------------------------------


def test_a_snapshot_is_a_folder_of_indexes(live):
    live.put([Document("new", "A new sky.")])
    live.delete(["moon"])
    folder = live.snapshot("monday-1")
    live.put([Document("later", "A later sky.")])
    corpus = Corpus.open(folder / BESIDE)
    assert sorted(one.id for one in corpus) == ["grass", "new", "sea", "sky"]
    bm25 = BM25.open(folder / "bm25")
    assert [(hit.doc_id, hit.text) for hit in bm25.search("new sky")] == [
        (hit.doc_id, hit.text) for hit in BM25.of(list(corpus)).search("new sky")
    ]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "a b", "x" * 65, "a\x00"])
def test_no_snapshot_leaves_the_folder(live, name, tmp_path):
    with pytest.raises(UsageError, match="this can not be the name of a snapshot"):
        live.snapshot(name)
    assert not (tmp_path / "index" / "snapshots").exists()


def test_a_snapshot_is_never_overwritten(live):
    live.snapshot("one")
    with pytest.raises(UsageError, match="there is a snapshot of this name"):
        live.snapshot("one")


# --- with vectors --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dense_index_follows(tmp_path):
    session = Session(offline=True, device="cpu")
    folder = made(tmp_path / "index")
    Dense.build(Corpus.open(folder / BESIDE), folder / "dense", session=session)
    live = LiveIndex.open(folder, session=session)
    assert live.words == ("bm25", "dense")
    new = [Document("new", "The colour of the heavens."), Document("sky", "A loaf of bread.")]
    live.put(new)
    live.delete(["grass"])
    live.close()
    live = LiveIndex.open(folder, session=session)
    held = [one for one in DOCUMENTS if one.id in ("sea", "moon")] + new
    found = live.retriever("dense", {"k": 3}).search("why is the sky blue", 4, session=session)
    wanted = Dense.of(Corpus.of(held), session=session).search("why is the sky blue", 3, session=session)
    assert [(hit.doc_id, hit.text) for hit in found] == [(hit.doc_id, hit.text) for hit in wanted]
    assert found.scores == pytest.approx(wanted.scores, abs=1e-5)
    snapshot = Dense.open(live.snapshot("one") / "dense", Corpus.open(folder / "snapshots" / "one" / BESIDE))
    assert snapshot.search("why is the sky blue", 3, session=session).doc_ids == wanted.doc_ids
    live.close()
