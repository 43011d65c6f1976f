import pytest

from rankloom import Query, Run, fuse_runs, rrf
from rankloom.errors import CompositionError
from rankloom.ledger import Note
from tests.rankloom.stages_for_tests import (
    QUERIES,
    TEXTS,
    Expand,
    Lengths,
    NoTexts,
    OtherWords,
    Sentences,
    Words,
    some_documents,
)

RUN = Run.from_dict(
    {"q1": {"d2": 0.5, "d1": 0.5, "d3": 2.0}, "q2": {}}, queries={"q1": "sky", "q2": "sea"}, documents=some_documents()
)


def test_a_list_is_a_sequence_of_hits_best_first():
    hits = RUN["q1"]
    assert [(hit.doc_id, hit.score, hit.rank) for hit in hits] == [("d3", 2.0, 1), ("d1", 0.5, 2), ("d2", 0.5, 3)]
    assert (hits.doc_ids, hits.scores, len(hits)) == (["d3", "d1", "d2"], [2.0, 0.5, 0.5], 3)
    assert (hits[-1].doc_id, hits[-1].rank) == ("d2", 3)
    assert [hit.doc_id for hit in hits[1:]] == ["d1", "d2"]
    assert [hit.doc_id for hit in reversed(hits)] == ["d2", "d1", "d3"]
    assert [hit.doc_id for hit in hits[::-2]] == ["d2", "d3"]


@pytest.mark.parametrize("place", [3, -4])
def test_a_place_beyond_the_list_is_an_index_error(place):
    with pytest.raises(IndexError):
        RUN["q1"][place]


def test_the_same_hit_seen_twice_is_equal():
    assert RUN["q1"][0] == RUN["q1"][0]
    assert RUN["q1"][0] in RUN["q1"]
    assert RUN["q1"][0] != RUN["q1"][1]


def test_a_list_without_hits():
    assert list(RUN["q2"]) == []
    assert not RUN["q2"]
    assert RUN["q2"].doc_ids == []


def test_a_hit_reads_its_document():
    hit = RUN["q1"][1]
    assert (hit.text, hit.title, hit.metadata) == (TEXTS["d1"], "About d1", {})
    assert [document.id for document in RUN["q1"].documents()] == RUN["q1"].doc_ids


def test_without_documents_there_is_no_text():
    with pytest.raises(CompositionError, match="documents="):
        _ = Run.from_dict({"q": {"d": 1.0}})["q"][0].text


def test_the_query_is_the_rewritten_one():
    after = RUN.rewritten([Query("q1", "sky", {"blue": 1.0}), Query("q2", "sea")])
    assert after["q1"].query.terms == {"blue": 1.0}


def test_notes_are_those_of_the_query():
    first, second = Note("x", "no_hits", "q1"), Note("x", "no_hits", "q2")
    assert RUN.noted(first, second)["q2"].notes == (second,)


def test_pruned_text_is_the_kept_sentences_by_offsets():
    hits = (Words() >> Sentences(threshold=1.0)).search("blue sky")
    first = hits[0]
    assert first.doc_id == "d1"
    assert first.pruned_text == "The sky is blue."
    assert [first.text[span.start : span.end] for span in first.spans] == [
        "The sky is blue.",
        "Air scatters blue light.",
    ]
    assert [span.kept for span in first.spans] == [True, False]


def test_text_that_no_pruner_has_seen_is_whole():
    assert RUN["q1"][0].spans is None
    assert RUN["q1"][0].pruned_text == TEXTS["d3"]


def test_hits_below_the_rerankers_depth_say_so():
    hits = (Words() >> Lengths(depth=1)).search("sea moon sky", k=5)
    assert [hit.reranked for hit in hits] == [True] + [False] * (len(hits) - 1)
    assert all(hit.reranked for hit in RUN["q1"])


def test_the_trace_tells_rank_and_score_after_every_stage():
    hits = (Words() >> Lengths(depth=2)).top(1).search("the blue sea", k=3)
    assert [(entry.stage, entry.rank, entry.score, entry.depth) for entry in hits[0].trace] == [
        ("words", 2, 4.0, 0),
        ("lengths", 1, float(len(TEXTS["d4"])), 0),
        ("top", 1, float(len(TEXTS["d4"])), 0),
    ]


def test_the_trace_goes_through_a_fusion_and_its_branches():
    pipeline = rrf(Words() >> Expand() >> Words(), OtherWords(k=1)) >> Lengths()
    hits = pipeline.run({"a": "green", "q": "blue sky"})["q"]
    trace = {hit.doc_id: hit.trace for hit in hits}
    assert [(entry.stage, entry.depth) for entry in trace["d2"]] == [
        ("words", 1),
        ("expand", 1),
        ("words", 1),
        ("other_words", 1),
        ("rrf", 0),
        ("lengths", 0),
    ]
    ranks = [entry.rank for entry in trace["d2"]]
    assert ranks[:5] == [2, None, 2, None, 2]
    assert trace["d2"][3].score is None


def test_the_trace_of_a_run_from_outside_begins_where_it_came_in():
    assert [(entry.stage, entry.rank) for entry in RUN["q1"][2].trace] == [("given", 3)]


def test_the_trace_of_fused_runs_tells_every_input():
    other = Run.from_dict({"q1": {"d1": 1.0}})
    trace = fuse_runs([RUN, other], method="rrf")["q1"][0].trace
    assert [(entry.stage, entry.rank, entry.depth) for entry in trace] == [
        ("given", 2, 1),
        ("given", 1, 1),
        ("rrf", 1, 0),
    ]


def test_the_trace_counts_from_the_querys_own_hits():
    run = Words().run(QUERIES)
    assert [[hit.trace[-1].rank for hit in hits] for hits in run.values()] == [
        list(range(1, len(hits) + 1)) for hits in run.values()
    ]


def test_a_list_shows_its_query_and_best_hits():
    assert repr(RUN["q1"]) == "<RankedList of 3 for 'sky': d3 2.000, d1 0.500, d2 0.500>"
    assert "_list" not in repr(RUN["q1"][0])


def test_hits_without_texts_still_have_ids_and_scores():
    hits = NoTexts().search("blue sky")
    assert hits.doc_ids[0] == "d1"
    with pytest.raises(CompositionError):
        _ = hits[0].text
