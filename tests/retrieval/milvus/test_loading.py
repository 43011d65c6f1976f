"""Loading that is killed, goes on, is refused, and is changed afterwards."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

import pytest

from rankloom import Corpus, Document, Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import DamagedIndexError, DataError, NotFoundError, UsageError
from rankloom.retrieval.milvus import IndexSettings, Milvus, MilvusCollection, collection, loading, rows
from rankloom.retrieval.milvus.connection import Connection
from rankloom.retrieval.milvus.contents import PROPERTY
from tests.tiny_models import tiny_encoder

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
SESSION = Session(offline=True, device="cpu")
CORPUS = Corpus.of([Document(f"d{number:02}", f"word{number} sky") for number in range(20)])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    folder = tmp_path_factory.mktemp("models")
    return [SentenceEncoder(str(tiny_encoder(folder / str(seed), seed=seed))) for seed in (1, 2)]


@pytest.fixture
def small_batches(monkeypatch):
    for module in (collection, loading, rows):
        monkeypatch.setattr(module, "BATCH", 4)


@pytest.fixture
def sent(monkeypatch):
    """The ids of documents that have been sent so far."""
    seen = []
    ask = Connection.ask

    def watched(self, method, *arguments, **named):
        if method == "upsert":
            seen.extend(row["id"] for row in arguments[1])
        return ask(self, method, *arguments, **named)

    monkeypatch.setattr(Connection, "ask", watched)
    return seen


def built(uri, name, corpus=CORPUS, session=SESSION, **options):
    given = {"model": None, "bm25": True, **options}
    return Milvus.build(corpus, uri, collection=name, session=session, **given)


class Killed(BaseException):
    """Stands for the death of the process."""


class Dying:
    """Progress that dies after so many documents."""

    def __init__(self, after):
        self.left = after

    @contextmanager
    def task(self, label, total):
        assert (label, total) == ("milvus collection", len(CORPUS))
        yield self.advance

    def advance(self, count):
        self.left -= count
        if self.left <= 0:
            raise Killed


# --- going on ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_goes_on_and_sends_nothing_twice(place, name, sent):
    with pytest.raises(Killed):
        built(place, name, session=Session(offline=True, progress=Dying(8)))
    assert sent == list(CORPUS.ids)[:8]
    with pytest.raises(UsageError, match="not loaded to the end"):
        Milvus.open(place, collection=name)
    stage = built(place, name)
    assert sent == list(CORPUS.ids)
    assert len(stage.index) == 20
    assert stage.search("word17", 1)[0].doc_id == "d17"
    again = built(place, name)
    assert sent == list(CORPUS.ids)
    assert (
        again.fingerprint() == stage.fingerprint() == Milvus.open(place, collection=name, corpus=CORPUS).fingerprint()
    )


@pytest.mark.usefixtures("small_batches")
def test_a_batch_that_is_in_is_not_encoded_again(uri, name, models, monkeypatch):
    with pytest.raises(Killed):
        built(uri, name, encoder=models[0], session=Session(offline=True, device="cpu", progress=Dying(12)))
    seen = []
    encode = SentenceEncoder.encode

    def counting(self, texts, *, role, session):
        seen.extend(texts)
        return encode(self, texts, role=role, session=session)

    monkeypatch.setattr(SentenceEncoder, "encode", counting)
    built(uri, name, encoder=models[0])
    assert [text for text in seen if text.startswith("word")] == [f"word{number} sky" for number in range(12, 20)]


# it waits after each document, so that it is killed before its end
_LOADER = """
import contextlib, sys, time
from rankloom import Corpus, Document, Session
from rankloom.retrieval.milvus import Milvus, loading
class Slow:
    @contextlib.contextmanager
    def task(self, name, total):
        yield lambda amount: time.sleep(0.5)
