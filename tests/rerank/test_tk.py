"""TK against plain loops over words and kernels, on a small random model."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from rankloom import ScoreKind
from rankloom.errors import DataError
from rankloom.rerank import TK
from rankloom.testing import StageConformance
from tests.rerank.folders import QUERIES, TEXTS, candidates
from tests.tiny_models import tiny_cross_encoder, tiny_tk

FOLDER = "RANKLOOM_TEST_TK"  # where the tests' model is, also for the processes that they start


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_tk(tmp_path_factory.mktemp("tiny")))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


def alone(model, text, role, limit):
    """Vectors of one text's words, without padding."""
    import torch

    numbers = model.tokenizer.encode(text, add_special_tokens=False).ids[:limit]
    if not numbers:
        return np.zeros((0, 32))
    ids = torch.tensor([numbers])
    with torch.no_grad():
        return model.vectors(ids, torch.ones_like(ids, dtype=torch.bool), role)[0].double().numpy()


def looped(model, query, document):
    """The score by the formula, one word and one kernel at a time."""
    left, right = alone(model, query, "query", 8), alone(model, document, "document", 32)
    scale, weights = model.kernel_scale.tolist(), model.kernel_weights.weight[0].tolist()
    centres = [1.0, 0.9, 0.7, 0.5, 0.3, 0.1, -0.1, -0.3, -0.5, -0.7, -0.9]
    score = 0.0
    for kernel, centre in enumerate(centres):
        for word in left:
            soft = 0.0
            for other in right:
                cosine = float(word @ other / (np.linalg.norm(word) * np.linalg.norm(other)))
                soft += math.exp(-((cosine - centre) ** 2) / (2 * 0.1**2))
            score += weights[kernel] * math.log(max(soft * scale[kernel], 1e-10))
    return score


def test_scores_are_those_of_a_plain_loop(tiny):
    from rankloom.rerank.tk_model import TKModel

    model = TKModel.load(Path(tiny))
    run = TK(tiny).run(candidates())
    assert run.ranking.kind == ScoreKind.LOGIT
    for query_id, scores in run.to_dict().items():
        expected = {doc_id: looped(model, QUERIES[query_id], text) for doc_id, text in TEXTS.items()}
        assert len({round(score, 3) for score in expected.values()}) >= 4
        for doc_id, score in scores.items():
            assert score == pytest.approx(expected[doc_id], rel=1e-3, abs=1e-3), doc_id


def test_positions_of_queries_and_documents_differ_and_are_sinusoids(tiny):
    import torch

    from rankloom.rerank.tk_model import TKModel, sinusoids

    model = TKModel.load(Path(tiny))
    numbers = torch.tensor([[5, 6, 7]])
    mask = torch.ones_like(numbers, dtype=torch.bool)
    assert not torch.allclose(model.vectors(numbers, mask, "query"), model.vectors(numbers, mask, "document"))
    features = sinusoids(700, 32)
    assert features[600, 3].item() == pytest.approx(math.sin(600 * 1e4 ** (-3 / 15)), abs=1e-3)
    assert features[600, 16 + 3].item() == pytest.approx(math.cos(600 * 1e4 ** (-3 / 15)), abs=1e-3)


def test_what_is_not_read_is_noted(tiny):
    notes = TK(tiny).run(candidates()).ledger.notes
    assert {(note.kind, note.doc_id, note.amount) for note in notes} == {("truncated", "long", 68)}


def test_another_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a TK model"):
        TK(str(tiny_cross_encoder(tmp_path))).run(candidates())


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return TK(str(Path(os.environ[FOLDER])), depth=4)

    def make_run(self):
        return candidates()
