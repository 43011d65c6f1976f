import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.eval import sources
from rankloom.eval.collections import load_candidates, load_collection
from rankloom.qrels import read_qrels
from rankloom.run import Run
from rankloom.session import Session


def data_is_there() -> bool:
    try:
        data = sources.data_folder()
    except NotFoundError:
        return False
    return data is not None and (data / "collections").is_dir() and (data / "candidates").is_dir()


needs_data = pytest.mark.skipif(not data_is_there(), reason="RANKLOOM_DATA holds no collections and candidates")


@pytest.fixture
def beir(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "tiny", queries: list[dict[str, object]] | None = None) -> Path:
        folder = tmp_path / "data" / "collections" / name
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text('{"_id": "b", "text": "two"}\n{"_id": "a", "title": "T", "text": "one"}\n')
        asked = queries or [{"_id": "q2", "text": "second"}, {"_id": "q1", "text": "first"}, {"_id": "q3", "text": "x"}]
        (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in asked))
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t2\n")
        (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq3\ta\t1\n")
        return folder

    return write


def test_a_folder_keeps_only_judged_queries_in_file_order(beir: Callable[..., Path]) -> None:
    folder = beir()
    collection = load_collection(folder)
    assert [query.id for query in collection.queries] == ["q2", "q1"]
    assert list(collection.qrels) == ["q2", "q1"]
    assert [one.id for one in collection.corpus] == ["a", "b"]
    for dev in (load_collection(f"{folder}:dev"), load_collection(folder, split="dev")):
        assert [query.id for query in dev.queries] == ["q3"]
        assert dev.id.endswith("tiny/dev")


def test_names_under_the_data_folder(beir: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    beir()
    monkeypatch.setenv("RANKLOOM_DATA", str(beir("other").parents[1]))
    for name in ("tiny", "tiny/test", "beir/tiny/test", "beir/tiny", "tiny:test"):
        assert load_collection(name).id == "tiny/test"
    assert load_collection("beir/tiny/dev").id == "tiny/dev"
    assert load_collection("tiny", split="dev").id == "tiny/dev"
    with pytest.raises(NotFoundError, match=r"no split.*'train'.*dev, test"):
        load_collection("tiny/train")
    with pytest.raises(NotFoundError, match=r"'tinny'.*mini, other, tiny.*collections ls.*did you mean 'tiny'"):
        load_collection("tinny")
    with pytest.raises(NotFoundError):
        load_collection("/nowhere/tiny")
    with pytest.raises(NotFoundError):
        load_collection("./tiny")
    monkeypatch.setenv("RANKLOOM_DATA", "/nowhere")
    with pytest.raises(NotFoundError, match="RANKLOOM_DATA"):
        load_collection("tiny")


def test_the_corpus_is_built_once_into_the_cache(beir: Callable[..., Path], tmp_path: Path) -> None:
    folder, session = beir(), Session(cache=tmp_path / "cache")
    first = load_collection(folder, session=session).corpus
    assert first.directory is not None
    assert first.directory.is_relative_to(tmp_path / "cache")
    made = (first.directory / "manifest.json").stat().st_mtime_ns
    second = load_collection(folder, session=session).corpus
    assert second.directory == first.directory
    assert (first.directory / "manifest.json").stat().st_mtime_ns == made
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "c", "text": "three"}\n')
    assert len(load_collection(folder, session=session).corpus) == 3
    assert load_collection(folder).corpus.directory is None


def test_a_damaged_corpus_of_the_cache_is_built_again(
    beir: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, session = beir(), Session(cache=tmp_path / "cache")
    first = load_collection(folder, session=session).corpus
    assert first.directory is not None
    (first.directory / "manifest.json").write_text("{}")
    again = load_collection(folder, session=session).corpus
    assert again.fingerprint() == first.fingerprint()
    assert "built again" in caplog.text


def test_files_one_by_one(beir: Callable[..., Path], tmp_path: Path) -> None:
    folder = beir()
    (tmp_path / "queries.tsv").write_text("q1\tfirst\n")
    (tmp_path / "qrels.txt").write_text("q1 0 a 1\n")
    files = {"corpus": folder / "corpus.jsonl", "queries": tmp_path / "queries.tsv", "qrels": tmp_path / "qrels.txt"}
    collection = load_collection(files)
    assert [query.text for query in collection.queries] == ["first"]
    assert len(collection.corpus) == 2
    with pytest.raises(UsageError, match="corpus, queries, qrels"):
        load_collection({"corpus": folder})


def test_judged_queries_must_have_texts(beir: Callable[..., Path]) -> None:
    folder = beir(queries=[{"_id": "q1", "text": "first"}])
    with pytest.raises(DataError, match=r"1 judged queries.*'q2'"):
        load_collection(folder)


def test_overruled_judgements_are_noted(beir: Callable[..., Path]) -> None:
    folder = beir()
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q1\ta\t3\n")
    collection = load_collection(folder)
    assert collection.qrels["q1"] == {"a": 3}
    assert [note.doc_id for note in collection.notes] == ["a"]


def test_excluded_ids_come_from_the_queries(beir: Callable[..., Path]) -> None:
    queries = [
        {"_id": "q1", "text": "first", "excluded_ids": ["b"]},
        {"_id": "q2", "text": "second", "excluded_ids": ["N/A"]},
    ]
    collection = load_collection(beir(queries=queries))
    assert collection.excluded == {"q1": frozenset({"b"})}
    run = Run.from_dict({"q1": {"b": 2.0, "a": 1.0}, "q2": {"b": 1.0}})
    assert collection.evaluate(run, ["RR"]).means == {"RR": 1.0}
    queries[0]["excluded_ids"] = ["a"]
    with pytest.raises(DataError, match="excludes a document that is judged relevant"):
        load_collection(beir("wrong", queries=queries))


def test_quirks_by_name(beir: Callable[..., Path]) -> None:
    assert load_collection(beir("arguana")).drop_self_hits
    assert load_collection(beir("trec-dl19-mini")).relevance_level == 2
    assert load_collection(beir("scifact")).relevance_level == 1


def test_the_bundled_collection() -> None:
    collection = load_collection("mini")
    assert collection.id == load_collection("mini/test").id == "mini/test"
    assert len(collection.corpus) >= 100
    assert {query.id for query in collection.queries} == set(collection.qrels)
    assert all(collection.corpus.ids.find(doc_id) is not None for one in collection.qrels.values() for doc_id in one)
    assert isinstance(collection.corpus, Corpus)


def test_fingerprints_tell_judgements_apart(beir: Callable[..., Path]) -> None:
    folder = beir()
    assert load_collection(folder).fingerprint() == load_collection(folder).fingerprint()
    assert load_collection(folder).fingerprint() != load_collection(folder, split="dev").fingerprint()


@needs_data
@pytest.mark.parametrize(
    ("name", "documents", "queries", "judgements"),
    [("scifact", 5183, 300, 339), ("beir/nfcorpus/test", 3633, 323, 12334), ("xquad-r-passage", 240, 1190, 1190)],
)
def test_real_collections_have_their_known_sizes(name: str, documents: int, queries: int, judgements: int) -> None:
    collection = load_collection(name)
    assert len(collection.corpus) == documents
    assert len(collection.queries) == queries
    assert sum(map(len, collection.qrels.values())) == judgements


@needs_data
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("dl19/bm25", 0.5058),
        ("dl19/bm25-rm3", 0.5216),
        ("dl19/tasb", 0.7210),
        ("dl19/splade-pp-ed", 0.7308),
        ("dl21/bm25", 0.4458),
        ("dl21/splade-pp-ed", 0.6839),
    ],
)
def test_stored_candidates_score_as_published(name: str, published: float) -> None:
    collection = load_candidates(name)
    assert collection.candidates is not None
    found = collection.evaluate(collection.candidates, ["nDCG@10", "AP"])
    assert round(found.means["nDCG@10"], 4) == published
    assert found.exact["AP"] == "AP(rel=2)"
    assert found.missing == found.unjudged_queries == ()