loading.BATCH = 1
session = Session(offline=True, progress=Slow())
corpus = Corpus.of([Document(f"d{number:02}", f"word{number} sky") for number in range(20)])
Milvus.build(corpus, sys.argv[1], collection=sys.argv[2], model=None, bm25=True, session=session)
"""


def test_a_process_that_is_killed_while_it_loads_loses_nothing(server, name, sent):
    process = subprocess.Popen([sys.executable, "-c", _LOADER, server, name], start_new_session=True)
    connection = Connection(server)
    deadline = time.monotonic() + 60
    held = 0
    while held < 3:
        assert time.monotonic() < deadline, "nothing arrives"
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.002)
        if connection.ask("has_collection", name):
            held = connection.ask("get_collection_stats", name)["row_count"]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stage = built(server, name)
    assert 0 < len(set(sent)) <= 20
    assert len(stage.index) == 20
    assert stage.search("word0", 20).doc_ids[0] == "d00"


# --- what is refused -------------------------------------------------------------------------------------------


def test_a_collection_that_is_not_ours_is_left_alone(place, name):
    connection = Connection(place)
    connection.ask("create_collection", name, dimension=4)
    with pytest.raises(UsageError, match="not made by rankloom"):
        built(place, name)
    with pytest.raises(UsageError, match="not made by rankloom"):
        Milvus.open(place, collection=name)
    assert connection.ask("has_collection", name)


def test_another_corpus_is_refused(uri, name, sent):
    built(uri, name)
    other = Corpus.of([Document("d", "text")])
    before = list(sent)
    with pytest.raises(UsageError, match="another corpus; it is left alone"):
        built(uri, name, other)
    with pytest.raises(UsageError, match="another corpus"):
        Milvus.open(uri, collection=name, corpus=other)
    assert sent == before


def test_another_encoder_is_refused(uri, name, models):
    built(uri, name, encoder=models[0])
    with pytest.raises(UsageError, match="another model"):
        built(uri, name, encoder=models[1])
    with pytest.raises(UsageError, match="another model, or with other weights"):
        Milvus.open(uri, collection=name, encoder=models[1])
    assert Milvus.open(uri, collection=name).index.encoder.model == models[0].model


def test_another_index_is_refused(uri, name, models):
    built(uri, name, encoder=models[0])
    with pytest.raises(UsageError, match="another index"):
        built(uri, name, encoder=models[0], settings=IndexSettings("hnsw"))
    with pytest.raises(UsageError, match="another fields"):
        built(uri, name, encoder=models[0], bm25=False)


def test_a_name_that_nobody_has_is_an_error(uri, name):
    with pytest.raises(NotFoundError, match="no such collection"):
        Milvus.open(uri, collection=name)
    with pytest.raises(UsageError, match="nothing to search by"):
        built(uri, name, bm25=False)


@pytest.mark.parametrize("manifest", ["{}", "no JSON", '{"version": 99}', '{"version": 2, "colour": "red"}'])
def test_a_manifest_of_another_kind_is_an_error(uri, name, manifest):
    built(uri, name)
    Connection(uri).ask("alter_collection_properties", name, properties={PROPERTY: manifest})
    with pytest.raises(DamagedIndexError, match="build it again"):
        Milvus.open(uri, collection=name)


def test_what_milvus_would_cut_or_refuse_is_an_error(place, name):
    with pytest.raises(DataError, match="the text of a document takes 65536 bytes"):
        built(place, name, Corpus.of([Document("d", "x" * 65_536)]))
    with pytest.raises(DataError, match="the id of a document takes 65538 bytes"):
        built(place, f"{name}ids", Corpus.of([Document('"' * 21_846, "x")]))
    whole = built(place, f"{name}whole", Corpus.of([Document("d" * 1000, "moon " * 13_000)]))
    assert whole.search("moon")[0].doc_id == "d" * 1000


def test_a_temporary_collection_that_can_not_be_made_leaves_nothing(tmp_path, monkeypatch):
    from milvus_lite.server_manager import server_manager_instance

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(DataError, match="more than Milvus holds"):
        loading.temporary_collection(Corpus.of([Document("d", "x" * 65_536)]), bm25=True, session=SESSION)
    assert list(tmp_path.iterdir()) == []
    assert not [path for path in server_manager_instance._servers if path.startswith(str(tmp_path))]


def test_an_offline_session_sends_nothing_to_another_machine(server, name, monkeypatch):
    stage = built(server, name)
    asked = []
    monkeypatch.setattr(Connection, "local", False)
    monkeypatch.setattr(Connection, "ask", lambda _, method, *__, **___: asked.append(method))
    for refused in (
        lambda: stage.add([Document("e", "moon")], session=SESSION),
        lambda: stage.delete(["d00"], session=SESSION),
        lambda: stage.run(["word1"], session=SESSION),
        lambda: stage.query_vectors([], SESSION),
        lambda: stage.warm_up(SESSION),
    ):
        with pytest.raises(NotFoundError, match="offline"):
            refused()
    assert stage.fingerprint()
    assert asked == []


def test_truncation_is_told_or_refused(uri, name, models):
    long = Corpus.of([Document("long", "sky " * 100), Document("short", "sky")])
    stage = built(uri, name, long, encoder=models[0])
    assert [note.detail for note in stage.index.ledger.notes] == ["the ends of 1 documents were not read"]
    strict = Session(offline=True, device="cpu", on_truncate="error")
    for place in (name, f"{name}new"):
        with pytest.raises(DataError, match=r"longer than the model reads.*'long'"):
            built(uri, place, long, encoder=models[0], session=strict)


# --- changing ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_documents_are_added_replaced_and_deleted(place, name):
    stage = built(place, name)
    more = [Document(f"e{number}", f"moon{number}") for number in range(6)]
    grown = stage.add([*more, Document("d00", "replaced")])
    assert len(grown.index) == 26
    assert grown.index.contents.documents == 26
    assert grown.search("moon5", 1)[0].doc_id == "e5"
    assert grown.search("replaced", 1)[0].doc_id == "d00"
    assert grown.run(["word0"])["q1"].doc_ids == []
    shrunk = grown.delete(["e5", "d00"])
    assert len(shrunk.index) == 24
    assert shrunk.run(["moon5", "replaced"]).to_dict() == {"q1": {}, "q2": {}}
    with pytest.raises(DataError, match="no such document; got 'd00'"):
        shrunk.delete(["d01", "d00"])
    assert len(shrunk.index) == 24
    assert len({one.fingerprint() for one in (stage, grown, shrunk)}) == 3
    opened = Milvus.open(place, collection=name)
    assert opened.fingerprint() == shrunk.fingerprint()
    with pytest.raises(UsageError, match="another corpus"):
        built(place, name)


def test_the_same_changes_make_the_same_fingerprint(uri, name):
    one, other = (built(uri, f"{name}{number}").add([Document("e", "moon")]) for number in range(2))
    another = built(uri, f"{name}2").add([Document("e", "noon")])
    assert one.fingerprint() == other.fingerprint() != another.fingerprint()


def test_a_collection_shows_itself_and_no_secret(uri, name, monkeypatch):
    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    stage = built(uri, name)
    assert isinstance(stage.index, MilvusCollection)
    for shown in (repr(stage), repr(stage.index), repr(stage.index.connection), str(stage.index.contents)):
        assert "secret" not in shown
