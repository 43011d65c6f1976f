"""Adding, replacing, deleting and merging, while others read, and while processes die."""

import random
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DamagedIndexError, DataError, UsageError
from rankloom.files import MANIFEST
from rankloom.retrieval import BM25Scoring, EnglishAnalyzer, ImpactIndex, ImpactIndexWriter
from rankloom.retrieval.analyzers import analyzer_of
from rankloom.retrieval.index import writer as writer_module
from rankloom.retrieval.index.impact_batch import ImpactBatch
from tests import forked

IDS = st.sampled_from([f"d{number}" for number in range(12)])
DOCUMENT = st.dictionaries(st.sampled_from(["a", "b", "c", "blue", "\u6f22"]), st.integers(1, 300), max_size=4)
STEP = st.one_of(
    st.tuples(st.just("update"), IDS, DOCUMENT),
    st.tuples(st.just("delete"), IDS, st.none()),
    st.tuples(st.sampled_from(["commit", "merge", "reopen"]), st.none(), st.none()),
)
QUERY = {"a": 1.0, "b": 2.0, "blue": 0.5}


def carry_out(folder, steps, model, committed, **kind_of_index):
    """Apply steps to an index and to a dictionary; returns the dictionary as it was at the last commit."""
    writer = ImpactIndexWriter(folder, **kind_of_index)
    for kind, doc_id, document in steps:
        if kind == "update":
            writer.update(doc_id, document)
            model[doc_id] = document
        elif kind == "delete":
            assert writer.delete([doc_id, "unknown"]) == (doc_id in model)
            model.pop(doc_id, None)
        elif kind == "reopen":  # without a commit: what came after the last one is lost
            writer.close()
            writer = ImpactIndexWriter(folder, **kind_of_index)
            model.clear()
            model.update(committed)
        else:
            getattr(writer, kind)()
            committed = dict(model)
    writer.commit()
    writer.close()
    return dict(model)


@settings(deadline=None, max_examples=60)
@given(st.lists(STEP, max_size=25), st.booleans(), st.booleans())
def test_an_index_that_was_changed_is_like_one_built_anew(tmp_path_factory, steps, linear, term_vectors):
    folder = tmp_path_factory.mktemp("index")
    model = carry_out(folder, steps, {}, {}, linear=linear, term_vectors=term_vectors)
    changed = ImpactIndex.open(folder, verify=True)
    kept_twice = [(one / "vectors").is_file() for one in (folder / "segments").iterdir()]
    assert kept_twice == [term_vectors and not linear] * len(kept_twice)  # impacts always stand by document as well
    anew = ImpactIndex.of(sorted(model), [model[doc_id] for doc_id in sorted(model)], linear=linear)
    check_same(changed, anew)


def check_same(changed, anew):
    assert list(changed.ids) == list(anew.ids)
    assert len(changed) == len(anew)
    assert (changed.total_terms, changed.nonempty_documents) == (anew.total_terms, anew.nonempty_documents)
    terms = ["a", "b", "c", "blue", "\u6f22", "unknown"]
    assert changed.document_frequencies(terms).tolist() == anew.document_frequencies(terms).tolist()
    codes = [*reversed(range(len(anew))), *range(min(2, len(anew)))]  # in any order, some twice
    assert changed.term_vectors(codes) == [anew.term_vector(code) for code in codes]
    assert [changed.length_code(code) for code in codes] == [anew.length_code(code) for code in codes]
    if not changed.linear:
        scored, others = (BM25Scoring(index, k1=0.9, b=0.4) for index in (changed, anew))
        assert [scored.explain(QUERY, code) for code in codes] == [others.explain(QUERY, code) for code in codes]
    for k in (1, 3, 20):
        found = [
            index.search_impacts([QUERY], k) if index.linear else BM25Scoring(index, k1=0.9, b=0.4).search([QUERY], k)
            for index in (changed, anew)
        ]
        for one, other in zip(*found, strict=True):
            assert one.tolist() == other.tolist()


