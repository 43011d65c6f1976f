"""Sentences by a cross-encoder, against the reranker of the same weights on documents of one sentence."""

import os

import numpy as np
import pytest

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import NotFoundError, UsageError
from rankloom.rerank import CrossEncoder, SentenceCrossEncoder, split_sentences
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_cross_encoder, tiny_encoder

SESSION = Session(offline=True, device="cpu")
FOLDER = "RANKLOOM_TEST_SENTENCE_CROSS_ENCODER"  # where the tests' model is, also for the processes that they start
DOCUMENTS = [
    Document(
        "sky", "Air scatters blue light, so the sky is blue. Bread needs yeast. At dusk the sky is red.", "On skies"
    ),
    Document("sea", "Tides follow the moon. The sea rises twice a day. Bread needs yeast."),
    Document("empty", " "),
    Document("long", "light " * 90 + ". The moon."),
]
QUERIES = {"q1": "why is the sky blue", "q2": "tide"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_cross_encoder(tmp_path_factory.mktemp("tiny") / "model"))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


def candidates(session=SESSION):
    scores = {document.id: -float(place) for place, document in enumerate(DOCUMENTS)}
    documents = MemoryDocuments(DOCUMENTS)
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=documents, session=session)


def sigmoids(model, query, document, *, title):
    """What the reranker says of each sentence as a document of its own."""
    sentences = [document.text[start:end] for start, end in split_sentences(document.text)]
    alone = [Document(f"s{place}", text, document.title if title else "") for place, text in enumerate(sentences)]
    scores = CrossEncoder(model).run(Run.from_documents(query, alone), session=SESSION).to_dict()["q1"]
    return [1 / (1 + np.exp(-scores[one.id])) for one in alone]


@pytest.mark.parametrize("title", [True, False])
def test_probabilities_are_the_rerankers_for_each_sentence_alone(tiny, title):
    run = SentenceCrossEncoder(tiny, title=title, threshold=0.5).run(candidates())
    seen = []
    for query_id, hits in run.items():
        for hit, document in zip(hits, DOCUMENTS, strict=True):
            expected = sigmoids(tiny, QUERIES[query_id], document, title=title) if document.text.strip() else []
            assert [span.probability for span in hit.spans] == pytest.approx(expected, abs=1e-5)
            assert [span.kept for span in hit.spans] == [value >= 0.5 for value in expected]
            seen += expected
    assert np.ptp(seen) > 0.01  # the model tells the sentences apart
    assert run.to_dict() == candidates().to_dict()


def test_the_title_is_read_before_each_sentence(tiny):
    with_title, without = (SentenceCrossEncoder(tiny, title=title).run(candidates())["q1"] for title in (True, False))
    probabilities = [[span.probability for span in hits[0].spans] for hits in (with_title, without)]
    assert all(abs(one - other) > 1e-4 for one, other in zip(*probabilities, strict=True))
    untitled = [[span.probability for span in hits[1].spans] for hits in (with_title, without)]
    assert untitled[0] == pytest.approx(untitled[1], abs=1e-6)


def test_adapters_judge_as_the_rerankers_that_they_are(tmp_path):
    import torch
    from sentence_transformers import SentenceTransformer

    from rankloom.cross_encoder_adapter import CrossEncoderSettings, adapted, save_adapter

    settings = CrossEncoderSettings(str(tiny_encoder(tmp_path / "backbone")), 40, rank=4)
    torch.manual_seed(3)
    save_adapter(adapted(SentenceTransformer(settings.backbone, device="cpu"), settings), tmp_path / "made", settings)
    model = str(tmp_path / "made")
    hit = SentenceCrossEncoder(model).run(candidates())["q1"][0]
    expected = sigmoids(model, QUERIES["q1"], DOCUMENTS[0], title=True)
    assert [span.probability for span in hit.spans] == pytest.approx(expected, abs=1e-5)


def test_order_is_kept_and_numbers_limit_it(tiny):
    hit = SentenceCrossEncoder(tiny, threshold=0, best=2).run(candidates())["q1"][0]
    kept = [span for span in hit.spans if span.kept]
    assert len(kept) == 2
    assert [span.start for span in kept] == sorted(span.start for span in kept)
    assert min(span.probability for span in kept) >= max(span.probability for span in hit.spans if not span.kept)


def test_scores_are_remembered_by_the_sentence(tiny, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    sentence = Document("alone", "Bread needs yeast.")
    CrossEncoder(tiny).run(Run.from_documents("tide", [sentence]), session=session)
    stage = SentenceCrossEncoder(tiny, title=False)
    read = stage.run(Run.from_documents("tide", [DOCUMENTS[1]]), session=session).ledger.by_stage()[stage.name].tokens
    fresh = stage.run(Run.from_documents("tide", [DOCUMENTS[1]]), session=SESSION).ledger.by_stage()[stage.name].tokens
    assert 0 < read < fresh  # the sentence that the reranker has seen is not read again
    other = SentenceCrossEncoder(tiny, title=False, splitter="lines", threshold=0.9)
    text = DOCUMENTS[1].text.replace(". ", ".\n")
    run = other.run(Run.from_documents("tide", [Document("x", text)]), session=session)
    assert (run.ledger.by_stage()[stage.name].calls, len(run["q1"][0].spans)) == (0, 3)  # the same sentences elsewhere


def test_a_second_run_and_another_threshold_load_no_model(tiny, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = SentenceCrossEncoder(tiny).run(candidates(session))
    for stage in (SentenceCrossEncoder(tiny), SentenceCrossEncoder(tiny, threshold=0.9, keep_at_least=1)):
        run = stage.run(candidates(session))
        assert run.ledger.by_stage()[stage.name].cached == len(QUERIES) * len(DOCUMENTS)
        assert stage._scorer._loaded is None
        assert (run.ranking.fingerprint() == first.ranking.fingerprint()) == (stage.threshold == 0.1)


def test_long_sentences_are_noted(tiny):
    notes = SentenceCrossEncoder(tiny).run(candidates()).ledger.of("truncated")
    assert {(note.query_id, note.doc_id) for note in notes} == {("q1", "long"), ("q2", "long")}


def test_errors_name_the_stage():
    with pytest.raises(NotFoundError, match="sentence_cross_encoder"):
        SentenceCrossEncoder("cross-encoder/no-such-model").run(candidates())
    with pytest.raises(UsageError, match="sentence_cross_encoder: threshold is out of range"):
        SentenceCrossEncoder("any", threshold=2)


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return SentenceCrossEncoder(os.environ[FOLDER], depth=3)

    def make_run(self):
        return candidates()
