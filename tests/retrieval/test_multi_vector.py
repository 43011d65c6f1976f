"""Multi-vector retrieval against MaxSim over what the encoder gives; indexes killed, damaged, or of another model."""

import json
import pickle
import shutil
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import pytest

from rankloom import Document, Query, Run, Session
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, DamagedIndexError, DataError, NotFoundError, UsageError
from rankloom.retrieval import MultiVector, TokenIndex
from rankloom.retrieval.token_index import shards
from rankloom.retrieval.token_index.contents import TokenContents
from rankloom.testing import StageConformance
from rankloom.token_adapter import read_settings
from rankloom.token_encoder import TokenEncoder
from rankloom.token_vectors import TokenVectors, maxsim
from tests.tiny_models import tiny_colbert

SESSION = Session(offline=True, device="cpu")
TEXTS = {
    "sky": "The sky is blue because air scatters blue light more than red light.",
    "sun": "Red sunsets: at dusk the light of the sun takes a longer way through the air.",
    "tides": "Tides follow the moon.",
    "bread": "Bread rises because yeast makes gas.",
    "tides-again": "Tides follow the moon.",
    "long": "The sea. " * 200,
}
QUERIES = {"q1": "why is the sky blue", "q2": "what moves the sea", "q3": "baking"}
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])
STORAGES = [{"storage": "float16"}, {"storage": "int8"}, {"storage": "residual", "centroids": 8, "bits": 4}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(tiny_colbert(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def stage(tiny):
    return MultiVector.of(CORPUS, model=tiny, session=SESSION)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 2)


@pytest.fixture
def calls(monkeypatch):
    """The texts that encoders have encoded so far."""
    seen = []
    encode = TokenEncoder.encode

    def counting(self, texts, **options):
        seen.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(TokenEncoder, "encode", counting)
    return seen


def expected(stage, query):
    """Documents by MaxSim over the stored vectors, ties by id."""
    index = stage.index
    vectors = index.vectors(np.arange(len(index), dtype=np.int32))
    own = stage.encode_queries([Query("q", query)], SESSION).vectors[0]
    scores = dict(zip(index.ids, maxsim(own, vectors).tolist(), strict=True))
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 5), pair[0]))


# --- searching -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", STORAGES)
@pytest.mark.parametrize("reduction", ["none", "C2x4", "T8x8"])
def test_documents_rank_by_maxsim(options, reduction, tiny):
    stage = MultiVector.of(CORPUS, model=tiny, session=SESSION, reduction=reduction, **options)
    run = stage.run(QUERIES, session=SESSION)
    for query_id, text in QUERIES.items():
        hits = [(hit.doc_id, hit.score) for hit in run[query_id]]
        wanted = expected(stage, text)
        assert [doc_id for doc_id, _ in hits] == [doc_id for doc_id, _ in wanted]
        np.testing.assert_allclose([score for _, score in hits], [score for _, score in wanted], rtol=1e-5)
    assert len(run.ledger.of("approximate")) == 0


def test_vectors_are_the_encoders(tiny, stage):
    documents = list(TEXTS)
    encoded = TokenEncoder(tiny).encode(list(TEXTS.values()), role="document", session=SESSION).vectors
    stored, held = stage.document_token_vectors([*documents, "none"])
    assert held.tolist() == [True] * 6 + [False]
    assert stored.lengths.tolist() == [*encoded.lengths.tolist(), 0]
    np.testing.assert_allclose(stored.vectors, encoded.vectors, atol=1e-3)
    none, known = stage.document_token_vectors(["none", "sky", "nobody"])
    assert (none.lengths.tolist(), known.tolist()) == ([0, stored.lengths[0], 0], [False, True, False])


def test_search_by_centroids_says_what_it_misses(tiny):
    params = {"model": tiny, "session": SESSION, "search": "centroids", "centroids": 16}
    stage = MultiVector.of(CORPUS, nprobe=1, candidates=6, k=6, **params)
    run = stage.run(QUERIES, session=SESSION)
    everything = MultiVector.of(CORPUS, nprobe=16, candidates=6, k=6, **params).run(QUERIES, session=SESSION)
    for query_id, text in QUERIES.items():
        assert [hit.doc_id for hit in everything[query_id]] == [doc_id for doc_id, _ in expected(stage, text)]
        notes = [note for note in run.ledger.of("approximate") if note.query_id == query_id]
        assert [note.amount for note in notes] == ([6 - len(run[query_id])] if len(run[query_id]) < 6 else [])
    assert not everything.ledger.of("approximate")


