import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Run, Session, rrf
from rankloom.errors import CompositionError, UsageError
from rankloom.serving.adapters.documents import check_reranker, check_retriever, found, rerank, title_of
from rankloom.serving.adapters.facts import NAMES, Given
from tests.rankloom.stages_for_tests import TEXTS, Expand, Lengths, NoTexts, OtherWords, Sentences, Words
from tests.serving.adapters.hosts import PRUNE, QUESTION, RERANK, SEARCH, Opaque, Zeros

SKY = "The sky is blue. Bread needs yeast. The blue sky is far."


def some_given(**metadata):
    return [Given(text, doc_id=doc_id, metadata=metadata, score=2.0) for doc_id, text in TEXTS.items()]


def again(ranked):
    """Documents that an adapter has made, as the next adapter reads them."""
    return [Given(one.text, one.doc_id, one.metadata, "", one.score) for one in ranked]


# --- no hit is lost, nothing is changed -----------------------------------------------------------------------------

ids = st.sampled_from(["", "", "a", "a", "a#2", "b", "a#3"])
texts = st.sampled_from(["", "Sky.", "The sky is blue. Bread.", "Sky."])
anything = st.dictionaries(st.sampled_from(["x", "rank", "title", "trace", "spans"]), st.integers() | st.none())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Given, texts, ids, anything, texts, st.none() | st.floats(0, 1)), max_size=7))
def test_every_document_comes_back_once_and_is_not_changed(given_documents):
    before = copy.deepcopy(given_documents)
    ranked = rerank(Lengths(depth=3) >> PRUNE, QUESTION, given_documents)
    assert sorted(one.place for one in ranked) == list(range(len(given_documents)))
    assert given_documents == before
    for one in ranked:
        original = given_documents[one.place]
        assert one.doc_id == original.doc_id or (not original.doc_id and one.doc_id)
        kept = {**one.metadata, **one.metadata.get("replaced_metadata", {})}
        assert {name: kept[name] for name in original.metadata} == original.metadata


def test_documents_without_an_id_get_one_that_follows_from_their_text():
    one, other, same = (rerank(PRUNE, "sky", [Given(text)])[0].doc_id for text in ("Sky.", "Sea.", "Sky."))
    assert one == same != other


def test_what_json_can_not_hold_passes_as_it_is():
    opaque, nested = Opaque(), {"deep": [{"set": {1}}]}
    cycle: list = []
    cycle.append(cycle)
    for one in rerank(RERANK >> PRUNE, QUESTION, some_given(opaque=opaque, nested=nested, cycle=cycle)):
        assert one.metadata["opaque"] is opaque
        assert one.metadata["nested"] is nested
        assert one.metadata["cycle"] is cycle


def test_what_stages_read_of_metadata_reaches_them():
    from rankloom.rerank import SourceFilter

    documents = [Given("Sky.", str(n), {"host": host, "lock": Opaque()}) for n, host in enumerate("aba")]
    assert [one.place for one in rerank(SourceFilter({"a": 1.0, "b": 0.0}, source="host"), "sky", documents)] == [0, 2]


# --- scores, ranks and where they come from -------------------------------------------------------------------------


def test_a_direct_run_gives_the_same():
    run = (RERANK >> PRUNE).run(Run.from_documents(QUESTION, SEARCH.documents))
    ranked = rerank(RERANK >> PRUNE, QUESTION, some_given())
    assert [(one.doc_id, one.text, one.score, one.metadata["rank"]) for one in ranked] == [
        (hit.doc_id, hit.pruned_text, hit.score, hit.rank) for hit in run["q1"]
    ]


def test_a_hit_tells_its_way_and_the_score_it_came_with():
    [one, *_] = rerank(RERANK, QUESTION, some_given())
    assert one.metadata["retrieval_score"] == 2.0
    assert one.metadata["relevance_score"] == one.score == len(TEXTS["d4"])
    assert one.metadata["trace"] == [
        {"stage": "given", "rank": 4, "score": 2.0, "depth": 0},
        {"stage": "lengths", "rank": 1, "score": one.score, "depth": 0},
    ]


def test_a_hit_below_the_depth_says_so_and_passes_no_threshold():
    ranked = rerank(Lengths(depth=2), QUESTION, some_given())
    assert [one.metadata.get("reranked") for one in ranked] == [None, None, False, False, False]
    assert [one.place for one in rerank(Lengths(depth=2), QUESTION, some_given(), threshold=-100)] == [0, 1]


def test_threshold_and_top_n():
    scores = [one.score for one in rerank(RERANK, QUESTION, some_given())]
    assert scores == sorted(scores, reverse=True)
    assert [one.score for one in rerank(RERANK, QUESTION, some_given(), top_n=2)] == scores[:2]
    assert [one.score for one in rerank(RERANK, QUESTION, some_given(), threshold=scores[2])] == scores[:3]
    assert rerank(RERANK, QUESTION, some_given(), threshold=1e9) == []


def test_a_pruner_gives_no_scores():
    for one in rerank(PRUNE, QUESTION, some_given()):
        assert one.score == one.metadata["retrieval_score"] == 2.0
        assert "relevance_score" not in one.metadata
    assert len(rerank(PRUNE, QUESTION, some_given(), threshold=2.0)) == 5
    with pytest.raises(UsageError, match="threshold needs scores"):
        rerank(PRUNE, QUESTION, [Given("Sky.")], threshold=0.5)


def test_a_score_of_nought_is_a_score():
    [one] = rerank(Zeros(), QUESTION, [Given("Sky.", score=3.0)])
    assert one.score == one.metadata["relevance_score"] == 0.0
    assert one.metadata["retrieval_score"] == 3.0