def test_full_buffers_become_segments_and_many_segments_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_MOST_POSTINGS", 50)
    rng = np.random.default_rng(0)
    documents = [{f"w{word}": int(rng.integers(1, 4)) for word in rng.integers(0, 300, 8)} for _ in range(500)]
    ids = [f"{number * 7 % 2003:05}" for number in range(500)]
    with ImpactIndexWriter(tmp_path / "index") as writer:
        for doc_id, document in zip(ids, documents, strict=True):
            writer.add(doc_id, document)
    assert len(list((tmp_path / "index" / "segments").iterdir())) > 30  # merged by half at each commit
    for merges in range(2):
        index = ImpactIndex.open(tmp_path / "index")
        anew = ImpactIndex.of(ids, documents)
        queries = [{f"w{number}": 1.0, f"w{number + 1}": 0.5} for number in range(0, 300, 7)]
        found = [BM25Scoring(one, k1=0.9, b=0.4).search(queries, 25) for one in (index, anew)]
        for one, other in zip(*found, strict=True):
            assert one.tolist() == other.tolist()
        with ImpactIndexWriter(tmp_path / "index") as writer:
            writer.merge()
        assert len(list((tmp_path / "index" / "segments").iterdir())) == 1, merges


def test_term_vectors_are_what_an_index_was_begun_with(tmp_path):
    for place, begun in ((tmp_path / "with", True), (tmp_path / "without", False)):
        for name, asked in (("d1", begun), ("d2", None)):
            with ImpactIndexWriter(place, term_vectors=asked) as writer:
                writer.add(name, {"a": 1, name: 300})
        with pytest.raises(UsageError, match="another term_vectors"):
            ImpactIndexWriter(place, term_vectors=not begun)
        with ImpactIndexWriter(place) as writer:
            writer.merge()
        index = ImpactIndex.open(place, verify=True)
        assert index.has_term_vectors == begun
        assert index.term_vectors([1, 0]) == [{"a": 1, "d2": 300}, {"a": 1, "d1": 300}]


def test_texts_stream_through_the_analyzer(tmp_path):
    with ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer()) as writer:
        writer.add_texts(
            (f"d{number}", text) for number, text in enumerate(["The sky.", "Skies, caf\xe9s \ud800x", ""])
        )
    index = ImpactIndex.open(tmp_path / "index")
    assert [index.term_vector(code) for code in range(3)] == [{"sky": 1}, {"caf\xe9": 1, "ski": 1, "x": 1}, {}]


# --- what is refused -----------------------------------------------------------------------------------------


def test_an_id_stands_once(tmp_path):
    with ImpactIndexWriter(tmp_path / "index") as writer:
        writer.add("d1", {"a": 1})
        with pytest.raises(DataError, match="d1"):
            writer.add("d1", {"b": 1})
    writer = ImpactIndexWriter(tmp_path / "index")
    writer.add("d1", {"b": 1})
    with pytest.raises(DataError, match="d1"):
        writer.commit()
    writer.close()
    assert ImpactIndex.open(tmp_path / "index").term_vector(0) == {"a": 1}


def test_one_writer_at_a_time(tmp_path):
    with ImpactIndexWriter(tmp_path / "index"), pytest.raises(UsageError, match="another writer"):
        ImpactIndexWriter(tmp_path / "index")
    ImpactIndexWriter(tmp_path / "index").close()


def test_an_error_ends_without_a_commit(tmp_path):
    def documents():
        yield "d1", "sky"
        raise RuntimeError

    writer = ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer())
    with pytest.raises(RuntimeError), writer:
        writer.add_texts(documents())
    with ImpactIndexWriter(tmp_path / "index") as writer:
        writer.add("d2", {"a": 1})
    assert list(ImpactIndex.open(tmp_path / "index").ids) == ["d2"]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="other things"):
        ImpactIndexWriter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_damaged_file_of_deletions(tmp_path):
    with ImpactIndexWriter(tmp_path / "index") as writer:
        writer.add("d1", {"a": 1})
        writer.add("d2", {"a": 1})
    with ImpactIndexWriter(tmp_path / "index") as writer:
        writer.delete(["d1"])
    file = next((tmp_path / "index" / "deletions").iterdir())
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DamagedIndexError, match="fix:"):
        ImpactIndex.open(tmp_path / "index")


BEGUN = {"linear": False, "term_vectors": True, "fields": ["title", "text"]}


