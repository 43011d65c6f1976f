"""Extractive pruning, with the real model of the extra `mini`."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.encoders import SentenceEncoder
from rankloom.errors import UsageError
from rankloom.rerank import BiEncoder, SentencePruner, split_sentences
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")
TEXTS = {
    "sky": "Air scatters blue light, so the sky is blue. Bread needs yeast. At dusk the sky is red.",
    "tides": "Tides follow the moon. The sea rises twice a day.",
    "bread": "Yeast makes bread rise.",
    "empty": " ",
}
QUERIES = {"q1": "why is the sky blue", "q2": "what moves the sea"}
DOCUMENTS = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    return SentenceEncoder().load(SESSION)  # held by pytest, so that each test need not load the model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    encoder = SentenceEncoder(str(tiny_encoder(tmp_path_factory.mktemp("tiny"))))
    encoder.load(SESSION)
    return encoder


def candidates(session=SESSION):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=DOCUMENTS, session=session)


def one(text, query="why is the sky blue", title="", **parameters):
    """The one hit of a pruned run, and what is noted of it."""
    document = Document("d", text, title=title)
    run = SentencePruner(**parameters).run(Run.from_documents(query, [document]), session=SESSION)
    return run["q1"][0], run.ledger.notes


def test_sentences_about_the_query_are_kept():
    hit, notes = one(TEXTS["sky"])
    assert hit.pruned_text == "Air scatters blue light, so the sky is blue. At dusk the sky is red."
    assert [span.kept for span in hit.spans] == [True, False, True]
    assert [span.reason for span in hit.spans] == ["above threshold", "below threshold", "above threshold"]
    assert hit.spans[0].probability > hit.spans[2].probability > hit.spans[1].probability
    assert notes == ()


def test_the_probability_is_the_documented_map_of_the_cosine():
    hit, _ = one(TEXTS["sky"])
    encoder = SentenceEncoder()
    query = encoder.encode(["why is the sky blue"], role="query", session=SESSION).vectors[0]
    sentences = [TEXTS["sky"][span.start : span.end] for span in hit.spans]
    cosines = encoder.encode(sentences, role="document", session=SESSION).vectors @ query
    expected = 1 / (1 + np.exp(4.3 - 7.5 * cosines))
    assert [span.probability for span in hit.spans] == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_title_is_not_read():
    plain, titled = (one("It scatters light.", title=title)[0].spans for title in ("", "The blue sky"))
    assert plain == titled


@pytest.mark.slow
def test_the_default_threshold_does_what_its_description_says():
    mini = Path(__file__).parents[3] / "eval" / "mini"
    read = {name: [json.loads(line) for line in (mini / f"{name}.jsonl").open()] for name in ("corpus", "queries")}
    documents = {record["_id"]: Document(record["_id"], record["text"]) for record in read["corpus"]}
    queries = {record["_id"]: record["text"] for record in read["queries"]}
    labels = [json.loads(line) for line in (mini / "sentences.jsonl").open()]
    judged = {query: {} for query in queries}
    for label in labels:
        judged[label["query_id"]][label["doc_id"]] = 1.0
    run = Run.from_dict(judged, queries=queries, documents=MemoryDocuments(documents.values()), session=SESSION)
    at_once = type("AtOnce", (SentencePruner,), {"unit": len(queries)})  # so that each sentence is encoded once
    pruned = at_once().run(run)
    spans = {(query, hit.doc_id): hit.spans for query, hits in pruned.items() for hit in hits}
    rows = [
        (span.kept, any(_mostly(span, *marked) for marked in label["sentences"]), bool(label["sentences"]))
        for label in labels
        for span in spans[label["query_id"], label["doc_id"]]
    ]
    kept, marked, relevant = np.array(rows).T
    assert len(rows) == 4942
    found = kept.mean(), marked[kept].mean(), kept[marked].mean(), kept[relevant].mean(), marked[kept & relevant].mean()
    assert found == pytest.approx((0.20, 0.20, 0.58, 0.45, 0.63), abs=0.01)


def _mostly(span, start, end):
    """Whether more than half of a span lies between two places."""
    return min(span.end, end) - max(span.start, start) > (span.end - span.start) / 2


def test_order_and_scores_stay():
    run = SentencePruner(depth=2).run(candidates())
    assert run.to_dict() == candidates().to_dict()
    assert [hit.spans is None for hit in run["q1"]] == [False, False, True, True]
    assert run["q1"].scored is None


def test_nothing_kept_is_a_result():
    hit, notes = one("Bread needs yeast. Salt too.")
    assert (hit.pruned_text, [span.kept for span in hit.spans]) == ("", [False, False])
    assert [(note.kind, note.query_id, note.doc_id) for note in notes] == [("nothing_kept", "q1", "d")]
    hit, notes = one(" ")
    assert (hit.pruned_text, hit.spans) == ("", ())
    assert [note.kind for note in notes] == ["nothing_kept"]


def test_some_can_be_kept_whatever_they_are():
    hit, notes = one("Bread needs yeast. The sea is blue. Salt too.", threshold=1.0, keep_at_least=1)
    assert hit.pruned_text == "The sea is blue."
    assert [span.reason for span in hit.spans] == ["below threshold", "among the best", "below threshold"]
    assert notes == ()
    hit, _ = one("Bread needs yeast.", threshold=1.0, keep_at_least=5)
    assert hit.pruned_text == "Bread needs yeast."


def test_at_threshold_0_everything_is_kept():
    hit, _ = one(TEXTS["sky"], threshold=0)
    assert all(span.kept for span in hit.spans)


@settings(max_examples=20, deadline=None)
@given(text=st.text(max_size=200), threshold=st.floats(0, 1), at_least=st.integers(0, 3))
def test_any_text_is_pruned_by_whole_sentences(tiny, text, threshold, at_least):
    pruner = SentencePruner(tiny.model, threshold=threshold, keep_at_least=at_least)
    hit = pruner.run(Run.from_documents("sky", [Document("d", text)]), session=SESSION)["q1"][0]
    assert [(span.start, span.end) for span in hit.spans] == split_sentences(text)
    assert all(0 <= span.probability <= 1 for span in hit.spans)
    kept = [span for span in hit.spans if span.kept]
    assert len(kept) >= min(at_least, len(hit.spans))
    assert all(span.kept for span in hit.spans if span.probability >= threshold)
    if kept:
        assert min(span.probability for span in kept) >= max(
            (span.probability for span in hit.spans if not span.kept), default=0
        )


def test_a_second_run_calls_no_model_and_neither_does_another_threshold(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = SentencePruner().run(candidates(session))
    again, stricter = SentencePruner(), SentencePruner(threshold=0.9, keep_at_least=1, depth=2)
    cached, strict = again.run(candidates(session)), stricter.run(candidates(session))
    assert cached.ranking.fingerprint() == first.ranking.fingerprint()
    assert cached.ledger.notes == first.ledger.notes
    assert again._encoder._loaded == stricter._encoder._loaded == {}
    assert strict.ledger.by_stage()["sentence_pruner"].cached == 4
    assert strict.ranking.spans != first.ranking.spans


def test_the_cache_tells_title_and_text_apart(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    for document in (Document("d", "Sky. Sea. Moon."), Document("d", "Sea. Moon.", title="Sky.")):
        hit = SentencePruner().run(Run.from_documents("sea", [document]), session=session)["q1"][0]
        assert [(span.start, span.end) for span in hit.spans] == split_sentences(document.text)


def test_long_sentences_are_noted():
    _, notes = one("sky " * 400 + ". Short.", threshold=0)
    assert [(note.kind, note.doc_id) for note in notes] == [("truncated", "d")]
    assert notes[0].amount == 400 + 1 + 2 - 256


def test_a_query_without_text_leaves_documents_whole():
    run = Run.from_documents(" ", [Document("d", TEXTS["sky"])])
    pruned = SentencePruner().run(run, session=SESSION)
    assert pruned["q1"][0].spans is None
    assert [note.kind for note in pruned.ledger.notes] == ["empty_query"]


def test_the_context_is_made_of_kept_sentences():
    run = (BiEncoder() >> SentencePruner()).run(candidates())
    context = run["q1"].context(max_tokens=60)
    assert "Bread" not in context.text
    for citation in context.citations:
        assert all(TEXTS[citation.doc_id][start:end] in context.text for start, end in citation.spans)


@pytest.mark.parametrize("parameters", [{"threshold": 1.5}, {"keep_at_least": -1}, {"depth": 0}, {"batch_size": 0}])
def test_parameters_are_checked(parameters):
    with pytest.raises(UsageError, match=f"{next(iter(parameters))} is out of range"):
        SentencePruner(**parameters)


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    def make_stage(self):
        return SentencePruner(depth=3)

    def make_run(self):
        return candidates()