@pytest.mark.parametrize(
    ("pipeline", "retrieval"),
    [
        (SEARCH >> RERANK, SEARCH),
        (SEARCH >> Expand() >> Words(boost=3.0) >> RERANK, SEARCH >> Expand() >> Words(boost=3.0)),
        (rrf(SEARCH, OtherWords()) >> RERANK >> PRUNE, rrf(SEARCH, OtherWords())),
        (SEARCH, SEARCH),
    ],
)
def test_the_retrieval_score_is_that_of_the_last_search(pipeline, retrieval):
    scores = dict(zip((first := retrieval.search(QUESTION)).doc_ids, first.scores, strict=True))
    hits = found(pipeline.search(QUESTION))
    assert len(hits) == len(scores)
    assert {one.doc_id: one.metadata["retrieval_score"] for one in hits} == scores


def test_what_the_ledger_says_of_a_document_stands_with_it(caplog):
    with caplog.at_level("INFO", logger="rankloom"):
        ranked = rerank(Lengths(depth=10, limit=30), QUESTION, some_given())
        found(SEARCH.search("zebra"))
    notes = {one.doc_id: one.metadata.get("notes") for one in ranked}
    assert notes["d1"] == [{"stage": "lengths", "kind": "truncated", "amount": len(TEXTS["d1"]) - 30, "detail": ""}]
    assert notes["d3"] is None
    assert caplog.messages == ["words: no_hits (1) "]


# --- pruned texts ---------------------------------------------------------------------------------------------------


def test_offsets_point_into_the_original_text():
    [one] = rerank(PRUNE, QUESTION, [Given(SKY, "a")])
    assert one.text == "The sky is blue. The blue sky is far."
    assert one.metadata["original_text"] == SKY
    assert [SKY[c["start"] : c["end"]] for c in one.metadata["citations"]] == [
        "The sky is blue.",
        "The blue sky is far.",
    ]
    assert {c["doc_id"] for c in one.metadata["citations"]} == {"a"}
    assert [(s["kept"], s["reason"]) for s in one.metadata["spans"]] == [
        (True, "counted"),
        (False, "counted"),
        (True, "counted"),
    ]


def test_a_text_that_is_not_pruned_is_cited_whole():
    [one] = rerank(RERANK, QUESTION, [Given(SKY, "a")])
    assert one.metadata["citations"] == [{"doc_id": "a", "start": 0, "end": len(SKY)}]
    assert not {"spans", "original_text"} & one.metadata.keys()


def test_a_document_of_which_nothing_is_kept_comes_back_empty():
    [one] = rerank(PRUNE, QUESTION, [Given("Bread.", "a")])
    assert (one.text, one.metadata["citations"], one.metadata["original_text"]) == ("", [], "Bread.")


def test_a_title_comes_from_the_corpus_and_goes_to_the_reranker():
    [one, *_] = found(SEARCH.search(QUESTION))
    assert one.metadata["title"] == "About d1"
    assert title_of(one.metadata, "title") == "About d1"
    assert title_of({"title": 5}, "title") == title_of({}, "title") == title_of(one.metadata, None) == ""


# --- one adapter after another --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [(RERANK, PRUNE), (PRUNE, RERANK), (PRUNE, Sentences(threshold=0.1))])
def test_adapters_one_after_another_give_what_one_pipeline_gives(stages):
    pipeline = SEARCH
    documents = again(found(SEARCH.search(QUESTION)))
    for stage in stages:
        pipeline = pipeline >> stage
        documents = again(rerank(stage, QUESTION, documents))
    assert documents == again(found(pipeline.run(QUESTION)["q1"]))


def test_a_text_that_somebody_else_has_changed_is_a_new_text():
    [one] = rerank(PRUNE, QUESTION, [Given(SKY, "a", {"page": 1})])
    changed = Given("The blue sky, shortened.", "a", one.metadata)
    [reranked] = rerank(RERANK, QUESTION, [changed])
    assert reranked.text == changed.text
    assert reranked.metadata["citations"] == [{"doc_id": "a", "start": 0, "end": len(changed.text)}]
    assert not {"spans", "original_text"} & reranked.metadata.keys()
    assert reranked.metadata["page"] == 1


def test_names_that_a_document_has_already_are_kept_beside():
    own = {name: f"own {name}" for name in NAMES}
    ranked = rerank(RERANK, QUESTION, [Given("Sky.", "a", own, score=1.0)])
    for _ in range(2):
        [one] = ranked
        replaced = one.metadata["replaced_metadata"]
        assert {**one.metadata, **replaced} | {"replaced_metadata": own["replaced_metadata"]} == one.metadata | own
        ranked = rerank(RERANK, QUESTION, again(ranked))


# --- what adapters refuse -------------------------------------------------------------------------------------------


def test_no_documents_are_no_work():
    assert rerank(RERANK, QUESTION, []) == []


@pytest.mark.parametrize("wrong", ["bm25", None, RERANK, PRUNE, NoTexts(), SEARCH >> Expand()])
def test_a_retriever_searches_and_brings_texts(wrong):
    with pytest.raises(CompositionError):
        check_retriever(wrong)


@pytest.mark.parametrize("wrong", ["bm25", SEARCH, SEARCH >> RERANK])
def test_a_reranker_takes_documents_that_are_there(wrong):
    with pytest.raises(CompositionError):
        check_reranker(wrong)


def test_stages_and_sessions_are_shared_by_copies():
    pipeline, session = SEARCH >> RERANK, Session()
    copied = copy.deepcopy({"pipeline": pipeline, "session": session})
    assert copied["pipeline"] is pipeline
    assert copied["session"] is session