def test_documents_without_vectors_are_not_missed(tiny, monkeypatch):
    encode = TokenEncoder.encode

    def without_bread(self, texts, **options):
        encoded = encode(self, texts, **options)
        kept = [vectors[: 0 if "yeast" in text else None] for text, vectors in zip(texts, encoded.vectors, strict=True)]
        return encoded._replace(vectors=TokenVectors.of(kept, encoded.vectors.dimensions))

    monkeypatch.setattr(TokenEncoder, "encode", without_bread)
    params = {"model": tiny, "session": SESSION, "search": "centroids", "centroids": 4, "nprobe": 4}
    run = MultiVector.of(CORPUS, **params).run(QUERIES, session=SESSION)
    assert [len(run[query_id]) for query_id in QUERIES] == [5, 5, 5]
    assert not run.ledger.of("approximate")


def test_notes(stage, tiny):
    cut = stage.index.ledger.of("truncated")
    assert "long" in [note.doc_id for note in cut]
    assert {note.stage for note in cut} == {"multi_vector"}
    run = stage.run({"q1": "the sea " * 100, "q2": " "}, session=SESSION)
    assert [note.query_id for note in run.ledger.of("truncated")] == ["q1"]
    assert [note.query_id for note in run.ledger.of("empty_query")] == ["q2"]
    assert len(run["q2"]) == 0
    with pytest.raises(DataError, match="longer than the model reads"):
        MultiVector.of(CORPUS, model=tiny, session=Session(offline=True, device="cpu", on_truncate="error"))


def test_vectors_that_feedback_has_written_are_read(stage):
    own = stage.encode_queries([Query("q", "baking")], SESSION).vectors[0]
    query = Query("q", "sky").with_vector(stage.space, own)
    found = stage(Run.start([query], session=SESSION))["q"]
    assert [hit.doc_id for hit in found] == [hit.doc_id for hit in stage.run({"q": "baking"}, session=SESSION)["q"]]
    with pytest.raises(CompositionError, match="another encoder"):
        stage(Run.start([Query("q", "sky").with_vector("other", own)], session=SESSION))
    with pytest.raises(DataError, match="finite numbers of shape"):
        stage(Run.start([Query("q", "sky").with_vector(stage.space, own[0])], session=SESSION))


def test_a_query_with_no_vectors_finds_nothing_and_is_noted(stage):
    query = Query("q", "sky").with_vector(stage.space, np.zeros((0, stage.index.dimensions), dtype=np.float32))
    run = stage(Run.start([query, Query("p", "sky")], session=SESSION))
    assert (len(run["q"]), len(run["p"])) == (0, 6)
    assert [note.query_id for note in run.ledger.of("empty_query")] == ["q"]


# --- folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [*STORAGES, {"search": "centroids", "centroids": 8}])
def test_what_was_built_is_opened(options, tiny, tmp_path):
    built = MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, reduction="C4x8", **options)
    memory = MultiVector.of(CORPUS, model=tiny, session=SESSION, reduction="C4x8", **options)
    opened = MultiVector.open(tmp_path / "index", CORPUS)
    assert opened.index.encoder.settings() == {"reduction": "C4x8"}
    assert opened.index.fingerprint() == built.index.fingerprint() == memory.index.fingerprint()
    told, wanted = opened.index.describe(), memory.index.describe()
    assert told.pop("bytes_per_document") == pytest.approx(wanted.pop("bytes_per_document"), abs=1)  # ids are padded
    assert told | {"bytes": 0} == wanted | {"bytes": 0}
    results = [one.run(QUERIES, session=SESSION).to_dict() for one in (built, memory, opened)]
    assert results[0] == results[1] == results[2]
    assert pickle.loads(pickle.dumps(opened.index)).fingerprint() == opened.index.fingerprint()
    assert not (tmp_path / "index.shards").exists()
    with pytest.raises(UsageError, match="in memory"):
        pickle.dumps(memory.index)


