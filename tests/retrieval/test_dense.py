"""Dense retrieval against brute force, and indexes that are killed, damaged or opened with the wrong model."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Query, Run, Session
from rankloom.corpus import Corpus
from rankloom.encoders import GivenVectors, SentenceEncoder
from rankloom.errors import CompositionError, DamagedIndexError, DataError, NotFoundError, UsageError
from rankloom.prf import VectorPRF
from rankloom.rerank import StoredVectors
from rankloom.retrieval import BM25, Dense, VectorIndex
from rankloom.retrieval.vectors import shards
from rankloom.sources import VectorSource
from rankloom.stage_schema import kinds
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_encoder

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
FILES = ["manifest.json", *(f"000001/{name}" for name in ("vectors.npy", "ids.arrow", "owners.npy", "truncated.npy"))]
FILES.append("000001/search/measures.npy")
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def tiny(folder):
    return str(tiny_encoder(folder / "tiny"))


@pytest.fixture(scope="module")
def dense():
    return Dense.of(CORPUS, session=SESSION)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 4)


@pytest.fixture
def calls(monkeypatch):
    """The texts that encoders have encoded so far."""
    seen = []
    encode = SentenceEncoder.encode

    def counting(self, texts, **options):
        seen.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(SentenceEncoder, "encode", counting)
    return seen


def index_of(matrix, ids=None, **options):
    """An index over given vectors."""
    matrix = np.asarray(matrix, dtype=np.float32)
    names = ids or [f"d{number:06d}" for number in range(len(matrix))]
    return VectorIndex.from_vectors(names, matrix, encoder=SentenceEncoder("none"), **options)


def brute_force(matrix, query, k):
    """Codes and scores of the best k: in float64, rounded once, ties by code."""
    scores = np.array([np.dot(row.astype(np.float64), query.astype(np.float64)) for row in matrix]).astype(np.float32)
    order = np.lexsort((np.arange(len(scores)), -scores))[:k]
    return order.tolist(), scores[order]


# --- exact search --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 10, 300])
@pytest.mark.parametrize("kind", ["auto", "exact_int8", "exact_float32"])
def test_search_is_exact(k, kind):
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((2000, 24)).astype(np.float32)
    queries = rng.standard_normal((30, 24)).astype(np.float32)
    hits = index_of(matrix, kind=kind).search(queries, k)
    for number, query in enumerate(queries):
        codes, scores = hits.of(number)
        expected_codes, expected_scores = brute_force(matrix, query, k)
        assert codes.tolist() == expected_codes
        assert scores.tolist() == expected_scores.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 30), st.integers(1, 3))
def test_ties_at_the_cut_go_by_document_id(seed, size, k, levels):
    # few different small whole numbers: sums are exact, and most documents tie
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-levels, levels + 1, (size, 3)).astype(np.float32)
    query = rng.integers(-levels, levels + 1, 3).astype(np.float32)
    order = rng.permutation(size)  # rows in another order than their ids
    index = index_of(matrix[order], [f"d{number:06d}" for number in order])
    codes, scores = index.search(query[None], k).of(0)
    expected_codes, expected_scores = brute_force(matrix, query, k)
    assert codes.tolist() == expected_codes
    assert scores.tolist() == expected_scores.tolist()


def test_a_query_of_zeros_ranks_by_id():
    codes, scores = index_of(np.eye(5)).search(np.zeros((1, 5), dtype=np.float32), 3).of(0)
    assert (codes.tolist(), scores.tolist()) == ([0, 1, 2], [0, 0, 0])


def test_no_queries():
    hits = index_of(np.eye(3)).search(np.zeros((0, 3), dtype=np.float32), 2)
    assert (hits.offsets.tolist(), len(hits.codes)) == ([0], 0)


# --- the stage -----------------------------------------------------------------------------------------------


def test_the_right_document_comes_first(dense):
    run = dense.run(QUERIES, session=SESSION)
    assert [hits[0].doc_id for hits in run.values()] == ["sky", "tides", "bread"]
    assert [hit.doc_id for hit in run["q2"][:2]] == ["tides", "tides-again"]  # equal texts, by id
    assert run["q2"][0].score == run["q2"][1].score
    assert run["q1"][0].text == TEXTS["sky"]


def test_scores_are_inner_products_of_the_encoders_vectors(dense):
    run = dense.run(QUERIES, session=SESSION)
    query = dense.query_vectors(run.queries, SESSION)[0]
    documents, held = dense.document_vectors(run["q1"].doc_ids)
    assert held.all()
    np.testing.assert_allclose(run["q1"].scores, documents @ query, atol=1e-6)


def test_costs_are_counted(dense):
    (cost,) = dense.run(QUERIES, session=SESSION).ledger.costs
    tokens = dense.index.encoder.encode(list(QUERIES.values()), role="query", session=SESSION).tokens
    assert (cost.inputs, cost.calls, cost.tokens) == (3, 1, tokens.sum())
    assert (cost.stage, cost.model) == ("dense", dense.index.encoder.model)


def test_blank_and_long_queries_are_noted(dense):
    run = dense.run({"q1": "  ", "q2": "sky " * 300}, session=SESSION)
    assert len(run["q1"]) == 0
    assert [(note.kind, note.amount) for note in run["q1"].notes] == [("empty_query", 1)]
    assert [(note.kind, note.amount) for note in run["q2"].notes] == [("truncated", 300 + 2 - 256)]
    with pytest.raises(DataError, match="longer than the model reads"):
        dense.run("sky " * 300, session=Session(offline=True, device="cpu", on_truncate="error"))


def test_a_vector_in_the_query_is_read_instead_of_the_text(dense, calls):
    vector = dense.document_vectors(["bread"])[0][0]
    query = Query("q", "why is the sky blue").with_vector(dense.space, vector)
    run = dense.run([query], session=SESSION)
    assert run["q"][0].doc_id == "bread"
    assert calls == []
    assert run.queries[0].vectors == {}


def test_a_vector_of_another_space_is_an_error(dense):
    query = Query("q", "sky").with_vector("another space", np.zeros(384, dtype=np.float32))
    with pytest.raises(CompositionError, match="another encoder"):
        dense.run([query], session=SESSION)


@pytest.mark.parametrize("vector", [np.zeros(3), np.full(384, np.nan)])
def test_a_vector_that_can_not_be_searched_with_is_an_error(dense, vector):
    with pytest.raises(DataError, match="384 finite numbers"):
        dense.run([Query("q", "sky").with_vector(dense.space, vector)], session=SESSION)


def test_terms_are_refused_when_composed(dense):
    with pytest.raises(CompositionError, match="terms"):
        dense.run([Query("q", "sky").with_terms({"sky": 1.0})], session=SESSION)


def test_vector_feedback_reads_and_writes_its_vectors(dense):
    assert isinstance(dense, VectorSource)
    run = (dense >> VectorPRF(docs=1) >> dense).run(QUERIES, session=SESSION)
    assert run["q1"][0].doc_id == "sky"
    assert run["q1"][0].score > dense.run(QUERIES, session=SESSION)["q1"][0].score


def test_feedback_and_reranking_tell_of_a_query_that_is_cut(dense):
    found = dense.run({"q": "sky " * 300}, session=SESSION)
    (first,) = found.ledger.costs
    for stage in (VectorPRF(retriever=dense), StoredVectors(dense)):
        ledger = stage.run(found).ledger
        cost = ledger.costs[-1]
        assert (cost.calls, cost.tokens, cost.model) == (first.calls, first.tokens, dense.model_name)
        assert [(note.stage, note.kind, note.amount) for note in ledger.notes[len(found.ledger.notes) :]] == [
            (stage.name, "truncated", 300 + 2 - 256)
        ]


def test_unknown_documents_have_no_vectors(dense):
    vectors, held = dense.document_vectors(["sky", "no such document"])
    assert held.tolist() == [True, False]
    assert not vectors[1].any()
    assert dense.document_vectors([])[0].shape == (0, 384)


def test_results_come_from_the_cache(dense, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = dense.run(QUERIES, session=session)
    del calls[:]
    again = dense.run(QUERIES, session=session)
    assert calls == []
    assert again.to_dict() == first.to_dict()
    assert again.ledger.notes == first.ledger.notes


class TestConformance(StageConformance):
    own_process = False  # it would build an index with a model there
    light = False

    @pytest.fixture(autouse=True)
    def _shared(self, dense):
        self.index = dense.index  # building one for each check would take a minute

    def make_stage(self):
        return Dense(self.index, k=4)

    def make_run(self):
        return Run.start(QUERIES, session=SESSION)


# --- on disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def built(tiny, tmp_path):
    return Dense.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION)


def test_an_index_is_opened_as_it_was_built(built, tmp_path):
    opened = Dense.open(tmp_path / "index", CORPUS, k=3)
    assert opened.run(QUERIES, session=SESSION).to_dict() == {
        query: dict(list(hits.items())[:3]) for query, hits in built.run(QUERIES, session=SESSION).to_dict().items()
    }
    assert opened.index.fingerprint() == built.index.fingerprint()
    assert opened.fingerprint() == built.replace(k=3).fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def test_without_the_corpus_hits_have_no_texts(built, tmp_path):
    opened = Dense.open(tmp_path / "index")
    run = opened.run(QUERIES, session=SESSION)
    assert run.to_dict() == built.run(QUERIES, session=SESSION).to_dict()
    assert (opened.documents, run.documents) == (None, None)
    assert "text" not in opened.flow(frozenset(), after="the start")


@pytest.mark.usefixtures("built")
def test_a_corpus_beside_the_index_is_found(tmp_path):
    Corpus.build(list(CORPUS), tmp_path / "corpus")
    assert Dense.open(tmp_path / "index").run(QUERIES, session=SESSION)["q1"][0].text


@pytest.mark.usefixtures("built")
def test_numpy_can_read_the_file(tmp_path):
    assert np.load(tmp_path / "index" / "000001" / "vectors.npy").shape == (len(TEXTS), 32)


def test_truncated_documents_are_listed(built, tmp_path):
    notes = built.index.ledger.of("truncated")
    tokens = built.index.encoder.encode([TEXTS["long"]], role="document", session=SESSION)
    assert {note.doc_id: note.amount for note in notes}["long"] == tokens.truncated[0] > 0
    assert Dense.open(tmp_path / "index").index.ledger == built.index.ledger
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["truncated_documents"] == len(notes)
    assert manifest["truncated_tokens"] == sum(note.amount for note in notes)


def test_truncation_can_be_an_error(tiny, tmp_path):
    strict = Session(offline=True, device="cpu", on_truncate="error")
    with pytest.raises(DataError, match="longer than the model reads"):
        Dense.build(CORPUS, tmp_path / "index", model=tiny, session=strict)
    assert not (tmp_path / "index").exists()


@pytest.mark.usefixtures("built")
def test_another_model_is_an_error(folder, tmp_path):
    other = tiny_encoder(folder / "other", seed=2)
    with pytest.raises(UsageError, match="another model"):
        Dense.open(tmp_path / "index", model=str(other))


def test_other_weights_under_the_same_name_are_an_error(folder, tmp_path):
    model = tiny_encoder(folder / "changing")
    index = Dense.build(CORPUS, tmp_path / "index", model=str(model), session=SESSION)
    shutil.copytree(tiny_encoder(folder / "changed", seed=5), model, dirs_exist_ok=True)
    with pytest.raises(UsageError, match="other weights under the same name"):
        Dense.open(tmp_path / "index")
    assert index.run(QUERIES, session=SESSION)["q1"]  # it holds the old weights


def test_the_same_weights_under_another_name_are_welcome(built, tiny, tmp_path):
    moved = shutil.copytree(tiny, tmp_path / "moved")
    opened = Dense.open(tmp_path / "index", model=str(moved))
    assert opened.run(QUERIES, session=SESSION).to_dict() == built.run(QUERIES, session=SESSION).to_dict()


def test_a_model_that_is_gone_is_missed_only_when_needed(folder, tmp_path):
    model = tiny_encoder(folder / "going")
    Dense.build(CORPUS, tmp_path / "index", model=str(model), session=SESSION)
    shutil.rmtree(model)
    opened = Dense.open(tmp_path / "index")
    vector = opened.document_vectors(["bread"])[0][0]
    assert opened.run([Query("q", "x").with_vector(opened.space, vector)], session=SESSION)["q"][0].doc_id == "bread"
    with pytest.raises(NotFoundError):
        opened.run(QUERIES, session=SESSION)


@pytest.mark.usefixtures("built")
def test_another_corpus_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="another corpus"):
        Dense.open(tmp_path / "index", Corpus.of([Document("d", "text")]))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
@pytest.mark.usefixtures("built")
def test_a_damaged_index_is_an_error(tmp_path, name, damage):
    path = tmp_path / "index" / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    with pytest.raises(DamagedIndexError, match="build it again"):
        Dense.open(tmp_path / "index")


@pytest.mark.usefixtures("built")
def test_a_changed_byte_is_found_when_asked_for(tmp_path):
    path = tmp_path / "index" / "000001" / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedIndexError, match="has changed"):
        VectorIndex.open(tmp_path / "index", verify=True)


def test_a_foreign_directory_is_an_error(tmp_path):
    BM25.build(CORPUS, tmp_path / "bm25")
    with pytest.raises(DamagedIndexError, match="another format"):
        Dense.open(tmp_path / "bm25")
    with pytest.raises(NotFoundError):
        Dense.open(tmp_path / "nothing")


# --- building ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the death of the process."""


