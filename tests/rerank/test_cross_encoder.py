"""Cross-encoders against sentence-transformers itself, on small random models."""

import os
from pathlib import Path

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.rerank import CrossEncoder
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_cross_encoder, tiny_encoder

SESSION = Session(offline=True, device="cpu")
FOLDER = "RANKLOOM_TEST_CROSS_ENCODER"  # where the tests' model is, also for the processes that they start
TEXTS = {
    "sky": "The sky is blue.",
    "moon": "The moon moves the sea.",
    "bread": "Yeast!",
    "empty": "",
    "long": "light " * 100,
    "same": "The sky is blue.",
}
QUERIES = {"q1": "why is the sky blue", "q2": "tide"}
DOCUMENTS = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_cross_encoder(tmp_path_factory.mktemp("tiny") / "model"))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


def peer_of(folder):
    """The same model as sentence-transformers loads it; imported late, since other processes import this file."""
    import sentence_transformers

    return sentence_transformers.CrossEncoder(folder, device="cpu", local_files_only=True)


@pytest.fixture
def batches(monkeypatch):
    """Sizes of the batches that models have scored so far."""
    from rankloom.encoders.forward import PairScores

    sizes = []
    score = PairScores.__call__

    def counting(self, batch):
        sizes.append(len(batch.places))
        return score(self, batch)

    monkeypatch.setattr(PairScores, "__call__", counting)
    return sizes


def candidates(session=SESSION):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=DOCUMENTS, session=session)


def test_scores_are_the_raw_outputs_of_sentence_transformers(tiny):
    import torch

    peer = peer_of(tiny)
    run = CrossEncoder(tiny).run(candidates())
    for hits in run.values():
        pairs = [(hits.query.text, TEXTS[doc_id]) for doc_id in hits.doc_ids]
        expected = peer.predict(pairs, activation_fn=torch.nn.Identity())
        np.testing.assert_allclose(hits.scores, expected, atol=1e-5)
        assert np.ptp(expected) > 0.05  # the model tells the documents apart
    assert run.ranking.kind == ScoreKind.LOGIT
    ids = run["q1"].doc_ids
    assert ids.index("sky") - ids.index("same") == 1  # equal texts, equal scores, by id
    assert run["q1"].scores[ids.index("same")] == run["q1"].scores[ids.index("sky")]


def test_the_title_is_read(tiny):
    run = Run.from_documents("sky", [Document("a", "blue", title="The sea"), Document("b", "The sea blue")])
    first, second = CrossEncoder(tiny).run(run, session=SESSION)["q1"]
    assert first.score == pytest.approx(second.score, abs=1e-6)


def test_tokens_that_are_not_read_are_noted(tiny):
    run = CrossEncoder(tiny).run(candidates())
    tokenizer = peer_of(tiny).tokenizer
    full = {
        query: len(tokenizer(text, TEXTS["long"], truncation=False, verbose=False).input_ids)
        for query, text in QUERIES.items()
    }
    noted = [(note.kind, note.query_id, note.doc_id, note.amount) for note in run.ledger.notes]
    assert noted == [("truncated", query, "long", count - 48) for query, count in full.items()]
    with pytest.raises(DataError, match="'long'"):
        CrossEncoder(tiny).run(candidates(), session=Session(offline=True, device="cpu", on_truncate="error"))


def test_costs_are_counted(tiny, batches):
    cost = CrossEncoder(tiny, batch_size=4).run(candidates()).ledger.costs[-1]
    assert (cost.stage, cost.model) == ("cross_encoder", tiny)
    assert (cost.inputs, cost.cached, cost.calls) == (12, 0, len(batches))
    assert batches == [4, 4, 2]  # of twelve pairs, two are equal to others
    tokenizer = peer_of(tiny).tokenizer
    pairs = {(query, text) for query in QUERIES.values() for text in TEXTS.values()}
    full = [len(tokenizer([query], [text], verbose=False).input_ids[0]) for query, text in pairs]
    assert cost.tokens == sum(min(48, count) for count in full)