def test_a_document_without_contents_has_no_vectors_and_is_noted(tiny, tmp_path):
    corpus = Corpus.of([Document("a", " "), Document("moon", "Tides follow the moon."), Document("none", "")])
    built = MultiVector.build(corpus, tmp_path / "index", model=tiny, session=SESSION)
    strict = Session(offline=True, device="cpu", on_truncate="error")
    for stage in (built, MultiVector.open(tmp_path / "index", corpus)):
        stage.index.check_truncation(strict)
        assert [(note.kind, note.doc_id) for note in stage.index.ledger.notes] == [
            ("no_vectors", "a"),
            ("no_vectors", "none"),
        ]
        vectors, held = stage.document_token_vectors(["a", "moon", "none"])
        assert (vectors.lengths > 0).tolist() == [False, True, False]
        assert held.all()
        scores = stage.run({"q1": "moon"}, session=SESSION).to_dict()["q1"]
        assert scores["a"] == scores["none"] == 0 != scores["moon"]


def test_sizes_are_told(tiny):
    def described(storage):
        return TokenIndex.of(CORPUS, encoder=TokenEncoder(tiny, reduction="C2x3"), session=SESSION, storage=storage)

    wide, narrow = described("float16").describe(), described("int8").describe()
    assert wide["vectors"] == narrow["vectors"] == 6 * 3
    assert wide["vectors_per_document"] == 3
    dimensions = wide["dimensions"]
    assert (wide["bytes_per_vector"], narrow["bytes_per_vector"]) == (2 * dimensions, dimensions + 4)
    assert wide["vector_bytes"] == 18 * 2 * dimensions
    assert wide["bytes"] == wide["bytes_per_document"] * 6 > wide["vector_bytes"]


@pytest.mark.usefixtures("small_shards")
def test_a_killed_build_goes_on(tiny, tmp_path, monkeypatch, calls):
    encode, left = TokenEncoder.encode, [2]

    def dying(self, texts, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return encode(self, texts, **options)

    monkeypatch.setattr(TokenEncoder, "encode", dying)
    with pytest.raises(KeyboardInterrupt):
        MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION)
    assert len(calls) == 4
    assert not (tmp_path / "index").exists()
    monkeypatch.setattr(TokenEncoder, "encode", encode)
    built = MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION)
    assert len(calls) == 6
    whole = MultiVector.of(CORPUS, model=tiny, session=SESSION)
    assert built.run(QUERIES, session=SESSION).to_dict() == whole.run(QUERIES, session=SESSION).to_dict()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


@pytest.mark.usefixtures("small_shards")
def test_shards_of_another_model_are_not_taken(tiny, tmp_path, calls):
    encoder = TokenEncoder(tiny, reduction="C2x3")
    TokenIndex.build(CORPUS, tmp_path / "one", encoder=encoder, session=SESSION, shards=tmp_path / "shards")
    del calls[:]
    TokenIndex.build(
        CORPUS, tmp_path / "two", encoder=encoder, session=SESSION, storage="int8", shards=tmp_path / "shards"
    )
    assert calls == []
    other = TokenEncoder(tiny, reduction="C2x4")
    TokenIndex.build(CORPUS, tmp_path / "three", encoder=other, session=SESSION, shards=tmp_path / "shards")
    assert len(calls) == 6


@pytest.mark.parametrize("options", [STORAGES[0], STORAGES[1], {**STORAGES[2], "search": "centroids"}])
def test_damage_is_found(options, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("rankloom.retrieval.token_index.exact_search.SMALL", 0)
    MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, **options)
    files = [path for path in (tmp_path / "index").rglob("*") if path.is_file()]
    assert len(files) > 6
    for file in files:
        whole = file.read_bytes()
        for damaged in (None, b"", whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1])):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            with pytest.raises(DamagedIndexError):
                MultiVector.open(tmp_path / "index", CORPUS)
        file.write_bytes(whole)
    MultiVector.open(tmp_path / "index", CORPUS)