class Dying:
    """Progress that dies after so many documents."""

    def __init__(self, after):
        self.left = after

    @contextmanager
    def task(self, label, total):  # noqa: ARG002
        yield self.advance

    def advance(self, count):
        self.left -= count
        if self.left <= 0:
            raise Killed


@pytest.mark.usefixtures("small_shards")
def test_a_killed_build_goes_on_where_it_stopped(tiny, tmp_path, calls):
    whole = Dense.build(CORPUS, tmp_path / "whole", model=tiny, session=SESSION)
    del calls[:]
    dying = Session(offline=True, device="cpu", progress=Dying(4))
    with pytest.raises(Killed):
        Dense.build(CORPUS, tmp_path / "index", model=tiny, session=dying)
    assert len(calls) == 4
    assert not (tmp_path / "index").exists()
    del calls[:]
    built = Dense.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION)
    assert len(calls) == 2  # of six documents, four were done
    for name in FILES:
        assert (tmp_path / "index" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert built.index.ledger == whole.index.ledger
    assert not (tmp_path / "index.shards").exists()


@pytest.mark.parametrize("what", ["model", "corpus", "dtype", "damage"])
@pytest.mark.usefixtures("small_shards")
def test_shards_of_something_else_are_not_mixed_in(what, tiny, folder, tmp_path, calls):
    first_model, first_corpus, dtype = tiny, CORPUS, "float32"
    if what == "model":
        first_model = str(tiny_encoder(folder / "third", seed=3))
    elif what == "corpus":
        first_corpus = Corpus.of([Document(doc_id, f"{text} and more") for doc_id, text in TEXTS.items()])
    elif what == "dtype":
        dtype = "bfloat16"
    dying = Session(offline=True, device="cpu", progress=Dying(4), dtype=dtype)
    with pytest.raises(Killed):
        Dense.build(first_corpus, tmp_path / "index", model=first_model, session=dying)
    if what == "damage":
        shard = next((tmp_path / "index.shards").iterdir())
        shard.write_bytes(shard.read_bytes()[:-3])
    del calls[:]
    Dense.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION)
    assert len(calls) == len(TEXTS)


