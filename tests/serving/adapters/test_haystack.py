import inspect

import haystack
import pytest
from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.joiners import DocumentJoiner

from rankloom import Corpus, Session
from rankloom.errors import CompositionError, ConfigError, StageError, UsageError
from rankloom.serving.adapters.haystack import RankloomRanker, RankloomRetriever
from tests.rankloom.stages_for_tests import some_documents
from tests.serving.adapters.hosts import (
    PRUNE,
    QUESTION,
    RERANK,
    SEARCH,
    Breaks,
    Opaque,
    WaitingLengths,
    WaitingWords,
    Waits,
    finishes_when_freed,
    pieces,
    told,
)

PIPELINE = SEARCH >> RERANK >> PRUNE
DIRECT = pieces(PIPELINE.search(QUESTION))
#: Older hosts read components of any package, and ask no leave.
ALLOWED = (
    {"allowed_modules": ["rankloom.*"]} if "allowed_modules" in inspect.signature(Pipeline.loads).parameters else {}
)


@pytest.fixture
def corpus(tmp_path):
    return str(Corpus.build(list(some_documents()), tmp_path / "corpus").directory)


def told_of(documents):
    return [told(one.id, one.content, one.score, one.meta) for one in documents]


def two_components(retriever, ranker):
    """A pipeline that retrieves and reranks, and shows a prompt of what is left."""
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    pipeline.add_component("ranker", ranker)
    pipeline.add_component("joiner", DocumentJoiner())
    pipeline.add_component("prompt", PromptBuilder("{% for one in documents %}{{ one.content }}{% endfor %}"))
    pipeline.connect("retriever.documents", "ranker.documents")
    pipeline.connect("ranker.documents", "joiner.documents")
    pipeline.connect("joiner.documents", "prompt.documents")
    return pipeline


def asked(pipeline, **ranker):
    inputs = {"retriever": {"query": QUESTION}, "ranker": {"query": QUESTION, **ranker}}
    return pipeline.run(inputs, include_outputs_from={"ranker"})


# --- the same as in Python ------------------------------------------------------------------------------------------


async def test_a_retriever_gives_what_the_pipeline_gives():
    component = RankloomRetriever(PIPELINE)
    assert told_of(component.run(QUESTION)["documents"]) == DIRECT
    assert told_of((await component.run_async(QUESTION))["documents"]) == DIRECT
    assert len(component.run(QUESTION, top_k=1)["documents"]) == 1


async def test_a_ranker_behind_a_retriever_gives_what_the_pipeline_gives():
    documents = RankloomRetriever(SEARCH).run(QUESTION)["documents"]
    ranker = RankloomRanker(RERANK >> PRUNE)
    assert told_of(ranker.run(QUESTION, documents)["documents"]) == DIRECT
    assert told_of((await ranker.run_async(QUESTION, documents))["documents"]) == DIRECT


def test_components_in_a_pipeline_of_the_host():
    pipeline = two_components(RankloomRetriever(SEARCH), RankloomRanker(RERANK >> PRUNE))
    found = asked(pipeline)
    assert told_of(found["ranker"]["documents"]) == DIRECT
    assert found["prompt"]["prompt"] == "".join(text for _, text, *_ in DIRECT)


async def test_a_pipeline_of_the_host_is_awaited():
    pipeline = getattr(haystack, "AsyncPipeline", Pipeline)()  # newer hosts have one class for both
    pipeline.add_component("retriever", RankloomRetriever(SEARCH))
    pipeline.add_component("ranker", RankloomRanker(RERANK >> PRUNE))
    pipeline.connect("retriever.documents", "ranker.documents")
    found = await pipeline.run_async({"retriever": {"query": QUESTION}, "ranker": {"query": QUESTION}})
    assert told_of(found["ranker"]["documents"]) == DIRECT


def test_top_k_and_threshold():
    documents = RankloomRetriever(SEARCH).run(QUESTION)["documents"]
    ids = [one.id for one in documents]
    assert ids == ["d1", "d2"]
    for limits in ({"top_k": 1}, {"threshold": 40.0}):
        assert [one.id for one in RankloomRanker(RERANK, **limits).run(QUESTION, documents)["documents"]] == ["d1"]
        assert [one.id for one in RankloomRanker(RERANK).run(QUESTION, documents, **limits)["documents"]] == ["d1"]


# --- documents ------------------------------------------------------------------------------------------------------


