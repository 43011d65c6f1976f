"""The catalogue: complete, consistent, and in agreement with ir_datasets and with the data at hand."""

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import ir_datasets
import pytest
from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
from ir_datasets.util import Cache, Download, LocalDownload, RequestsDownload
from pydantic import ValidationError

from rankloom.errors import NotFoundError
from rankloom.eval import sources
from rankloom.eval.catalog import catalog, records_of, relative, relative_of_folder, wanted
from rankloom.eval.catalog.table import page
from rankloom.eval.collections import load_collection
from rankloom.run import Run
from rankloom.session import Session
from tests.catalogue import catalogued

ROOT = Path(__file__).parents[2]
BRIGHT = [name.removeprefix("bright/") for name in catalog() if name.startswith("bright/")]
#: Collections that the data folder of this project has.
LOCAL = [name for name in catalog() if "/" not in name and catalog()[name].folder] + ["beir/scifact", "beir/nfcorpus"]


def data_folder() -> Path | None:
    try:
        return sources.data_folder()
    except NotFoundError:
        return None


def test_every_family_is_whole() -> None:
    families = Counter(record.family for record in catalog().values())
    assert families["nano-beir"] == 13
    assert families["bright"] == 12
    assert families["miracl"] == 18
    assert families["cpret"] == 4
    assert {f"trec-dl/{year}" for year in range(2019, 2024)} <= set(catalog())
    beir = {name.split("/")[1] for name in catalog() if name.startswith("beir/")}
    assert len(beir - {"msmarco"}) == 18  # MS MARCO is where systems are trained, and not counted
    assert {"mini", "cranfield", "cisi", "cacm", "npl", "adi", "msmarco-passage", "t2ranking"} <= set(catalog())
    assert sum(catalog()[f"bright/{task}"].splits["test"].queries or 0 for task in BRIGHT) == 1384


@pytest.mark.parametrize("name", list(catalog()))
def test_a_record_is_consistent(name: str) -> None:
    record = catalog()[name]
    assert record.default_split in record.splits
    assert record.access or record.files or all(split.ir_datasets for split in record.splits.values())
    for split, one in record.splits.items():
        for asked in (wanted(f"{name}/{split}"), wanted(name, split), wanted(f"{name}:{split}")):
            assert asked is not None
            assert (asked.record.name, asked.split, asked.name) == (name, split, name)
        assert {file.url.split(":")[0] for file in record.files_of(split)} <= {"https"}
        assert not one.files or set(one.files) == {"documents", "queries", "judgements"}
        assert (one.gold is not None) == (record.layout == "bright")
    used = {file.path for split in record.splits for file in record.files_of(split)}
    assert used == {file.path for file in record.files.values()}
    assert len({file.path for file in record.files.values()}) == len(record.files)


def test_names_and_aliases_mean_one_collection_each() -> None:
    names = [alias.lower() for record in catalog().values() for alias in {record.name, *record.aliases}]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert all(wanted(name) is not None for name in names)


def test_long_pages_and_reasoned_queries_of_bright() -> None:
    models = ["Gemini-1.0_reason", "claude-3-opus_reason", "gpt4_reason", "grit_reason", "llama3-70b_reason"]
    for task in BRIGHT:
        record = catalog()[f"bright/{task}"]
        long = "long_documents" in record.files
        assert long == (task not in ("leetcode", "aops", "theoremqa_questions", "theoremqa_theorems"))
        assert list(record.splits) == ["test", *["long"] * long, *models, *[f"long-{model}" for model in models] * long]
        for split, one in record.splits.items():
            whole = split.startswith("long")
            assert one.files["documents"] == ("long_documents" if whole else "documents")
            assert one.gold == ("gold_ids_long" if whole else "gold_ids")
            model = split.removeprefix("long-")
            assert one.files["queries"] == (model if model in models else "examples")


def test_counts_and_checksums_are_those_of_ir_datasets() -> None:
    """The catalogue was written from its files; what was mistyped since, or has changed there, is found here."""
    etc = files("ir_datasets").joinpath("etc")
    known: dict[str, Any] = json.loads(etc.joinpath("metadata.json").read_text())
    downloads: dict[str, Any] = json.loads(etc.joinpath("downloads.json").read_text())
    sums = {
        entry["url"]: entry["expected_md5"]
        for family in downloads.values()
        for entry in family.values()
        if isinstance(entry, dict) and "url" in entry and "expected_md5" in entry
    }

    def facts(dataset_id: str, part: str) -> dict[str, Any]:
        found: dict[str, Any] = known[dataset_id][part]
        return facts(found["_ref"], part) if "_ref" in found else found

    compared = 0
    for record in catalog().values():
        for split in record.splits.values():
            if split.ir_datasets is None:
                continue
            grades = facts(split.ir_datasets, "qrels")
            unwanted = grades.get("fields", {}).get("relevance", {}).get("counts_by_value", {}).get("-100", 0)
            assert split.queries == facts(split.ir_datasets, "queries")["count"], record.name
            assert split.judgements == grades["count"] - unwanted, record.name
            assert (split.documents or record.documents) == facts(split.ir_datasets, "docs")["count"], record.name
            assert split.ir_datasets in ir_datasets.registry
        for file in record.files.values():
            if file.url in sums:
                assert file.md5 == sums[file.url], file.path
                compared += 1
    assert compared > 150


def test_only_what_has_no_published_checksum_is_trusted_unseen() -> None:
    files = [(record.family, file) for record in catalog().values() for file in record.files.values()]
    assert {family for family, file in files if file.md5 is None and file.sha256 is None} == {"cpret"}