@needs_data
def test_candidates_keep_judgements_of_documents_that_nobody_found() -> None:
    collection = load_collection("candidates/dl19/bm25")
    data = sources.data_folder()
    assert data is not None
    assert collection.qrels == {
        query.id: read_qrels(data / "candidates/dl19/qrels.txt")[query.id] for query in collection.queries
    }
    unjudged = load_candidates("dl22/bm25")
    assert unjudged.qrels == {}
    assert len(unjudged.queries) == 76
    with pytest.raises(NotFoundError, match="did you mean 'dl19/bm25'"):
        load_candidates("dl19/bm26")


def test_relevant_documents_that_the_corpus_lacks_are_named(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "The sky is blue."}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "sky"}\n')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\tgone\t1\nq1\talso\t0\n")
    assert load_collection(tmp_path).absent_documents() == ["gone"]


def test_a_sample_holds_so_many_judged_queries_in_their_order() -> None:
    mini = load_collection("mini")
    some = mini.sample(7, seed=1)
    assert len(some.queries) == len(some.qrels) == 7
    order = [query.id for query in mini.queries]
    places = [order.index(query.id) for query in some.queries]
    assert places == sorted(places)
    assert all(some.qrels[query.id] == mini.qrels[query.id] for query in some.queries)
    assert mini.sample(7, seed=1).qrels == some.qrels
    assert mini.sample(7, seed=2).qrels != some.qrels
    assert mini.sample(10**6, seed=1).qrels == {one: grades for one, grades in mini.qrels.items() if grades}


def test_a_sample_draws_no_judgements_without_a_query() -> None:
    mini = load_collection("mini")
    more = {f"gone{number}": {"d1": 1} for number in range(1000)}
    some = replace(mini, qrels={**mini.qrels, **more}).sample(7, seed=1)
    assert [query.id for query in some.queries] == [query.id for query in mini.sample(7, seed=1).queries]
    assert set(some.qrels) == {query.id for query in some.queries}
