"""Late interaction against sentence-transformers itself, on a small random model."""

import os
from pathlib import Path

import numpy as np
import pytest

from rankloom import ScoreKind, Session
from rankloom.errors import DataError, UsageError
from rankloom.rerank import LateInteraction
from rankloom.testing import StageConformance
from rankloom.token_encoder import TokenEncoder, without_blank
from rankloom.token_vectors import maxsim
from tests.rerank.folders import QUERIES, SESSION, TEXTS, candidates
from tests.tiny_models import tiny_colbert, tiny_encoder

FOLDER = "RANKLOOM_TEST_COLBERT"  # where the tests' model is, also for the processes that they start


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_colbert(tmp_path_factory.mktemp("tiny")))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


def test_scores_are_those_of_sentence_transformers(tiny):
    from sentence_transformers import MultiVectorEncoder

    peer = MultiVectorEncoder(tiny, device="cpu", local_files_only=True)
    left = peer.encode_query(list(QUERIES.values()))
    right = peer.encode_document(list(TEXTS.values()))
    expected = peer.similarity(left, right).tolist()
    run = LateInteraction(tiny).run(candidates())
    assert run.ranking.kind == ScoreKind.SIMILARITY
    for row, scores in enumerate(run.to_dict().values()):
        assert len(set(scores.values())) == len(set(TEXTS.values()))
        for column, doc_id in enumerate(TEXTS):
            wanted = 0 if doc_id == "empty" else expected[row][column]  # there are vectors of special tokens
            assert scores[doc_id] == pytest.approx(wanted, abs=1e-4)


def test_queries_are_filled_up_and_punctuation_has_no_vector(tiny, tmp_path):
    encoder = TokenEncoder(tiny)
    (query,) = encoder.encode(["sky"], role="query", session=SESSION).vectors
    assert query.shape == (12, 16)
    with_mark, without = encoder.encode(["sky!", "sky"], role="document", session=SESSION).vectors
    assert len(with_mark) == len(without) == 3
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1, atol=1e-5)
    plain = TokenEncoder(str(tiny_colbert(tmp_path, expand=False, skip=())))
    (query,) = plain.encode(["sky"], role="query", session=SESSION).vectors
    (document,) = plain.encode(["sky!"], role="document", session=SESSION).vectors
    assert (len(query), len(document)) == (3, 4)


def test_what_is_not_read_is_noted(tiny):
    notes = LateInteraction(tiny).run(candidates()).ledger.of("truncated")
    assert {(note.kind, note.doc_id, note.amount) for note in notes} == {("truncated", "long", 70)}
    told = TokenEncoder(tiny).encode(["sky " * 20, "sea " * 30, "sky"], role="query", session=SESSION)
    assert told.truncated.tolist() == [10, 20, 0]
    assert told.tokens.tolist() == [12, 12, 3]


def test_a_reduction_leaves_fewer_vectors(tiny):
    encoder = TokenEncoder(tiny, reduction="C2x3")
    left = encoder.encode(list(QUERIES.values()), role="query", session=SESSION).vectors
    right = encoder.encode(list(TEXTS.values()), role="document", session=SESSION)
    right = without_blank(right, list(TEXTS.values())).vectors
    assert left.lengths.tolist() == [2, 2]
    run = LateInteraction(tiny, reduction="C2x3").run(candidates())
    for query, scores in zip(left, run.to_dict().values(), strict=True):
        expected = dict(zip(TEXTS, maxsim(query, right), strict=True))
        assert scores == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UsageError, match="no such reduction"):
        LateInteraction(tiny, reduction="C2y3")


def test_a_document_without_vectors_is_noted_also_from_the_cache(tmp_path):
    """Of this model the special tokens count no more than marks do."""
    folder = str(tiny_colbert(tmp_path / "model", skip=("[CLS]", "[SEP]", "!")))
    session = Session(offline=True, device="cpu", cache=tmp_path / "cache")
    for _ in range(2):
        after = LateInteraction(folder).run(candidates(session))
        notes = [(note.query_id, note.doc_id) for note in after.ledger.notes if note.kind == "no_vectors"]
        assert notes == [("q1", "empty"), ("q2", "empty")]
        assert after.to_dict()["q1"]["empty"] == 0


def test_a_document_without_contents_has_no_vectors(tiny):
    """The special tokens of this model count, and would outscore documents."""
    after = LateInteraction(tiny).run(candidates())
    assert [(note.query_id, note.doc_id) for note in after.ledger.of("no_vectors")] == [
        ("q1", "empty"),
        ("q2", "empty"),
    ]
    assert after.to_dict()["q1"]["empty"] == after.to_dict()["q2"]["empty"] == 0


def test_a_sentence_encoder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no vectors of tokens"):
        LateInteraction(str(tiny_encoder(tmp_path))).run(candidates())


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return LateInteraction(str(Path(os.environ[FOLDER])), depth=4)

    def make_run(self):
        return candidates()
