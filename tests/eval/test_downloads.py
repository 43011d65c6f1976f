"""Collections downloaded from a server on this machine, in the layout of each source, through to their scores."""

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from rankloom.errors import DataError, NotFoundError
from rankloom.eval.catalog import CollectionRecord
from rankloom.eval.collections import Collection, load_collection
from rankloom.eval.downloads import Downloads, download_collection
from rankloom.run import Run
from rankloom.session import Session
from tests.archives import tarred, zipped
from tests.catalogue import catalogued
from tests.web import Web, serving

ONLINE = Session(offline=False)
PARTS = {"documents": "documents", "queries": "queries", "judgements": "judgements"}


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CollectionRecord]]:
    """Puts a record into the catalogue for the length of a test; folders of data and downloads are empty."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("RANKLOOM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RANKLOOM_DOWNLOADS", str(tmp_path / "downloads"))

    with catalogued() as put:
        yield put


def table(*rows: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), content)
    return content.getvalue()


BEIR = {
    "tiny/corpus.jsonl": '{"_id": "q1", "title": "", "text": "itself"}\n{"_id": "d1", "title": "T", "text": "one"}\n',
    "tiny/queries.jsonl": '{"_id": "q1", "text": "itself"}\n{"_id": "q2", "text": "unjudged"}\n',
    "tiny/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\n",
}


def beir(web: Web, content: bytes, **more: Any) -> dict[str, Any]:
    return {"folder": "tiny", "files": {"archive": web.put("tiny.zip", content)}, "splits": {"test": {}}, **more}


def score(collection: Collection, run: dict[str, dict[str, float]], measure: str = "RR") -> float:
    return collection.evaluate(Run.from_dict(run), [measure]).means[measure]


def test_beir(web: Web, known: Any, tmp_path: Path) -> None:
    record = known("web/tiny", **beir(web, zipped(BEIR), drop_self_hits=True, licence="CC0"))
    with pytest.raises(NotFoundError, match=r"web/tiny/test.*fix: rankloom collections download web/tiny/test"):
        load_collection("web/tiny")
    (receipt,) = download_collection(record, "test", session=ONLINE)
    assert receipt.verified == "md5"
    assert not (tmp_path / "downloads/web/tiny.zip").exists()
    collection = load_collection("web/tiny", session=Session(offline=True, cache=tmp_path / "cache"))
    assert (collection.id, collection.licence) == ("web/tiny/test", "CC0")
    assert [query.id for query in collection.queries] == ["q1"]
    assert [document.contents for document in collection.corpus] == ["T one", "itself"]
    assert collection.corpus.directory is not None
    assert score(collection, {"q1": {"q1": 2.0, "d1": 1.0}}) == 1.0  # the query's own document is no answer
    assert load_collection("web/tiny/test", session=Session(cache=tmp_path / "cache")).corpus.directory == (
        collection.corpus.directory
    )
    download_collection(record, "test", session=Session(offline=True))  # there is nothing left to do
    assert len(web.asked) == 1
    with pytest.raises(NotFoundError, match=r"no split.*'dev'.*test"):
        load_collection("web/tiny/dev")


def test_a_local_folder_goes_before_a_download(web: Web, known: Any, tmp_path: Path) -> None:
    record = known("web/tiny", **beir(web, zipped(BEIR), relevance_level=2))
    download_collection(record, "test", session=ONLINE)
    for name, text in BEIR.items():
        path = tmp_path / "data" / "collections" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("itself", "local"))
    collection = load_collection("web/tiny")
    assert collection.queries[0].text == "local"
    assert collection.relevance_level == 2


def test_a_name_of_the_catalogue_is_not_taken_for_another_of_the_same_ending(tmp_path: Path, known: Any) -> None:
    """`nano-beir/scifact` is not the folder `scifact`, which is BEIR's."""
    known("web/tiny", splits={"test": {}})
    for name, text in BEIR.items():
        path = tmp_path / "data" / "collections" / name.replace("tiny", "scifact")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert load_collection("beir/scifact").id == "scifact/test"
    with pytest.raises(NotFoundError, match="rankloom collections download nano-beir/scifact/test"):
        load_collection("nano-beir/scifact")


