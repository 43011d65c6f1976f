import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.corpus import Corpus, MemoryDocuments
from rankloom.corpus_build import BATCH_ROWS, FORMAT, VERSION
from rankloom.errors import DamagedIndexError, DataError, NotFoundError
from rankloom.files import Manifest
from rankloom.fingerprint import digest
from rankloom.records import Document
from rankloom.run import Run

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2), max_size=2)
DOCUMENTS = st.lists(
    st.builds(Document, TEXT.filter(bool), TEXT, TEXT, JSON), min_size=1, max_size=8, unique_by=lambda one: one.id
)


def documents(count: int) -> list[Document]:
    return [Document(f"d{number}", f"text {number}", f"title {number % 3}", {"n": number}) for number in range(count)]


@given(DOCUMENTS)
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_out_in_id_order(given_documents: list[Document]) -> None:
    corpus = Corpus.of(given_documents)
    ordered = sorted(given_documents, key=lambda one: one.id)
    assert list(corpus) == ordered
    assert list(corpus.ids) == [one.id for one in ordered]
    assert corpus.get([one.id for one in given_documents]) == given_documents
    assert corpus.at(range(len(corpus))) == ordered


@given(DOCUMENTS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_fingerprint_knows_content_and_not_arrival(given_documents: list[Document], random: object) -> None:
    shuffled = list(given_documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    fingerprint = Corpus.of(given_documents).fingerprint()
    assert Corpus.of(shuffled).fingerprint() == fingerprint
    assert MemoryDocuments(shuffled).fingerprint() == fingerprint
    first = given_documents[0]
    changed = [Document(first.id, first.text + "x", first.title, first.metadata), *given_documents[1:]]
    assert Corpus.of(changed).fingerprint() != fingerprint
    # A character that moves from one field to the next is a change too.
    moved = [Document(first.id, "b", first.title + "a"), *given_documents[1:]]
    moved_back = [Document(first.id, "ab", first.title), *given_documents[1:]]
    assert Corpus.of(moved).fingerprint() != Corpus.of(moved_back).fingerprint()


def test_disk_and_memory_are_alike_over_several_batches(tmp_path: Path) -> None:
    many = documents(2 * BATCH_ROWS + 5)
    built, held = Corpus.build(reversed(many), tmp_path / "corpus"), Corpus.of(many)
    assert list(built) == list(held) == sorted(many, key=lambda one: one.id)
    assert built.fingerprint() == held.fingerprint() == Corpus.open(tmp_path / "corpus").fingerprint()
    assert built.get(["d7", "d2050", "d0"]) == [many[7], many[2050], many[0]]
    start, stop = BATCH_ROWS - 2, 2 * BATCH_ROWS + 50
    assert built.slice(start, stop) == list(built)[start:stop]
    assert built.slice(len(built), len(built) + 3) == []
    assert built.directory == tmp_path / "corpus"
    assert held.directory is None
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_formats_of_one_content_have_one_fingerprint(tmp_path: Path) -> None:
    lines = tmp_path / "corpus.jsonl"
    lines.write_text("".join(json.dumps({"_id": f"d{n}", "title": "", "text": f"t {n}"}) + "\n" for n in range(9)))
    table = tmp_path / "corpus.tsv"
    table.write_text("".join(f"d{n}\tt {n}\n" for n in reversed(range(9))))
    assert Corpus.of(lines).fingerprint() == Corpus.of(table).fingerprint()


def test_empty_titles_and_texts_on_disk(tmp_path: Path) -> None:
    corpus = Corpus.build([Document("a", ""), Document("b", "")], tmp_path / "corpus")
    assert list(corpus) == [Document("a", ""), Document("b", "")]


def test_duplicate_ids_name_both_places(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "a", "text": "1"}\n{"id": "b", "text": "2"}\n\n{"id": "a", "text": "3"}\n')
    with pytest.raises(DataError, match=r"corpus\.jsonl line 1 and .*corpus\.jsonl line 4.*'a'.*--skip-bad-records"):
        Corpus.build(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_skipped_duplicates_leave_the_first_of_each_and_a_note_for_each_other(ids: list[str]) -> None:
    records = [{"id": name, "text": f"text {number}"} for number, name in enumerate(ids, start=1)]
    corpus = Corpus.of(records, on_bad_record="skip")
    first = {name: ids.index(name) + 1 for name in set(ids)}
    assert {document.id: document.text for document in corpus} == {name: f"text {at}" for name, at in first.items()}
    assert [(note.kind, note.doc_id, note.detail) for note in corpus.ledger.notes] == [
        (
            "skipped_record",
            name,
            f"documents record {at}: the id {name!r} stands at documents record {first[name]} already",
        )
        for at, name in enumerate(ids, start=1)
        if at != first[name]
    ]


def test_duplicates_in_a_file_are_told_again_after_opening(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "b", "text": "1"}\n{"id": "a", "text": "2"}\nnot JSON\n{"id": "b", "text": "3"}\n')
    Corpus.build(path, tmp_path / "out", on_bad_record="skip")
    opened = Corpus.open(tmp_path / "out")
    assert [(document.id, document.text) for document in opened] == [("a", "2"), ("b", "1")]
    assert [note.detail.split(": ")[0] for note in opened.ledger.of("skipped_record")] == [
        f"{path} line 3",
        f"{path} line 4",
    ]


@pytest.mark.parametrize("source", [[], iter(())])
def test_no_document_is_an_error(source: list[Document], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no document"):
        Corpus.build(source, tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


def test_only_bad_records_are_an_error_that_counts_them() -> None:
    with pytest.raises(DataError, match="2 bad records"):
        Corpus.of([{"id": "a"}, {"text": "b"}], on_bad_record="skip")


def test_skipped_records_are_told_again_after_opening(tmp_path: Path) -> None:
    records = [{"id": "a", "text": "1"}, {"id": "b"}, {"text": "c"}, {"id": "d", "text": "4"}]
    built = Corpus.build(records, tmp_path / "corpus", on_bad_record="skip")
    opened = Corpus.open(tmp_path / "corpus")
    assert built.ledger == opened.ledger
    assert opened.ledger.counts() == {"skipped_record": 2}
    assert [note.detail.split(":")[0] for note in opened.ledger.notes] == ["documents record 2", "documents record 3"]


def test_a_failed_build_leaves_the_old_corpus(tmp_path: Path) -> None:
    Corpus.build(documents(3), tmp_path / "corpus")
    with pytest.raises(DataError):
        Corpus.build([{"id": "a"}], tmp_path / "corpus")
    assert len(Corpus.open(tmp_path / "corpus")) == 3
    Corpus.build(documents(4), tmp_path / "corpus")
    assert len(Corpus.open(tmp_path / "corpus")) == 4


def test_unknown_ids_and_codes() -> None:
    corpus = Corpus.of(documents(3))
    with pytest.raises(DataError, match="'d9'"):
        corpus.get(["d1", "d9"])
    for code in (-1, 3):
        with pytest.raises(IndexError):
            corpus.at([code])
    assert corpus.get([]) == []


def test_metadata_must_be_json_and_dates_become_text() -> None:
    from datetime import UTC, datetime

    when = datetime(2024, 5, 6, tzinfo=UTC)
    assert Corpus.of([Document("a", "", metadata={"when": when})]).at([0])[0].metadata == {"when": when.isoformat()}
    with pytest.raises(DataError, match="'a' is not JSON"):
        Corpus.of([Document("a", "", metadata={"bad": object()})])


def test_a_missing_directory_and_a_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Corpus.open(tmp_path / "nowhere")
    with pytest.raises(DamagedIndexError):
        Corpus.open(tmp_path)


@pytest.mark.parametrize("name", ["ids.arrow", "documents.arrow", "notes.json", "manifest.json"])
def test_cut_files_and_missing_files_are_damage(name: str, tmp_path: Path) -> None:
    Corpus.build(documents(2000), tmp_path / "corpus")
    path = tmp_path / "corpus" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedIndexError):
        Corpus.open(tmp_path / "corpus")
    path.unlink()
    with pytest.raises(DamagedIndexError):
        Corpus.open(tmp_path / "corpus")


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    Corpus.build(documents(5), tmp_path / "corpus")
    path = tmp_path / "corpus" / "documents.arrow"
    path.write_bytes(path.read_bytes().replace(b"text 3", b"text 4"))
    with pytest.raises(DamagedIndexError, match=r"documents\.arrow"):
        Corpus.open(tmp_path / "corpus")


def test_a_file_of_another_corpus_is_damage(tmp_path: Path) -> None:
    Corpus.build(documents(5), tmp_path / "one")
    Corpus.build(documents(6), tmp_path / "two")
    fields = Manifest.read(tmp_path / "one", format=FORMAT, version=VERSION).fields
    (tmp_path / "one" / "ids.arrow").write_bytes((tmp_path / "two" / "ids.arrow").read_bytes())
    Manifest.write(tmp_path / "one", format=FORMAT, version=VERSION, fields=fields)
    with pytest.raises(DamagedIndexError, match="number of documents"):
        Corpus.open(tmp_path / "one")


def test_memory_documents_keep_their_order_and_refuse_duplicates() -> None:
    held = MemoryDocuments(reversed(documents(3)))
    assert held.doc_ids == ["d2", "d1", "d0"]
    assert [one.id for one in held] == held.doc_ids
    assert [one.text for one in held.get(["d1", "d1"])] == ["text 1", "text 1"]
    assert len(MemoryDocuments([]).fingerprint()) == 32
    with pytest.raises(DataError, match="'d0'"):
        MemoryDocuments([*documents(1), *documents(1)])
    with pytest.raises(DataError, match="not a Document"):
        MemoryDocuments([{"id": "a"}])  # type: ignore[list-item]
    with pytest.raises(DataError, match="'x'"):
        held.get(["x"])


def test_a_run_over_documents_reads_their_texts() -> None:
    run = Run.from_documents("why", reversed(documents(3)))
    assert [(hit.doc_id, hit.text) for hit in run["q1"]] == [("d2", "text 2"), ("d1", "text 1"), ("d0", "text 0")]
    assert digest(Corpus.of(documents(2))) == digest(MemoryDocuments(documents(2)))