def test_documents_are_copied_with_all_they_hold():
    opaque = Opaque()
    one = Document(content="Bread. The blue sky.", meta={"page": {"lock": opaque}}, score=0.5, embedding=[1.0, 2.0])
    twin = Document(id=one.id, content="Bread. The blue sky.", score=0.25)
    picture = Document(content=None, meta={"file": "sky.png"})
    found = RankloomRanker(RERANK >> PRUNE).run(QUESTION, [one, twin, picture])["documents"]
    assert (one.content, list(one.meta), one.score) == ("Bread. The blue sky.", ["page"], 0.5)
    assert [(two.id, two.content) for two in found] == [
        (one.id, "The blue sky."),
        (one.id, "The blue sky."),
        (picture.id, None),
    ]
    assert {two.meta["retrieval_score"] for two in found[:2]} == {0.5, 0.25}
    [copied] = [two for two in found if two.embedding]
    assert copied.meta["page"]["lock"] is opaque
    assert copied.meta["original_text"] == one.content


def test_nothing_to_rank():
    assert RankloomRanker(RERANK).run(QUESTION, [])["documents"] == []


async def test_the_event_loop_is_free_meanwhile():
    waits = Waits()
    found = await finishes_when_freed(waits, RankloomRetriever(WaitingWords(waits=waits)).run_async(QUESTION))
    waits = Waits()
    ranker = RankloomRanker(WaitingLengths(waits=waits))
    found = await finishes_when_freed(waits, ranker.run_async(QUESTION, found["documents"]))
    assert [one.id for one in found["documents"]] == ["d1", "d2"]


def test_a_stage_that_fails_is_named():
    documents = [Document(content="Sky.")]
    with pytest.raises(StageError, match=r"^breaks: failed with ZeroDivisionError"):
        RankloomRanker(Breaks()).run(QUESTION, documents)


# --- YAML -----------------------------------------------------------------------------------------------------------


def test_a_pipeline_written_to_yaml_gives_the_same(corpus, tmp_path):
    session = {"cache": str(tmp_path / "cache")}
    retriever = RankloomRetriever([{"bm25": {"k": 20}}, {"top": 5}], corpus=corpus, top_k=4, session=session)
    ranker = RankloomRanker(
        [{"lead_pruner": {"n": 1}}], top_k=2, threshold=0.1, title_key=None, session=Session(seed=3)
    )
    pipeline = two_components(retriever, ranker)
    read = Pipeline.loads(pipeline.dumps(), **ALLOWED)
    assert read.to_dict()["components"] == pipeline.to_dict()["components"]
    first, second = asked(pipeline), asked(read)
    assert told_of(second["ranker"]["documents"]) == told_of(first["ranker"]["documents"])
    assert len(second["ranker"]["documents"]) == 2
    assert read.get_component("ranker").session.seed == 3


def test_stages_are_written_in_words():
    from rankloom.rerank import BiEncoder, LeadPruner

    written = RankloomRanker(BiEncoder(depth=5) >> LeadPruner(n=1)).to_dict()
    assert written["init_parameters"]["stage"] == [{"bi_encoder": {"depth": 5}}, {"lead_pruner": {"n": 1}}]
    assert RankloomRanker.from_dict(written).to_dict() == written


def test_components_warm_up(corpus):
    retriever = RankloomRetriever(["bm25"], corpus=corpus)
    retriever.warm_up()
    RankloomRanker([{"lead_pruner": {"n": 1}}]).warm_up()
    assert [one.id for one in retriever.run("tides")["documents"]] == ["d4"]


def test_what_lives_in_memory_alone_is_not_written():
    with pytest.raises(UsageError, match="can not be written to a file"):
        RankloomRetriever(SEARCH.replace(calls=Opaque())).to_dict()
    in_memory = Corpus.of(list(some_documents()))
    with pytest.raises(UsageError, match="in memory alone"):
        RankloomRetriever(["bm25"], corpus=in_memory).to_dict()


@pytest.mark.skipif(not ALLOWED, reason="older hosts read components of any package")
def test_words_import_nothing_that_is_not_allowed():
    written = RankloomRanker([{"lead_pruner": {"n": 1}}]).to_dict()
    written["init_parameters"]["stage"] = [{"sentence_pruner": {"splitter": "os:system"}}]
    with pytest.raises(Exception, match="allow"):
        RankloomRanker.from_dict(written)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused(corpus):
    with pytest.raises(CompositionError, match="lengths: needs ranking"):
        RankloomRetriever(RERANK)
    with pytest.raises(CompositionError, match="words: would throw away the ranking"):
        RankloomRanker(SEARCH)
    with pytest.raises(UsageError, match="needs documents"):
        RankloomRetriever(["bm25"])
    with pytest.raises(UsageError, match="top_k is out of range"):
        RankloomRetriever(SEARCH, top_k=0)
    with pytest.raises(UsageError, match="top_k is out of range"):
        RankloomRanker(RERANK, top_k=0)
    with pytest.raises(ConfigError, match="did you mean 'bm25'"):
        RankloomRetriever(["bm52"], corpus=corpus)
    with pytest.raises(ConfigError, match="did you mean 'bi_encoder'"):
        RankloomRanker(["bi_encodr"])