def test_a_local_folder_may_be_called_by_an_alias(known: Any, tmp_path: Path) -> None:
    known("web/tiny", aliases=["dl99"], splits={"test": {}}, relevance_level=2)
    for name, text in BEIR.items():
        path = tmp_path / "data" / "collections" / name.replace("tiny", "dl99")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for called in ("dl99", "dl99/test", "dl99:test"):
        collection = load_collection(called)
        assert (collection.id, collection.relevance_level) == ("dl99/test", 2)


def test_what_is_missing_of_a_download_is_noticed_and_mended(web: Web, known: Any, tmp_path: Path) -> None:
    record = known("web/tiny", **beir(web, zipped(BEIR)))
    download_collection(record, "test", session=ONLINE)
    corpus = tmp_path / "downloads/web/tiny/tiny/corpus.jsonl"
    corpus.write_text(corpus.read_text()[:-5])
    with pytest.raises(NotFoundError, match="collections download"):
        load_collection("web/tiny")
    download_collection(record, "test", session=ONLINE)
    assert corpus.read_text() == BEIR["tiny/corpus.jsonl"]
    receipt = tmp_path / "downloads/web/tiny.zip.receipt.json"
    receipt.write_text("{")
    with pytest.raises(DataError, match=r"receipt.*delete it"):
        load_collection("web/tiny")


def test_an_archive_without_the_files_it_should_have(web: Web, known: Any) -> None:
    record = known("web/tiny", **beir(web, zipped({"tiny/corpus.jsonl": "{}"})))
    download_collection(record, "test", session=ONLINE)
    with pytest.raises(DataError, match="lacks a file"):
        load_collection("web/tiny")


def test_the_first_download_is_trusted_and_the_next_held_against_it(web: Web, known: Any, tmp_path: Path) -> None:
    values = beir(web, zipped(BEIR))
    del values["files"]["archive"]["md5"]
    record = known("web/tiny", **values)
    (first,) = download_collection(record, "test", session=ONLINE)
    assert first.verified == "first use"
    (tmp_path / "downloads/web/tiny/tiny/corpus.jsonl").unlink()
    web.put("tiny.zip", zipped({**BEIR, "tiny/extra": "x"}))
    with pytest.raises(DataError, match=rf"not the one of the first download.*{first.sha256}.*delete"):
        download_collection(record, "test", session=ONLINE)
    (tmp_path / "downloads/web/tiny.zip.receipt.json").unlink()
    (second,) = download_collection(record, "test", session=ONLINE)
    assert second.sha256 != first.sha256


def test_a_list_whose_last_file_fails_goes_on_with_that_file(web: Web, known: Any, tmp_path: Path) -> None:
    urls = [web.put(f"shards/{number}", f"shard {number}".encode())["url"] for number in range(3)]
    missing = web.files.pop("/shards/2")
    listed = web.put("api", json.dumps(urls).encode())["url"]
    files = {"documents": {"path": "documents", "url": listed, "listing": True}}
    record = known("web/list", layout="parquet", files=files, splits={"test": {"files": {"documents": "documents"}}})
    with pytest.raises(NotFoundError, match="404"):
        download_collection(record, "test", session=ONLINE)
    web.files["/shards/2"] = missing
    (tmp_path / "downloads/web/documents/00001.parquet").write_text("shard X")  # is no longer what arrived
    web.asked.clear()
    (receipt,) = download_collection(record, "test", session=ONLINE)
    assert [path for path, _ in web.asked] == ["/api", "/shards/1", "/shards/2"]
    folder = tmp_path / "downloads/web"
    assert [(folder / name).read_text() for name in receipt.files] == ["shard 0", "shard 1", "shard 2"]
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "documents", "documents.receipt.json"]
    assert receipt.verified == "first use"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_what_is_held_in_a_folder_that_can_not_be_written(web: Web, known: Any, tmp_path: Path) -> None:
    record = known("web/tiny", **beir(web, zipped(BEIR)))
    (receipt,) = download_collection(record, "test", session=ONLINE)
    (tmp_path / "downloads/web").chmod(0o500)
    assert download_collection(record, "test", session=ONLINE) == [receipt]