def test_for_corpus_keeps_its_index_in_the_cache(tiny, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = Dense.for_corpus(CORPUS, session, model=tiny, k=2)
    assert len(calls) == len(TEXTS)
    del calls[:]
    again = Dense.for_corpus(CORPUS, session, model=tiny, k=2)
    assert calls == []
    assert again.fingerprint() == first.fingerprint()
    assert again.run(QUERIES, session=SESSION).to_dict() == first.run(QUERIES, session=SESSION).to_dict()
    assert again.documents is CORPUS


def test_for_corpus_builds_a_damaged_index_again(tiny, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    Dense.for_corpus(CORPUS, session, model=tiny)
    next((tmp_path / "indexes").glob("dense-*/*/ids.arrow")).unlink()
    del calls[:]
    Dense.for_corpus(CORPUS, session, model=tiny)
    assert calls == []  # the vectors lie beside it
    assert next((tmp_path / "indexes").glob("dense-*/*/ids.arrow"))


def test_for_corpus_refuses_a_cached_index_of_cut_documents_under_that_policy(tiny, tmp_path):
    Dense.for_corpus(CORPUS, Session(offline=True, device="cpu", cache=tmp_path), model=tiny)
    strict = Session(offline=True, device="cpu", cache=tmp_path, on_truncate="error", seed=8)
    with pytest.raises(DataError, match="longer than the model reads"):
        Dense.for_corpus(CORPUS, strict, model=tiny)
    assert len(list((tmp_path / "indexes").glob("dense-*"))) == 1  # another seed is no other index


def test_for_corpus_without_a_cache_writes_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dense = Dense.for_corpus(CORPUS, SESSION, model=tiny, k=2)
    assert len(dense.run(QUERIES, session=SESSION)["q1"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_parameters_are_checked(dense):
    with pytest.raises(UsageError, match="k is out of range"):
        Dense(dense.index, k=0)


def test_more_is_asked_for_than_there_is(dense):
    assert len(dense.replace(k=100).run(QUERIES, session=SESSION)["q1"]) == len(TEXTS)


# --- encoders and their settings -----------------------------------------------------------------------------


def test_windows_read_long_documents_to_the_end(tiny):
    whole, windows = (
        Dense.of(CORPUS, model=tiny, session=SESSION),
        Dense.of(CORPUS, model=tiny, window=20, session=SESSION),
    )
    assert "long" in {note.doc_id for note in whole.index.ledger.of("truncated")}
    assert windows.index.ledger.of("truncated") == ()
    assert windows.index.describe()["rows"] > len(CORPUS) == len(windows.index)
    run = windows.run(QUERIES, session=SESSION)
    assert sorted(run["q1"].doc_ids) == sorted(TEXTS)
    assert windows.index.fingerprint() != whole.index.fingerprint()


def test_settings_of_the_encoder_make_other_indexes_and_those_of_the_search_do_not(tiny, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    Dense.for_corpus(CORPUS, session, model=tiny)
    for number, options in enumerate(
        [{"window": 20}, {"dimensions": 16}, {"document_prompt": "text: "}, {"kind": "flat"}]
    ):
        del calls[:]
        dense = Dense.for_corpus(CORPUS, session, model=tiny, **options)
        assert bool(calls) == (options != {"kind": "flat"})  # which is made of the same vectors
        assert len(list((tmp_path / "indexes").glob("dense-*"))) == number + 2
    assert dense.index.kind == "flat"
    del calls[:]
    again = Dense.for_corpus(CORPUS, session, model=tiny, kind="flat", k=3, rescore=5)
    assert (calls, again.rescore) == ([], 5)


def test_an_encoder_may_be_given(tmp_path):
    texts = {"a": "one", "b": "two", "c": "three"}
    corpus = Corpus.of([Document(doc_id, text) for doc_id, text in texts.items()])
    vectors = np.eye(3, dtype=np.float32)
    encoder = GivenVectors("mine", [*texts.values(), *QUERIES.values()], np.concatenate([vectors, vectors[::-1]]))
    built = Dense.build(corpus, tmp_path / "index", encoder=encoder, session=SESSION, k=1)
    found = {query: hits.doc_ids for query, hits in built.run(QUERIES, session=SESSION).items()}
    assert found == {"q1": ["c"], "q2": ["b"], "q3": ["a"]}
    opened = Dense.open(tmp_path / "index", encoder=encoder, k=1)
    assert {query: hits.doc_ids for query, hits in opened.run(QUERIES, session=SESSION).items()} == found
    with pytest.raises(UsageError, match="brings its own model"):
        Dense.of(corpus, encoder=encoder, dimensions=8)
    with pytest.raises(UsageError, match="another model"):
        Dense.open(tmp_path / "index", encoder=GivenVectors("other", ["x"], vectors[:1]))


def test_models_of_both_sides_are_looked_for_before_a_run():
    marks = kinds("dense")
    assert set(marks) == {"model", "query_model"}


# --- what vectors were made of, and encoders made again -------------------------------------------------------


def given_vectors(rows, name="mine"):
    """An encoder of two documents and a query by given vectors."""
    return GivenVectors(name, ["one", "two", "which"], np.array(rows, dtype=np.float32))


PAIR = Corpus.of([Document("a", "one"), Document("b", "two")])
ONE, OTHER = [[1, 0], [0, 1], [1, 0]], [[0, 1], [1, 0], [1, 0]]


def test_given_vectors_of_one_name_do_not_share_an_index_or_results(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    for rows, best in ((ONE, "a"), (OTHER, "b")):
        dense = Dense.for_corpus(PAIR, session, encoder=given_vectors(rows), k=1)
        assert dense.run({"q": "which"}, session=session)["q"].doc_ids == [best]
    turned = VectorIndex.of(PAIR, encoder=given_vectors(OTHER))  # the same index, asked by other vectors
    asked = VectorIndex(turned.contents, encoder=given_vectors([[0, 1], [1, 0], [0, 1]]))
    assert asked.fingerprint() != turned.fingerprint()


@pytest.mark.usefixtures("small_shards")
def test_given_vectors_of_one_name_do_not_share_shards(tmp_path):
    dying = Session(offline=True, device="cpu", progress=Dying(2))
    with pytest.raises(Killed):
        Dense.build(PAIR, tmp_path / "index", encoder=given_vectors(ONE), session=dying)
    built = Dense.build(PAIR, tmp_path / "index", encoder=given_vectors(OTHER), session=SESSION)
    assert built.document_vectors(["a", "b"])[0].tolist() == OTHER[:2]


def test_windows_that_begin_elsewhere_make_another_index(tiny):
    corpus = Corpus.of([Document("d", " ".join(f"word{number}" for number in range(20)))])
    indexes = {}
    for stride in range(14, 4, -1):
        index = Dense.of(corpus, model=tiny, window=14, stride=stride, session=SESSION).index
        indexes.setdefault(index.describe()["rows"], []).append(index.fingerprint())
    assert max(len(same) for same in indexes.values()) > 1  # strides with equally many windows
    assert all(len(set(same)) == len(same) for same in indexes.values())


def test_an_index_of_another_kind_of_encoder_asks_for_it(tmp_path):
    Dense.build(PAIR, tmp_path / "index", encoder=given_vectors(ONE), session=SESSION)
    with pytest.raises(UsageError, match=r"GivenVectors[\s\S]*encoder="):
        Dense.open(tmp_path / "index")
    assert Dense.open(tmp_path / "index", encoder=given_vectors(ONE)).index.describe()["encoder"] == "GivenVectors"


@pytest.mark.parametrize(
    "options",
    [{"dimensions": 16}, {"query_prompt": "query: "}, {"pooling": "cls"}, {"normalize": False}, {"window": 20}],
)
def test_an_index_is_opened_with_the_settings_it_was_built_with(options, tiny, tmp_path):
    built = Dense.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, **options)
    opened = Dense.open(tmp_path / "index")
    assert opened.index.encoder.settings() == options
    assert opened.index.fingerprint() == built.index.fingerprint()
    assert opened.run(QUERIES, session=SESSION).to_dict() == built.run(QUERIES, session=SESSION).to_dict()
    moved = Dense.open(tmp_path / "index", model=str(shutil.copytree(tiny, tmp_path / "moved")))
    assert moved.index.encoder.settings() == options


def test_an_index_is_opened_with_the_model_of_queries_it_was_built_with(tiny, folder, tmp_path):
    questions = str(tiny_encoder(folder / "questions", seed=7))
    built = Dense.build(CORPUS, tmp_path / "index", model=tiny, query_model=questions, session=SESSION)
    opened = Dense.open(tmp_path / "index")
    assert opened.run(QUERIES, session=SESSION).to_dict() == built.run(QUERIES, session=SESSION).to_dict()


def test_the_error_names_the_settings_that_differ(tiny, tmp_path):
    Dense.build(CORPUS, tmp_path / "index", model=tiny, dimensions=16, session=SESSION)
    with pytest.raises(UsageError, match="dimensions 16 there, 8 here"):
        Dense.open(tmp_path / "index", dimensions=8)


def test_rows_of_another_kind_are_not_added(tiny, tmp_path):
    Dense.build(CORPUS, tmp_path / "index", model=tiny, window=20, stride=10, session=SESSION)
    new = [Document("new", "Tides. " * 50)]
    with pytest.raises(UsageError, match="stride 10 there, 20 here"):
        Dense.open(tmp_path / "index", encoder=SentenceEncoder(tiny, window=20)).index.add(new, session=SESSION)
    with pytest.raises(UsageError, match="precision float32 there, bfloat16 here"):
        Dense.open(tmp_path / "index", precision="bfloat16").index.add(new, session=SESSION)
    index = Dense.open(tmp_path / "index").index
    longer = index.add(new, session=SESSION)
    assert longer.describe()["rows"] > index.describe()["rows"] + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nprobe": 3}, "has no nprobe"),
        ({"kind": "ivf", "ef": 3}, "has no ef"),
        ({"rescore": 10}, "nothing to rescore"),
        ({"kind": "flat", "rescore": 10}, "at least k"),
        ({"kind": "ivf", "nprobe": 0}, "nprobe is out of range"),
        ({"k": 0}, "k is out of range"),
    ],
)
def test_parameters_of_the_search_are_checked_before_anything_is_encoded(options, message, tiny, tmp_path, calls):
    cached = Session(offline=True, device="cpu", cache=tmp_path / "cache")
    for made in (
        lambda: Dense.of(CORPUS, model=tiny, session=SESSION, **options),
        lambda: Dense.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, **options),
        lambda: Dense.for_corpus(CORPUS, cached, model=tiny, **options),
    ):
        with pytest.raises(UsageError, match=message):
            made()
    assert calls == []


def test_an_unknown_parameter_is_refused_before_anything_is_encoded(tiny, tmp_path, calls):
    with pytest.raises(UsageError, match="did you mean 'nprobe'"):
        Dense.build(CORPUS, tmp_path / "index", model=tiny, session=SESSION, kind="ivf", nprobes=3)
    assert calls == []


def test_another_kind_of_index_is_made_of_the_vectors_that_are_there(tiny, tmp_path, calls):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    Dense.for_corpus(CORPUS, session, model=tiny)
    del calls[:]
    flat = Dense.for_corpus(CORPUS, session, model=tiny, kind="flat")
    lists = [Dense.for_corpus(CORPUS, session, model=tiny, kind="ivf", nlist=nlist) for nlist in (1, 2)]
    assert calls == []
    assert [flat.index.kind, *(one.index.describe()["settings"]["nlist"] for one in lists)] == ["flat", 1, 2]
    shutil.rmtree(next((tmp_path / "indexes").glob("dense_shards-*")))
    Dense.for_corpus(CORPUS, session, model=tiny, kind="hnsw")
    assert len(calls) == len(TEXTS)
