"""Reranking by a sentence encoder, with the real model of the extra `mini`."""

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Session
from rankloom.corpus import Corpus
from rankloom.encoders import SentenceEncoder
from rankloom.rerank import BiEncoder
from rankloom.retrieval import Dense
from rankloom.testing import StageConformance

SESSION = Session(offline=True, device="cpu")
TEXTS = {
    "sky": "The sky is blue because air scatters blue light.",
    "tides": "Tides follow the moon.",
    "bread": "Yeast makes bread rise.",
    "long": "The sea. " * 150,
}
QUERIES = {"q1": "why is the sky blue", "q2": "what moves the sea", "q3": "baking"}
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    return SentenceEncoder().load(SESSION)  # held by pytest, so that each test need not load the model


def candidates(session=SESSION):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=CORPUS, session=session)


def test_the_right_document_comes_first():
    run = BiEncoder().run(candidates())
    assert run["q1"][0].doc_id == "sky"
    assert run["q3"][0].doc_id == "bread"
    assert run.ranking.kind == ScoreKind.SIMILARITY
    assert [(note.kind, note.doc_id) for note in run.ledger.notes] == [("truncated", "long")] * 3


def test_scores_are_those_of_dense_retrieval():
    retrieved = Dense.of(CORPUS, session=SESSION).run(QUERIES, session=SESSION).to_dict()
    found = BiEncoder().run(candidates()).to_dict()
    for query, scores in found.items():
        assert list(scores) == list(retrieved[query])
        np.testing.assert_allclose(list(scores.values()), list(retrieved[query].values()), atol=1e-6)


def test_each_text_is_encoded_once(monkeypatch):
    seen = []
    encode = SentenceEncoder.encode

    def counting(self, texts, **options):
        seen.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(SentenceEncoder, "encode", counting)
    cost = BiEncoder().run(candidates()).ledger.by_stage()["bi_encoder"]
    assert sorted(seen) == sorted([*QUERIES.values(), *TEXTS.values()])
    assert (cost.inputs, cost.calls) == (12, 2)


def test_a_second_run_loads_no_model(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = BiEncoder(depth=3).run(candidates(session))
    stage = BiEncoder(depth=3)
    again = stage.run(candidates(session))
    assert stage._encoder._loaded == {}
    assert again.ranking.fingerprint() == first.ranking.fingerprint()
    assert again.ledger.notes == first.ledger.notes


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    def make_stage(self):
        return BiEncoder(depth=3)

    def make_run(self):
        return candidates()