def test_two_who_want_the_same_fetch_it_once(web: Web, known: Any) -> None:
    web.pause = 0.01
    record = known("web/tiny", **beir(web, zipped({**BEIR, "tiny/more": secrets.token_hex(20_000)})))
    with ThreadPoolExecutor(3) as pool:
        receipts = list(pool.map(lambda _: download_collection(record, "test", session=ONLINE), range(3)))
    assert receipts[0] == receipts[1] == receipts[2]
    assert len(web.asked) == 1


def test_who_waits_for_another_download_is_told(
    web: Web, known: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = known("web/tiny", **beir(web, zipped(BEIR)))
    (tmp_path / "downloads/web").mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(tmp_path / "downloads/web/.lock"):
            waiting = pool.submit(download_collection, record, "test", session=ONLINE)
            deadline = time.monotonic() + 60
            while not caplog.records and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [one.getMessage().split(",")[0] for one in caplog.records] == ["waiting for another download of web"]
            assert not web.asked
        assert len(waiting.result(timeout=60)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("pinned", [True, False])
def test_an_archive_is_not_fetched_again_when_the_process_dies_while_unpacking(
    web: Web, known: Any, tmp_path: Path, pinned: bool
) -> None:
    values = beir(web, zipped(BEIR))
    if not pinned:
        del values["files"]["archive"]["md5"]
    record = known("web/tiny", **values)
    folder = tmp_path / "downloads" / "web"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from rankloom.eval.catalog import FileRecord; from rankloom.session import Session\n"
        "import rankloom.eval.downloads as downloads\n"
        "def unpack(archive, folder):\n"
        "    folder.mkdir(); (folder / 'half').write_text('x'); time.sleep(600)\n"
        "downloads.unpack = unpack\n"
        "file = FileRecord.model_validate_json(sys.argv[1])\n"
        "downloads.Downloads('web').get(file, Session(offline=False))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, record.files["archive"].model_dump_json()])
    deadline = time.monotonic() + 60
    while not list(folder.glob(".*/half")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (receipt,) = download_collection(record, "test", session=Session(offline=True))  # nothing has to be fetched
    assert receipt.verified == ("md5" if pinned else "first use")
    assert len(web.asked) == 1
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "tiny", "tiny.zip.receipt.json"]
    assert (folder / "tiny/tiny/corpus.jsonl").read_text() == BEIR["tiny/corpus.jsonl"]


def test_an_archive_that_arrived_under_another_checksum_is_fetched_again(
    web: Web, known: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the catalogue has learnt of a new edition since."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    old = known("web/tiny", **beir(web, zipped({"tiny/a": "old"})))
    monkeypatch.setattr("rankloom.eval.downloads.unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        download_collection(old, "test", session=ONLINE)
    monkeypatch.undo()
    monkeypatch.setenv("RANKLOOM_DOWNLOADS", str(tmp_path / "downloads"))
    new = known("web/tiny", **beir(web, zipped(BEIR)))
    (receipt,) = download_collection(new, "test", session=ONLINE)
    assert "tiny/tiny/corpus.jsonl" in receipt.files
    assert len(web.asked) == 2


def test_an_archive_that_can_not_be_unpacked_is_thrown_away(web: Web, known: Any, tmp_path: Path) -> None:
    values = beir(web, b"PK no archive")
    record = known("web/tiny", **values)
    with pytest.raises(DataError, match=r"tiny\.zip.*fix: download it again"):
        download_collection(record, "test", session=ONLINE)
    assert not (tmp_path / "downloads/web/tiny.zip").exists()
    with pytest.raises(DataError):
        download_collection(record, "test", session=ONLINE)
    assert len(web.asked) == 2


def test_a_file_of_which_nobody_knows_where_it_ends(web: Web, known: Any) -> None:
    """Neither a checksum nor a length: the receipt and the collection say so, and nothing is held against it."""
    files = {
        "documents": web.put("c.tsv", b"pid\ttext\n0\tsky\n1\tsea\n"),
        "queries": web.put("q.tsv", b"qid\ttext\n7\tsky\n"),
        "judgements": web.put("j.tsv", b"qid\tpid\n7\t0\n"),
    }
    del files["documents"]["md5"]
    record = known("web/cut", layout="tsv", files=files, splits={"test": {"files": PARTS}})
    web.length, web.cuts = "untold", [17]
    receipts = download_collection(record, "test", session=ONLINE)
    assert [receipt.verified for receipt in receipts] == ["nothing", "md5", "md5"]
    (note,) = load_collection("web/cut").notes
    assert (note.kind, files["documents"]["url"] in note.detail) == ("unverified_download", True)
    downloads = Downloads("web")
    downloads.place(record.files["documents"]).unlink()
    web.length = "told"
    assert downloads.get(record.files["documents"], ONLINE).verified == "first use"
    assert load_collection("web/cut").notes == ()


def test_what_can_not_be_downloaded(known: Any) -> None:
    record = known("web/tiny", splits={"test": {}}, access="ask its owners")
    with pytest.raises(NotFoundError, match=r"can not be downloaded.*ask its owners"):
        download_collection(record, "test", session=ONLINE)
    with pytest.raises(NotFoundError, match="ask its owners"):
        load_collection("web/tiny")


def test_nano_beir(web: Web, known: Any) -> None:
    files = {
        "documents": web.put("corpus/a.parquet", table({"_id": "d1", "text": "one"}, {"_id": "d2", "text": "two"})),
        "queries": web.put("queries/a.parquet", table({"_id": "q1", "text": "first"})),
        "judgements": web.put("qrels/a.parquet", table({"query-id": "q1", "corpus-id": "d2"})),
    }
    record = known("web/nano", layout="parquet", files=files, splits={"test": {"files": PARTS}})
    download_collection(record, "test", session=ONLINE)
    collection = load_collection("web/nano")
    assert collection.qrels == {"q1": {"d2": 1}}
    assert [document.text for document in collection.corpus] == ["one", "two"]
    assert score(collection, {"q1": {"d1": 2.0, "d2": 1.0}}) == 0.5


def test_cpret_in_shards_that_the_hub_lists(web: Web, known: Any, tmp_path: Path) -> None:
    shards = [table({"_id": 1, "text": "one"}), table({"_id": 2, "text": "two"})]
    urls = [web.put(f"shards/{number}.parquet", shard)["url"] for number, shard in enumerate(shards)]
    listed = {
        "documents": json.dumps(urls),
        "queries": json.dumps([web.put("q.parquet", table({"_id": 7, "text": "first"}))["url"]]),
        "judgements": json.dumps(
            [web.put("j.parquet", table(*({"query-id": 7, "corpus-id": 2, "score": score} for score in (1, 2))))["url"]]
        ),
    }
    files = {
        part: {"path": f"T2C-{part}/test", "url": web.put(f"api/{part}", text.encode())["url"], "listing": True}
        for part, text in listed.items()
    }
    record = known("web/t2c", layout="parquet", files=files, splits={"test": {"files": PARTS}})
    assert {receipt.verified for receipt in download_collection(record, "test", session=ONLINE)} == {"first use"}
    collection = load_collection("web/t2c")
    assert [(document.id, document.text) for document in collection.corpus] == [("1", "one"), ("2", "two")]
    assert collection.qrels == {"7": {"2": 2}}
    assert [note.doc_id for note in collection.notes] == ["2"]  # two grades for one document: the last wins
    assert score(collection, {"7": {"2": 1.0}}) == 1.0
    (tmp_path / "downloads/web/T2C-documents/test/00001.parquet").unlink()
    web.put("shards/1.parquet", table({"_id": 2, "text": "changed"}))
    with pytest.raises(DataError, match="not the one of the first download"):
        download_collection(record, "test", session=ONLINE)
    web.put("api/documents", json.dumps(urls[:1]).encode())
    with pytest.raises(DataError, match=r"another number of files.*: 1'.*accepted: 2"):
        download_collection(record, "test", session=ONLINE)
    web.put("api/documents", b"<html>")
    with pytest.raises(DataError, match="not one"):
        download_collection(record, "test", session=ONLINE)


def test_bright(web: Web, known: Any) -> None:
    row = {
        "id": 0,
        "query": "why",
        "reasoning": "",
        "gold_ids": ["a/1"],
        "gold_ids_long": ["a"],
        "excluded_ids": ["b/1"],
    }
    other = {**row, "id": 1, "query": "how", "gold_ids": ["b/1"], "excluded_ids": ["N/A"]}
    passages = [{"id": name, "content": f"text of {name}"} for name in ("a/1", "b/1", "c/1")]
    files = {
        "documents": web.put("documents/tiny.parquet", table(*passages)),
        "long_documents": web.put("long_documents/tiny.parquet", table({"id": "a", "content": "all of a"})),
        "examples": web.put("examples/tiny.parquet", table(row, other)),
        "gpt4_reason": web.put("gpt4_reason/tiny.parquet", table({**row, "query": "why, in steps"}, other)),
    }
    short = {"documents": "documents", "queries": "examples", "judgements": "examples"}
    long = {**short, "documents": "long_documents"}
    reasoned = {"documents": "documents", "queries": "gpt4_reason", "judgements": "gpt4_reason"}
    splits = {
        "test": {"files": short, "gold": "gold_ids"},
        "long": {"files": long, "gold": "gold_ids_long"},
        "gpt4_reason": {"files": reasoned, "gold": "gold_ids"},
    }
    record = known("web/bright", layout="bright", files=files, splits=splits)
    download_collection(record, "test", session=ONLINE)
    assert {path for path, _ in web.asked} == {"/documents/tiny.parquet", "/examples/tiny.parquet"}
    collection = load_collection("web/bright")
    assert collection.qrels == {"0": {"a/1": 1}, "1": {"b/1": 1}}
    assert collection.excluded == {"0": frozenset({"b/1"})}
    run = {"0": {"b/1": 3.0, "c/1": 2.0, "a/1": 1.0}, "1": {"b/1": 1.0}}
    assert score(collection, run) == 0.75  # b/1 does not count for query 0, and so moves nothing down
    assert score(collection, run, "P@2") == 0.5  # and leaves its place before the cut-off
    with pytest.raises(NotFoundError, match="download web/bright/long"):
        load_collection("web/bright/long")
    for split in ("long", "gpt4_reason"):
        download_collection(record, split, session=ONLINE)
    long_one = load_collection("web/bright/long")
    assert long_one.qrels == {"0": {"a": 1}, "1": {"a": 1}}
    assert [document.text for document in long_one.corpus] == ["all of a"]
    assert [query.text for query in load_collection("web/bright:gpt4_reason").queries] == ["why, in steps", "how"]


def test_t2ranking(web: Web, known: Any) -> None:
    files = {
        "collection": web.put("collection.tsv", 'pid\ttext\n0\t天空\n1\t大海 "蓝\n2\t\n'.encode()),
        "queries": web.put("queries.dev.tsv", b"qid\ttext\n7\tsky\n8\tsea\n"),
        "retrieval": web.put("qrels.retrieval.dev.tsv", b"qid\tpid\n7\t1\n"),
        "rerank": web.put("qrels.dev.tsv", b"qid\t-\tpid\trel\n7\t0\t0\t1\n7\t0\t1\t3\n8\t0\t2\t0\n"),
    }
    both = {"documents": "collection", "queries": "queries"}
    splits = {
        "dev-retrieval": {"files": {**both, "judgements": "retrieval"}},
        "dev-rerank": {"files": {**both, "judgements": "rerank"}, "relevance_level": 2},
    }
    record = known("web/t2", layout="tsv", files=files, splits=splits, default_split="dev-retrieval")
    for split in splits:
        download_collection(record, split, session=ONLINE)
    retrieval, rerank = load_collection("web/t2"), load_collection("web/t2/dev-rerank")
    assert [document.text for document in retrieval.corpus] == ["天空", '大海 "蓝', ""]
    assert retrieval.qrels == {"7": {"1": 1}}
    assert rerank.qrels == {"7": {"0": 1, "1": 3}, "8": {"2": 0}}
    run = {"7": {"0": 2.0, "1": 1.0}, "8": {"2": 1.0}}
    assert score(retrieval, run) == 0.5
    assert score(rerank, run) == 0.25  # the grade 1 is not relevant, and query 8 has nothing relevant


@pytest.mark.parametrize(
    ("lines", "reason"),
    [("qid\tpid\n7\t0\n7\t0\t0\n", "line 3: 3 columns"), ("qid\t-\tpid\trel\n7\t0\t1\tx\n", "line 2: .*'x'")],
)
def test_judgements_with_a_bad_line(lines: str, reason: str, web: Web, known: Any) -> None:
    files = {
        "documents": web.put("collection.tsv", b"pid\ttext\n0\tsky\n"),
        "queries": web.put("queries.dev.tsv", b"qid\ttext\n7\tsky\n"),
        "judgements": web.put("qrels.tsv", lines.encode()),
    }
    record = known("web/bad", layout="tsv", files=files, splits={"test": {"files": PARTS}})
    download_collection(record, "test", session=ONLINE)
    with pytest.raises(DataError, match=rf"qrels\.tsv {reason}"):
        load_collection("web/bad")


def test_ms_marco(web: Web, known: Any) -> None:
    files = {
        "collection": web.put("cq.tar.gz", tarred({"./collection.tsv": "0\tzero\n1\tone\n", "queries.tsv": "7\tq\n"})),
        "qrels": web.put("2019qrels-pass.txt", b"7 Q0 0 1\n7 Q0 1 2\n"),
    }
    parts = {
        "documents": "collection:collection.tsv", "queries": "collection:queries.tsv", "judgements": "qrels"
    }  # fmt: skip
    record = known("web/dl", layout="tsv", files=files, splits={"test": {"files": parts}}, relevance_level=2)
    download_collection(record, "test", session=ONLINE)
    collection = load_collection("web/dl")
    assert [document.text for document in collection.corpus] == ["zero", "one"]
    assert score(collection, {"7": {"0": 2.0, "1": 1.0}}) == 0.5


def test_a_table_that_lacks_a_column(web: Web, known: Any) -> None:
    files = {
        "documents": web.put("c.parquet", table({"_id": "d1", "text": "one"})),
        "queries": web.put("q.parquet", table({"_id": "q1", "words": "first"})),
        "judgements": web.put("j.parquet", table({"query-id": "q1", "corpus-id": "d1"})),
    }
    record = known("web/nano", layout="parquet", files=files, splits={"test": {"files": PARTS}})
    download_collection(record, "test", session=ONLINE)
    with pytest.raises(DataError, match=r"q\.parquet row 1: no text"):
        load_collection("web/nano")


def test_receipts_tell_where_files_lie(web: Web, known: Any, tmp_path: Path) -> None:
    record = known("web/tiny", **beir(web, zipped(BEIR)))
    download_collection(record, "test", session=ONLINE, root=tmp_path / "elsewhere")
    downloads = Downloads("web", tmp_path / "elsewhere")
    assert sorted(path.name for path in downloads.paths(record.files["archive"])) == [
        "corpus.jsonl", "queries.jsonl", "test.tsv"
    ]  # fmt: skip