def test_a_manifest_that_lies_is_found(tiny, tmp_path):
    MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION)
    place = tmp_path / "index" / "manifest.json"
    whole = json.loads(place.read_text(encoding="utf-8"))
    for name, wrong in {"vectors": 7, "dimensions": 3, "documents": 5, "storage": "int4", "search": "hnsw"}.items():
        place.write_text(json.dumps({**whole, name: wrong}), encoding="utf-8")
        with pytest.raises(DamagedIndexError):
            MultiVector.open(tmp_path / "index", CORPUS)


def test_what_can_not_be_opened(tiny, tmp_path):
    MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, reduction="C2x3")
    other = str(tiny_colbert(tmp_path / "other", seed=9))
    with pytest.raises(UsageError, match="made with another model"):
        MultiVector.open(tmp_path / "index", CORPUS, model=other)
    with pytest.raises(UsageError, match="reduction 'C3x3' there, 'C4x4' here"):
        MultiVector.open(tmp_path / "index", CORPUS, reduction="C2x4")
    with pytest.raises(UsageError, match="another corpus"):
        MultiVector.open(tmp_path / "index", Corpus.of([Document("d", "text")]))
    with pytest.raises(NotFoundError):
        MultiVector.open(tmp_path / "nowhere")
    moved = MultiVector.open(tmp_path / "index", model=str(shutil.copytree(tiny, tmp_path / "moved")))
    assert moved.index.encoder.settings() == {"reduction": "C2x3"}


@pytest.mark.usefixtures("small_shards")
def test_one_index_answers_whatever_is_done_to_queries(tiny, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path / "cache")
    built = MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, reduction="C2x3")
    first = MultiVector.for_corpus(CORPUS, session, model=tiny, reduction="C2x3")
    del calls[:]
    fingerprints = {built.index.fingerprint()}
    for options in ({"query_tokens": 4}, {"reduction": "C64x3"}, {"expand_queries": False}, {"query_prefix": "why "}):
        opened = MultiVector.open(tmp_path / "index", CORPUS, **options)
        cached = MultiVector.for_corpus(CORPUS, session, model=tiny, **{"reduction": "C2x3", **options})
        assert cached.index.path == first.index.path
        whole = MultiVector.of(CORPUS, model=tiny, session=SESSION, **{"reduction": "C2x3", **options})
        del calls[:]
        results = [one.run(QUERIES, session=SESSION).to_dict() for one in (opened, cached, whole)]
        assert results[0] == results[1] == results[2]
        assert results[0] != built.run(QUERIES, session=SESSION).to_dict()
        assert set(calls) == set(QUERIES.values())
        assert pickle.loads(pickle.dumps(opened.index)).fingerprint() == opened.index.fingerprint()
        fingerprints.add(opened.index.fingerprint())
    assert len(fingerprints) == 5
    for options in ({"document_tokens": 9}, {"document_prefix": "x"}, {"skip_punctuation": False}):
        with pytest.raises(UsageError, match=f"made with another model.*{next(iter(options))}"):
            MultiVector.open(tmp_path / "index", CORPUS, **options)


def test_a_default_may_be_named():
    stage = MultiVector.of(CORPUS, model="mini/crisp", session=SESSION)
    own = read_settings(stage.index.encoder.resolve(SESSION).path)
    for named in ({"reduction": own.reduction}, {"reduction": "c8X32"}, asdict(own.layout)):
        encoder = TokenEncoder("mini/crisp", **named)
        again = TokenIndex(stage.index.contents, encoder=encoder, documents=CORPUS)
        again.check_encoder()
        assert again.fingerprint() == stage.index.fingerprint()
        assert encoder.fingerprint() == TokenEncoder("mini/crisp").fingerprint()
    other = TokenEncoder("mini/crisp", reduction="none")
    with pytest.raises(UsageError, match="reduction 'C32x32' there, 'none' here"):
        TokenIndex(stage.index.contents, encoder=other, documents=CORPUS).check_encoder()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("options", STORAGES)
def test_without_a_cache_vectors_wait_in_a_temporary_folder(options, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    waiting = []
    build = TokenContents.build.__func__

    def looking(cls, corpus, encoded, origin, **where):
        waiting.append(len(list(tmp_path.rglob("*.shard"))))
        return build(cls, corpus, encoded, origin, **where)

    monkeypatch.setattr(TokenContents, "build", classmethod(looking))
    index = MultiVector.for_corpus(CORPUS, SESSION, model=tiny, **options).index
    assert waiting == [3]
    assert list(tmp_path.iterdir()) == []
    assert index.path is None
    on_disk = MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, **options).index
    everything = np.arange(len(CORPUS), dtype=np.int32)
    np.testing.assert_array_equal(index.vectors(everything).vectors, on_disk.vectors(everything).vectors)