@pytest.mark.parametrize(("name", "other"), [("linear", True), ("term_vectors", False), ("fields", ["title"])])
def test_an_index_goes_on_as_it_was_begun(tmp_path, name, other):
    ImpactIndexWriter(tmp_path / "index", **BEGUN).__exit__(None, None, None)
    with pytest.raises(UsageError, match=rf"another {name}; got .*leave {name} out"):
        ImpactIndexWriter(tmp_path / "index", **{name: other})
    for same in ({}, {**BEGUN, "fields": ["text", "title"]}):
        with ImpactIndexWriter(tmp_path / "index", **same):
            pass
    index = ImpactIndex.open(tmp_path / "index")
    assert (index.linear, index.has_term_vectors, index.fields) == (False, True, ["text", "title"])


def test_texts_go_through_one_analyzer(tmp_path):
    with ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer()) as writer:
        writer.add_texts([("d1", "skies")])
    assert ImpactIndex.open(tmp_path / "index").about == {"analyzer": EnglishAnalyzer().fingerprint()}
    with pytest.raises(UsageError, match="another analyzer"):
        ImpactIndexWriter(tmp_path / "index", analyzer=analyzer_of("whitespace"))
    with ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer()) as writer:
        writer.add_texts([("d2", "skies")])
    assert ImpactIndex.open(tmp_path / "index").document_frequencies(["ski"]).tolist() == [2]


@pytest.mark.parametrize("change", [lambda writer: writer.update("d1", {"a": 2}), lambda writer: writer.delete(["d1"])])
def test_a_changed_index_does_not_tell_of_the_corpus_it_was_made_from(tmp_path, change):
    with ImpactIndexWriter(tmp_path / "index", about={"corpus": "old", "model": "m"}) as writer:
        writer.add("d1", {"a": 1})
        writer.commit()
        writer.add("d2", {"a": 1})  # of the corpus that this writer tells
    with ImpactIndexWriter(tmp_path / "index") as writer:
        writer.delete(["unknown"])
        writer.merge()
    assert ImpactIndex.open(tmp_path / "index").about == {"corpus": "old", "model": "m"}
    with ImpactIndexWriter(tmp_path / "index") as writer:
        change(writer)
    assert ImpactIndex.open(tmp_path / "index").about == {"model": "m"}
    with ImpactIndexWriter(tmp_path / "index", about={"corpus": "new"}) as writer:
        writer.update("d2", {"a": 2})
    assert ImpactIndex.open(tmp_path / "index").about == {"corpus": "new", "model": "m"}


def test_an_index_that_can_not_be_opened_is_not_locked(tmp_path):
    ImpactIndexWriter(tmp_path / "index").__exit__(None, None, None)
    manifest = tmp_path / "index" / MANIFEST
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-30])
    kept = []
    for _ in range(2):
        with pytest.raises(DamagedIndexError) as raised:
            ImpactIndexWriter(tmp_path / "index")
        kept.append(raised)  # a traceback holds on to the writer
    manifest.write_bytes(whole)
    ImpactIndexWriter(tmp_path / "index").close()


IMPACTS_TWICE = ImpactBatch(["bad"], ["a", "b"], np.array([0, 2]), np.array([1, 1]), np.array([1, 2]))


def test_what_is_refused_costs_no_other_document(tmp_path):
    writer = ImpactIndexWriter(tmp_path / "index", linear=True)
    writer.add("good", {"a": 1})
    with pytest.raises(DataError, match=r"'b' stands twice.*'bad'"):
        writer.add_impacts(IMPACTS_TWICE)
    with pytest.raises(DataError, match="'there'"):
        writer.add_impacts(
            ImpactBatch(["there", "there"], ["a"], np.array([0, 1, 2]), np.array([0, 0]), np.array([1, 2]))
        )
    writer.commit()
    writer.add("there", {"a": 2})
    writer.commit()
    writer.close()
    index = ImpactIndex.open(tmp_path / "index", verify=True)
    assert (list(index.ids), index.term_vectors([0, 1])) == (["good", "there"], [{"a": 1}, {"a": 2}])