def test_what_a_name_asks_for() -> None:
    for name, record, split in (
        ("beir/scifact", "beir/scifact", None),
        ("SciFact/train", "beir/scifact", "train"),
        ("cqadupstack/android", "beir/cqadupstack/android", None),
        ("beir/cqadupstack/android/test", "beir/cqadupstack/android", "test"),
        ("dl19", "trec-dl/2019", None),
        ("bright/earth-science:long", "bright/earth_science", "long"),
        ("msmarco-passage/dev-small", "msmarco-passage", "dev-small"),
        ("msmarco-passage/dev/small", "msmarco-passage", "dev-small"),  # what ir_datasets calls it
        ("miracl/sw/train", "miracl/sw", "train"),
        ("scifact/half", "beir/scifact", "half"),  # a user's folder may have more splits
    ):
        found = wanted(name)
        assert found is not None
        assert (found.record.name, found.split) == (record, split)
    for name in ("nowhere", "quora-small", "a/b/scifact", "scifact/test/more"):
        assert wanted(name) is None


def test_quirks_of_parts_and_variants() -> None:
    for name in ("msmarco-passage/trec-dl-2019/judged", "ir_datasets:msmarco-passage-v2/trec-dl-2021", "dl22/bm25"):
        found = relative(name)
        assert found is not None
        assert found.relevance_level == 2
    for name in ("msmarco-document/trec-dl-2019", "dl-notes", "antique/test"):
        assert relative(name) is None
    variants = (("quora-small", 1, True), ("trec-dl19-mini", 2, False), ("trec-dl-20-x", 2, False))
    for folder, level, self_hits in variants:
        record = relative_of_folder(folder)
        assert record is not None
        assert (record.relevance_level, record.drop_self_hits) == (level, self_hits)
    assert relative_of_folder("dl-notes") is None
    assert "research" in str(catalog()["msmarco-passage"].licence)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="licens"):
        records_of({"collections": {"a": {"title": "A", "splits": {"test": {}}, "licens": "?"}}})
    file = {"path": "a.zip", "md5": "123"}
    with pytest.raises(ValidationError, match="md5"):
        records_of({"collections": {"a": {"title": "A", "splits": {"test": {}}, "files": {"archive": file}}}})


def test_the_page_is_written_from_the_catalogue() -> None:
    written = (ROOT / "docs" / "collections.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m rankloom.eval.catalog > docs/collections.md"


@pytest.mark.skipif(data_folder() is None, reason="RANKLOOM_DATA is not there")
@pytest.mark.parametrize("name", LOCAL)
def test_local_folders_have_the_sizes_of_their_records(name: str) -> None:
    record = catalog()[name]
    here = [split for split in record.splits if sources.find_local(record, split) is not None]
    if not here:
        pytest.skip(f"RANKLOOM_DATA has no {name}")
    assert len(load_collection(name, split=here[0]).corpus) == record.documents
    for split in here:
        collection, one = load_collection(name, split=split), record.splits[split]
        assert one.queries in (None, len(collection.queries))
        assert one.judgements in (None, sum(map(len, collection.qrels.values())))
        assert collection.licence == record.licence


class TestThroughIrDatasets:
    """A collection of the catalogue that ir_datasets has on this machine, or would have to download."""

    NAME = "rankloom-catalog-test"

    @pytest.fixture
    def registered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("RANKLOOM_DOWNLOADS", str(tmp_path / "downloads"))
        parts = {"docs": "d1\tone\nd2\ttwo\n", "queries": "q1\tfirst\n", "qrels": "q1 0 d1 1\nq1 0 d2 -100\n"}
        for name, text in parts.items():
            (tmp_path / name).write_text(text)

        def register(docs: Any) -> None:
            queries = TsvQueries(LocalDownload(tmp_path / "queries"), namespace=self.NAME)
            qrels = TrecQrels(LocalDownload(tmp_path / "qrels"), {1: "relevant"})
            ir_datasets.registry._registered.pop(self.NAME, None)
            ir_datasets.registry.register(self.NAME, Dataset(TsvDocs(docs, namespace=self.NAME), queries, qrels))

        register(LocalDownload(tmp_path / "docs"))
        with catalogued() as put:
            put("web/irds", excluded_grade=-100, splits={"test": {"ir_datasets": self.NAME}})
            yield register
        ir_datasets.registry._registered.pop(self.NAME, None)

    @pytest.mark.usefixtures("registered")
    @pytest.mark.parametrize("name", ["web/irds", f"ir_datasets:{NAME}"])
    def test_its_way_of_writing_exclusions(self, name: str) -> None:
        collection = load_collection(name, session=Session(offline=True))
        assert collection.qrels == {"q1": {"d1": 1}}
        assert collection.excluded == {"q1": frozenset({"d2"})}
        assert collection.evaluate(Run.from_dict({"q1": {"d2": 2.0, "d1": 1.0}}), ["RR"]).means["RR"] == 1.0
        assert len(collection.corpus) == 2

    def test_nothing_is_downloaded_unless_asked(self, registered: Any, tmp_path: Path) -> None:
        registered(Cache(Download([RequestsDownload("http://127.0.0.1:9/docs.tsv")]), tmp_path / "remote.tsv"))
        collection = load_collection("web/irds", session=Session(offline=False))
        with pytest.raises(
            NotFoundError, match=r"documents .* not on this machine.*collections download web/irds/test"
        ):
            len(collection.corpus)