def test_long_work_shows_how_far_it_has_come(tiny, tmp_path):
    done = {}

    class Shown:
        @contextmanager
        def task(self, label, total):
            done[label] = [total, 0]

            def advance(units):
                done[label][1] += units

            yield advance

    options = {"model": tiny, "storage": "residual", "search": "centroids", "centroids": 8}
    session = Session(offline=True, device="cpu", progress=Shown())
    index = MultiVector.build(CORPUS, tmp_path / "index", session=session, **options).index
    rows = len(index.contents.storage)
    assert done == {
        "multi_vector index": [6, 6],
        "multi_vector sample": [rows, rows],
        "multi_vector centroids": [8, 8],
        "multi_vector nearest centroids": [rows, rows],
    }


def test_the_cache_keeps_indexes_and_vectors(tiny, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = MultiVector.for_corpus(CORPUS, session, model=tiny, k=3)
    assert len(calls) == 6
    again = MultiVector.for_corpus(CORPUS, session, model=tiny, k=5)
    small = MultiVector.for_corpus(CORPUS, session, model=tiny, storage="int8")
    lists = MultiVector.for_corpus(CORPUS, session, model=tiny, search="centroids", centroids=4)
    assert len(calls) == 6
    assert again.index.fingerprint() == first.index.fingerprint()
    assert len({one.index.path for one in (first, again, small, lists)}) == 3
    MultiVector.for_corpus(CORPUS, session, model=tiny, reduction="C2x3")
    assert len(calls) == 12
    (first.index.path / "offsets.npy").unlink()
    MultiVector.for_corpus(CORPUS, session, model=tiny, k=3)  # built again, of the shards
    assert len(calls) == 12
    with pytest.raises(DataError, match="longer than the model reads"):
        MultiVector.for_corpus(
            CORPUS, Session(offline=True, device="cpu", cache=tmp_path, on_truncate="error"), model=tiny
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nprobe": 3}, "exact has no nprobe"),
        ({"candidates": 3}, "exact has no candidates"),
        ({"bits": 2}, "float16 with exact has no bits"),
        ({"centroids": 9}, "float16 with exact has no centroids"),
        ({"storage": "residual", "bits": 3}, "bits"),
        ({"storage": "residual", "bits": 2.0}, "bits"),
        ({"storage": "residual", "centroids": 0}, "centroids is out of range"),
        ({"search": "centroids", "centroids": "many"}, "centroids is out of range"),
        ({"storage": "float8"}, "unknown storage"),
        ({"search": "hnsw"}, "unknown search"),
        ({"search": "centroids", "nprobe": 0}, "nprobe is out of range"),
        ({"search": "centroids", "candidates": 5}, "candidates"),
        ({"k": 0}, "k is out of range"),
    ],
)
def test_parameters_are_checked_before_anything_is_encoded(options, message, tiny, tmp_path, calls):
    for made in (
        lambda: MultiVector.of(CORPUS, model=tiny, session=SESSION, **options),
        lambda: MultiVector.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, **options),
        lambda: MultiVector.for_corpus(CORPUS, SESSION, model=tiny, **options),
    ):
        with pytest.raises(UsageError, match=message):
            made()
    assert calls == []


def test_parameters_that_do_not_fit(tiny):
    with pytest.raises(UsageError, match="did you mean 'nprobe'"):
        MultiVector.of(CORPUS, model=tiny, session=SESSION, search="centroids", nprobes=3)
    with pytest.raises(UsageError, match="brings its own"):
        MultiVector.of(CORPUS, model=tiny, encoder=TokenEncoder(tiny), session=SESSION)


class TestMultiVectorConformance(StageConformance):
    light = False
    own_process = False

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        self.model = tiny

    def make_stage(self):
        return MultiVector.of(CORPUS, model=self.model, session=SESSION)

    def make_run(self):
        return Run.start([Query(query_id, text) for query_id, text in QUERIES.items()], session=SESSION)
