"""Scores taken apart: through pipelines and fusions, of hits and of documents that nobody found."""

import pytest

from rankloom import Query, Run, Session, Stage, Top, rrf
from rankloom.errors import DataError, UsageError
from rankloom.score_parts import ScoreParts, TermPart, missing_terms, parts_in_order
from tests.rankloom.stages_for_tests import Lengths, OtherWords, Sentences, Words


def parts(told):
    return {one.term: (one.weight, one.value, one.part) for one in told.terms}


def test_a_retriever_explains_any_document():
    words = Words(boost=2.0)
    told = words.explain("blue sky zebra", "d1")
    assert told.score == words.search("blue sky zebra")[0].score == 6.0
    assert parts(told) == {"blue": (1, 2, 4.0), "sky": (1, 1, 2.0)}
    assert told.missing == ("zebra",)
    nothing = words.explain("blue sky", "d3")
    assert (nothing.score, nothing.terms, nothing.missing) == (0, (), ("blue", "sky"))
    with pytest.raises(DataError, match="no such document in the index; got 'd9'"):
        words.explain("blue", "d9")


def test_a_hit_is_explained_by_the_query_that_the_retriever_read():
    run = Words().run([Query("q", "moon", terms={"blue": 0.5, "sky": 3.0, "sea": 0.0})])
    hit = run["q"][0]
    assert hit.doc_id == "d1"
    assert parts(hit.explain()) == {"sky": (3.0, 1, 3.0), "blue": (0.5, 2, 1.0)}
    assert hit.explain().score == hit.score


def test_the_stage_that_gave_the_score_is_explained():
    cut = Words() >> Top(2) >> Top(1)
    assert cut.search("blue")[0].explain().stage == "words"
    pruned = Words() >> Sentences()
    assert pruned.search("blue")[0].explain().stage == "words"
    reranked = Words() >> Lengths()
    with pytest.raises(UsageError, match=r"lengths: its scores are no sums over terms; accepted: words; fix"):
        reranked.search("blue")[0].explain()
    assert reranked.search("blue")[0].explain(stage="words").score == 2.0
    assert reranked.explain("blue", "d1", stage="words").score == 2.0


def test_inputs_of_a_fusion_are_explained_by_name():
    fused = rrf(Words(), OtherWords(boost=3.0))
    hit = fused.search("blue")[0]
    assert [hit.explain(stage=name).score for name in ("words", "other_words")] == [2.0, 6.0]
    with pytest.raises(UsageError, match="accepted: words, other_words"):
        hit.explain()
    with pytest.raises(UsageError, match="there is no such stage in the pipeline; got 'bm25'"):
        hit.explain(stage="bm25")


def test_what_comes_from_the_cache_is_explained(tmp_path):
    session = Session(cache=tmp_path)
    first, again = (Words().search("blue sky", session=session)[0].explain() for _ in range(2))
    assert first == again


def test_a_ranking_from_outside_is_not():
    with pytest.raises(UsageError, match="given: its scores are no sums"):
        Run.from_dict({"q": {"d": 1.0}})["q"][0].explain()


def test_the_table_lines_up():
    told = ScoreParts(
        "bm25",
        "d1",
        3.5,
        (TermPart("scatter", 1.0, 2, 1.25, 2.5), TermPart("sky", 0.333333333, 1, 1.0, 1.0)),
        ("zebra", "sea"),
        {"length": 12, "variant": "bm25+"},
    )
    assert str(told).splitlines() == [
        "bm25 3.5000 (length 12, variant bm25+)",
        "    2.5000  scatter  weight 1  value 2  idf 1.2500",
        "    1.0000  sky      weight 0.33333  value 1  idf 1.0000",
        "  missing: zebra, sea",
    ]
    assert str(ScoreParts("s", "d", 0.0, ())) == "s 0.0000"
    assert hash(told) == hash(ScoreParts(told.stage, told.doc_id, told.score, told.terms, told.missing))


def test_order_of_parts_and_of_missing_terms():
    given = [TermPart(term, 1.0, 1, None, part) for term, part in (("b", 1.0), ("c", -1.0), ("a", 1.0), ("d", 2.0))]
    assert [one.term for one in parts_in_order(given)] == ["d", "a", "b", "c"]
    assert missing_terms({"a": 1.0, "x": 0.5, "y": -2.0, "z": 0.0}, given) == ("y", "x")


def test_only_one_query_is_explained():
    with pytest.raises(UsageError, match="searches for one query"):
        Stage.explain(Words(), ["blue", "sky"], "d1")
