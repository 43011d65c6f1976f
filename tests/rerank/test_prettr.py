"""PreTTR: unsplit it is the plain cross-encoder; split, it is one whose lower layers do not look across."""

import os
from pathlib import Path

import pytest

from rankloom import ScoreKind, Session
from rankloom.errors import DataError
from rankloom.rerank import PreTTR
from rankloom.testing import StageConformance
from tests.rerank.folders import QUERIES, TEXTS, candidates
from tests.tiny_models import tiny_cross_encoder, tiny_prettr

FOLDER = "RANKLOOM_TEST_PRETTR"  # where the tests' model is, also for the processes that they start
SHORT = [text for text in TEXTS.values() if len(text) < 50]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_prettr(tmp_path_factory.mktemp("tiny")))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


def scores_of(model, queries, documents):
    import torch

    with torch.no_grad():
        left, right = model.tokens(queries, "query"), model.tokens(documents, "document")
        states = model.documents(right, left.mask)
        return model.upper(model.lower(left, "query"), left.mask, states, right.mask)


def loaded(folder):
    import torch

    from rankloom.rerank.prettr_model import PreTTRModel

    return PreTTRModel.load(str(folder), torch.float32)


def test_unsplit_it_is_the_plain_cross_encoder(tmp_path):
    import torch

    model = loaded(tiny_prettr(tmp_path, split=0))
    queries = ["why is the sky blue"] * len(SHORT)
    with torch.no_grad():
        expected = model.model(**model.tokenizer(queries, SHORT, padding=True, return_tensors="pt")).logits[:, 0]
    assert scores_of(model, queries, SHORT).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert expected.std() > 0.01


def test_split_it_is_the_joint_model_with_a_mask_between_query_and_document(tiny):
    """One sequence through every layer, with a mask of blocks in the lower one: how the paper trains it."""
    import torch

    model = loaded(tiny)
    bert = model.model.bert
    for query, document in [("why is the sky blue", "The moon moves the sea."), ("tide", "")]:
        left, right = model.tokens([query], "query"), model.tokens([document], "document")
        first, second = left.numbers.shape[1], right.numbers.shape[1]
        numbers = torch.cat([left.numbers, right.numbers], dim=1)
        segments = torch.tensor([[0] * first + [1] * second])
        places = torch.tensor([[*range(first), *range(12, 12 + second)]])
        blocks = torch.block_diag(torch.ones(first, first), torch.ones(second, second))
        with torch.no_grad():
            states = bert.embeddings(input_ids=numbers, token_type_ids=segments, position_ids=places)
            states = bert.encoder.layer[0](states, (1 - blocks)[None, None] * torch.finfo(torch.float32).min)
            states = bert.encoder.layer[1](states, torch.zeros(1, 1, 1, first + second))
            expected = model.model.classifier(bert.pooler(states)).item()
        assert scores_of(model, [query], [document]).item() == pytest.approx(expected, abs=1e-5)


def test_documents_that_were_computed_ahead_give_the_same_scores(tiny, tmp_path, monkeypatch):
    from rankloom.rerank.prettr_model import PreTTRModel

    session = Session(offline=True, device="cpu", cache=tmp_path)
    plain = PreTTR(tiny).run(candidates()).to_dict()
    first = PreTTR(tiny, store_documents=True).run(candidates(session)).to_dict()
    for query_id, scores in first.items():
        assert scores == pytest.approx(plain[query_id], abs=5e-3)  # half precision
    asked = []
    documents = PreTTRModel.documents
    monkeypatch.setattr(PreTTRModel, "documents", lambda self, *given: asked.append(given) or documents(self, *given))
    other = {"q3": "why is the moon"}
    from tests.rerank.folders import DOCUMENTS, Run

    run = Run.from_dict({"q3": dict(first["q1"])}, queries=other, documents=DOCUMENTS, session=session)
    known = PreTTR(tiny, store_documents=True).run(run)
    assert not asked
    without = Run.from_dict(
        {"q3": dict(first["q1"])}, queries=other, documents=DOCUMENTS, session=Session(offline=True)
    )
    again = PreTTR(tiny, store_documents=True).run(without)
    assert asked
    assert known.to_dict()["q3"] == pytest.approx(again.to_dict()["q3"], abs=1e-5)


def test_scores_are_logits_and_what_is_not_read_is_noted(tiny):
    run = PreTTR(tiny).run(candidates())
    assert run.ranking.kind == ScoreKind.LOGIT
    assert set(run.to_dict()) == set(QUERIES)
    assert {(note.kind, note.doc_id, note.amount) for note in run.ledger.notes} == {("truncated", "long", 69)}


def test_models_that_can_not_be_split_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nothing of a split.*cross_encoder"):
        PreTTR(str(tiny_cross_encoder(tmp_path / "plain"))).run(candidates())
    with pytest.raises(DataError, match="too small"):
        tiny_prettr(tmp_path / "deep", split=3)
    with pytest.raises(DataError, match="too small"):
        tiny_prettr(tmp_path / "long", max_tokens=64)


def test_unsplit_nothing_can_be_stored(tmp_path):
    with pytest.raises(DataError, match="computed ahead"):
        PreTTR(str(tiny_prettr(tmp_path, split=0)), store_documents=True).run(candidates())


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return PreTTR(str(Path(os.environ[FOLDER])), depth=4)

    def make_run(self):
        return candidates()