def test_a_second_run_calls_no_model(tiny, batches, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = CrossEncoder(tiny, depth=5).run(candidates(session))
    del batches[:]
    stage = CrossEncoder(tiny, depth=5)
    again = stage.run(candidates(session))
    assert batches == []
    assert stage._loaded is None  # nor loads one
    assert again.ranking.fingerprint() == first.ranking.fingerprint()
    assert again.ledger.notes == first.ledger.notes
    assert first.ledger.counts() == {"truncated": 2, "not_reranked": 2}


def test_other_weights_under_the_same_name_are_another_cache_entry(batches, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path / "cache")
    folder = tiny_cross_encoder(tmp_path / "model")
    first, known = CrossEncoder(str(folder)).run(candidates(session)), CrossEncoder(str(folder)).fingerprint()
    tiny_cross_encoder(folder, seed=2)
    del batches[:]
    second = CrossEncoder(str(folder)).run(candidates(session))
    assert batches
    assert second.to_dict() != first.to_dict()
    assert CrossEncoder(str(folder)).fingerprint() != known


def test_several_outputs_are_an_error(tmp_path):
    folder = str(tiny_cross_encoder(tmp_path / "three", labels=3))
    with pytest.raises(DataError, match="the model has 3 outputs"):
        CrossEncoder(folder).run(candidates())


def test_a_model_without_a_head_is_an_error(tmp_path):
    folder = str(tiny_encoder(tmp_path))
    with pytest.raises(DataError, match=r"no scoring head.*BiEncoder"):
        CrossEncoder(folder).run(candidates())
    with pytest.raises(DataError, match="BertModel"):
        CrossEncoder("sentence-transformers/all-MiniLM-L6-v2").run(candidates())


def test_a_model_saved_by_sentence_transformers_is_read(tiny, tmp_path):
    peer_of(tiny).save_pretrained(str(tmp_path / "st"))
    one, other = CrossEncoder(tiny).run(candidates()), CrossEncoder(str(tmp_path / "st")).run(candidates())
    assert one.ranking.fingerprint() == other.ranking.fingerprint()


def test_a_model_that_is_nowhere_is_an_error():
    with pytest.raises(NotFoundError, match="no/where"):
        CrossEncoder("no/where").run(candidates())


def test_spoilt_weights_are_an_error(tmp_path):
    folder = tiny_cross_encoder(tmp_path / "spoilt")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(StageError, match="can not be loaded"):
        CrossEncoder(str(folder)).run(candidates())


def scores_of(stage, session=SESSION):
    run = stage.run(candidates(session))
    return {query: dict(zip(hits.doc_ids, hits.scores, strict=True)) for query, hits in run.items()}


@pytest.mark.parametrize(("precision", "off"), [("bfloat16", 0.3), ("onnx-float32", 1e-4), ("onnx-int8", 0.5)])
def test_other_precisions_give_about_the_same_scores(tiny, precision, off, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    plain, other = scores_of(CrossEncoder(tiny)), scores_of(CrossEncoder(tiny, precision=precision), session)
    differences = [abs(plain[query][doc_id] - other[query][doc_id]) for query in QUERIES for doc_id in TEXTS]
    assert max(differences) < off
    assert max(differences) > 0  # it was another computation


def test_what_auto_takes_is_part_of_the_identity(tiny):
    found = CrossEncoder(tiny, precision="auto").identity(SESSION)
    assert found != CrossEncoder(tiny, precision="float32").identity(SESSION)


@pytest.mark.parametrize("precision", ["onnx-int8", "onnx-float32"])
def test_scores_of_graphs_that_are_made_in_another_way_are_others(tiny, monkeypatch, precision):
    before = [CrossEncoder(tiny, precision=one).identity(SESSION) for one in (precision, "bfloat16")]
    monkeypatch.setattr("rankloom.encoders.precision.ONNX_FILES", 99)
    after = [CrossEncoder(tiny, precision=one).identity(SESSION) for one in (precision, "bfloat16")]
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)
    monkeypatch.setattr("onnxruntime.__version__", "99.0")
    assert CrossEncoder(tiny, precision=precision).identity(SESSION) not in (before[0], after[0])


def by_windows(tiny, query, *, window, stride, aggregate):
    """A document's score by hand: windows of words, which are tokens of their own in these texts."""
    import torch

    words, pieces, begin = TEXTS["long"].split(), [], 0
    while True:
        pieces.append(" ".join(words[begin : begin + window]))
        if begin + window >= len(words):
            break
        begin += stride
    scores = peer_of(tiny).predict([(query, piece) for piece in pieces], activation_fn=torch.nn.Identity())
    return {"max": max(scores), "first": scores[0], "top3": np.mean(sorted(scores)[-3:])}[aggregate], len(pieces)


@pytest.mark.parametrize("aggregate", ["max", "first", "top3"])
@pytest.mark.parametrize(("window", "stride"), [(20, None), (20, 7), (33, 30)])
def test_long_documents_are_read_by_windows(tiny, window, stride, aggregate):
    stage = CrossEncoder(tiny, window=window, stride=stride, aggregate=aggregate)
    run = stage.run(candidates())
    expected, pieces = by_windows(tiny, QUERIES["q2"], window=window, stride=stride or window, aggregate=aggregate)
    hits = run["q2"]
    assert dict(zip(hits.doc_ids, hits.scores, strict=True))["long"] == pytest.approx(expected, abs=1e-5)
    plain = scores_of(CrossEncoder(tiny))
    for doc_id in ("sky", "moon", "bread", "empty"):  # one window each
        assert dict(zip(hits.doc_ids, hits.scores, strict=True))[doc_id] == pytest.approx(plain["q2"][doc_id], abs=1e-5)
    notes = [(note.kind, note.doc_id, note.amount) for note in run.ledger.notes if note.query_id == "q2"]
    assert notes == ([("truncated", "long", 100 - window)] if aggregate == "first" else [])
    assert pieces > 2


def test_windows_are_shorter_where_the_query_is_long(tiny):
    query = "light " * 15
    run = Run.from_documents(query.strip(), [Document("long", TEXTS["long"])])
    found = CrossEncoder(tiny, window=40).run(run, session=SESSION)
    expected, _ = by_windows(tiny, query.strip(), window=48 - 18, stride=48 - 18, aggregate="max")
    assert found["q1"].scores[0] == pytest.approx(expected, abs=1e-5)
    assert not found.ledger.notes


def test_a_query_as_long_as_the_model_reads_is_cut_and_leaves_half_to_windows(tiny, batches):
    run = Run.from_documents("light " * 60, [Document("long", TEXTS["long"])])
    found = CrossEncoder(tiny, window=40).run(run, session=SESSION)
    assert sum(batches) == 5  # of 22 of 45 tokens each
    assert {note.kind for note in found.ledger.notes} == {"truncated"}


def test_a_batch_holds_as_many_pairs_as_its_tokens_allow(tiny, batches):
    CrossEncoder(tiny).run(candidates())
    assert batches == [10]  # 48 tokens each at most, of 1,024


@pytest.mark.parametrize("settings", [{"stride": 4}, {"window": 4, "stride": 5}, {"aggregate": "min"}, {"window": 0}])
def test_settings_of_windows_are_checked(settings):
    with pytest.raises(UsageError):
        CrossEncoder("x/y", **settings)


@pytest.mark.parametrize("parameter", ["depth", "batch_size"])
def test_parameters_are_checked(parameter):
    with pytest.raises(UsageError, match=f"{parameter} is out of range"):
        CrossEncoder("x/y", **{parameter: 0})


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return CrossEncoder(str(Path(os.environ[FOLDER])), depth=4)

    def make_run(self):
        return candidates()
