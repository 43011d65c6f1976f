from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ir_datasets
import pytest
from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
from ir_datasets.util import Cache, Download, LocalDownload, RequestsDownload

from rankloom.corpus import Corpus
from rankloom.corpus_formats import read_documents
from rankloom.errors import MissingExtraError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.records import Document
from rankloom.session import Session

NAME = "rankloom-test"


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[str]:
    """A tiny collection of local files, known to ir_datasets for the length of a test."""
    files = {"docs": "d2\ttwo\nd1\tone\n", "queries": "q1\tfirst\nq2\tunjudged\n", "qrels": "q1 0 d1 1\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ir_datasets.registry.register(
        NAME,
        Dataset(
            TsvDocs(LocalDownload(tmp_path / "docs"), namespace=NAME),
            TsvQueries(LocalDownload(tmp_path / "queries"), namespace=NAME),
            TrecQrels(LocalDownload(tmp_path / "qrels"), {1: "relevant"}),
        ),
    )
    yield NAME
    del ir_datasets.registry._registered[NAME]


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[str]:
    """A collection whose documents would have to be downloaded."""
    download = Cache(Download([RequestsDownload("http://127.0.0.1:9/docs.tsv")]), tmp_path / "docs.tsv")
    ir_datasets.registry.register(NAME, Dataset(TsvDocs(download, namespace=NAME)))
    yield NAME
    del ir_datasets.registry._registered[NAME]


@pytest.mark.parametrize("offline", [True, False])
def test_documents_of_a_local_collection(registered: str, offline: bool) -> None:
    reader = read_documents(f"ir_datasets:{registered}", offline=offline)
    assert list(reader) == [Document("d2", "two"), Document("d1", "one")]


def test_a_collection(registered: str, tmp_path: Path) -> None:
    session = Session(cache=tmp_path / "cache", offline=True)
    for name in (f"ir_datasets:{registered}", registered):
        collection = load_collection(name, session=session)
        assert [query.text for query in collection.queries] == ["first"]
        assert collection.qrels == {"q1": {"d1": 1}}
        assert list(collection.corpus) == [Document("d1", "one"), Document("d2", "two")]
    assert collection.corpus.directory is not None


def test_offline_refuses_to_download(remote: str) -> None:
    with pytest.raises(NotFoundError, match=r"offline.*rankloom-test.*IR_DATASETS_HOME"):
        Corpus.of(f"ir_datasets:{remote}", session=Session(offline=True))


def test_online_a_failed_download_is_its_own_error(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IR_DATASETS_DL_TRIES", "1")
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        Corpus.of(f"ir_datasets:{remote}", session=Session(offline=False))


def test_unknown_names_and_collections_without_judgements(remote: str) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'rankloom-test'"):
        Corpus.of("ir_datasets:rankloom-tset")
    with pytest.raises(NotFoundError, match="no queries or no judgements"):
        load_collection(f"ir_datasets:{remote}")


def test_without_ir_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"rankloom\[datasets\]"):
        read_documents("ir_datasets:any")