def test_a_segment_that_can_not_be_written_costs_no_document(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("the disk is full")

    writer = ImpactIndexWriter(tmp_path / "index")
    writer.add("d1", {"a": 1})
    with monkeypatch.context() as patched:
        patched.setattr(writer_module, "save_segment", full)
        with pytest.raises(OSError, match="full"):
            writer.commit()
    writer.commit()
    writer.close()
    assert list(ImpactIndex.open(tmp_path / "index").ids) == ["d1"]


@pytest.mark.parametrize("texts", [["sky"], ["sky", "sea", "moon"]])
def test_a_text_for_each_id(texts):
    given = ["a", "b"], pa.array(texts, pa.large_string())
    with pytest.raises(DataError, match=f"{len(texts)} documents for 2 ids"):
        ImpactIndex.of_texts([given], EnglishAnalyzer())
    both = {"title": pa.array(["x", "y"], pa.large_string()), "text": given[1]}
    with pytest.raises(DataError, match=f"{len(texts)} documents for 2 ids"):
        ImpactIndex.of_texts([(given[0], both)], EnglishAnalyzer(), fields=["title", "text"])


# --- at the same time ----------------------------------------------------------------------------------------


def test_a_reader_keeps_its_snapshot(tmp_path):
    with ImpactIndexWriter(tmp_path / "index", linear=True) as writer:
        writer.add("d1", {"a": 1})
        writer.commit()
        before = ImpactIndex.open(tmp_path / "index")
        writer.delete(["d1"])
        writer.add("d2", {"a": 2})
        writer.merge()
        after = ImpactIndex.open(tmp_path / "index")
    assert [list(index.ids) for index in (before, after)] == [["d1"], ["d2"]]
    assert before.term_vector(0) == {"a": 1}
    assert before.search_impacts([{"a": 1.0}], 5).scores.tolist() == [1.0]


def test_readers_see_whole_commits_while_a_writer_works(tmp_path):
    """Every commit moves all documents to the next generation; no reader may ever see two generations."""
    folder, count = tmp_path / "index", 20
    with ImpactIndexWriter(folder, linear=True) as writer:
        for number in range(count):
            writer.add(f"d{number:02}", {"generation": 1, "all": 1})
    wrong, seen, done = [], set(), threading.Event()

    def read():
        while not done.is_set():
            hits = ImpactIndex.open(folder, threads=1).search_impacts([{"generation": 1.0}], 100)
            if len(hits.codes) != count or len(set(hits.scores.tolist())) != 1:
                wrong.append(hits)
            seen.update(hits.scores.tolist())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with ImpactIndexWriter(folder) as writer:
        for generation in range(2, 30):
            for number in range(count):
                writer.update(f"d{number:02}", {"generation": generation, "all": 1})
            writer.merge() if generation % 5 == 0 else writer.commit()
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert len(seen) > 1


# --- crashes -------------------------------------------------------------------------------------------------


def write_generations(folder, first, told):
    """Bring all documents to one generation after another, for ever; tells of each that is committed."""
    with ImpactIndexWriter(folder, linear=True) as writer, told.open("w") as file:
        for generation in range(first, 100_000):
            for number in range(30):
                writer.update(f"d{number:02}", {"generation": generation, "all": 1})
            writer.merge() if generation % 3 == 0 else writer.commit()
            print(generation, file=file, flush=True)


@pytest.mark.slow
def test_kill_9_during_commits_loses_nothing_committed(tmp_path):
    folder, first, rng = tmp_path / "index", 1, random.Random(7)
    for kill in range(8):
        told = tmp_path / f"told-{kill}"
        process = forked.start(write_generations, folder, first, told, said=tmp_path / "stderr.txt")
        while not (told.exists() and told.read_text()):  # until it is at work
            assert process.is_alive(), (tmp_path / "stderr.txt").read_text()
            time.sleep(0.005)
        time.sleep(rng.random() * 0.3)
        process.kill()
        process.join()
        told = told.read_text().split()
        index = ImpactIndex.open(folder, verify=True)
        hits = index.search_impacts([{"generation": 1.0}], 100)
        assert len(hits.codes) == 30
        assert len(set(hits.scores.tolist())) == 1
        last = int(hits.scores[0])
        assert last in (int(told[-1]), int(told[-1]) + 1)  # the next may have been committed, and not yet told
        first = last + 1
    ImpactIndexWriter(folder).close()
    named = {part.name for part in (folder / "segments").iterdir()}
    assert len(named) == len(ImpactIndex.open(folder)._commit.parts)  # what the killed have left is gone
