import copy

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from rankloom import Session
from rankloom.errors import CompositionError, StageError, UsageError
from rankloom.serving.adapters.langchain import RankloomCompressor, RankloomRetriever
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


def retriever(**parameters):
    return RankloomRetriever(**{"pipeline": SEARCH, **parameters})


def compressor(**parameters):
    return RankloomCompressor(**{"stage": RERANK >> PRUNE, **parameters})


def told_of(documents):
    return [told(one.id, one.page_content, one.metadata["relevance_score"], one.metadata) for one in documents]


class Listens(BaseCallbackHandler):
    """Remembers what it is told, and on which query."""

    def __init__(self):
        self.events = []

    def on_retriever_start(self, _serialized, query, **_kwargs):
        self.events.append(("retriever starts", query))

    def on_retriever_end(self, documents, **_kwargs):
        self.events.append(("retriever ends", [one.id for one in documents]))

    def on_retriever_error(self, error, **_kwargs):
        self.events.append(("retriever fails", type(error)))

    def on_chain_start(self, _serialized, inputs, *, parent_run_id=None, **_kwargs):
        self.events.append(("chain starts", inputs["query"], len(inputs["documents"]), parent_run_id is not None))

    def on_chain_end(self, outputs, **_kwargs):
        self.events.append(("chain ends", [one.id for one in outputs["documents"]]))

    def on_chain_error(self, error, **_kwargs):
        self.events.append(("chain fails", type(error)))


class ListensAwaited(AsyncCallbackHandler):
    """The same for callbacks that are awaited."""

    def __init__(self):
        self.events = []

    async def on_retriever_end(self, documents, **_kwargs):
        self.events.append(("retriever ends", [one.id for one in documents]))

    async def on_chain_end(self, outputs, **_kwargs):
        self.events.append(("chain ends", [one.id for one in outputs["documents"]]))


# --- the same as in Python ------------------------------------------------------------------------------------------


async def test_a_retriever_gives_what_the_pipeline_gives():
    for found in (retriever(pipeline=PIPELINE).invoke(QUESTION), await retriever(pipeline=PIPELINE).ainvoke(QUESTION)):
        assert told_of(found) == DIRECT


async def test_a_compressor_behind_a_retriever_gives_what_the_pipeline_gives():
    documents = retriever().invoke(QUESTION)
    assert told_of(compressor().compress_documents(documents, QUESTION)) == DIRECT
    assert told_of(await compressor().acompress_documents(documents, QUESTION)) == DIRECT


def test_k_belongs_to_the_retriever_or_to_a_call():
    assert [len(retriever(k=1).invoke("blue sky moon", **call)) for call in ({}, {"k": 3})] == [1, 3]
    assert len(retriever().bind(k=2).invoke("blue sky moon")) == 2


def test_top_n_and_threshold():
    documents = retriever().invoke(QUESTION)
    assert [one.id for one in compressor(top_n=1).compress_documents(documents, QUESTION)] == ["d1"]
    assert [one.id for one in compressor(threshold=40.0).compress_documents(documents, QUESTION)] == ["d1"]


def test_batches():
    found = retriever().batch([QUESTION, "moon"])
    assert [[one.id for one in documents] for documents in found] == [["d1", "d2"], ["d4", "d5"]]


# --- documents ------------------------------------------------------------------------------------------------------


class Page(Document):
    """A document of an application's own class."""

    number: int = 0


def test_documents_are_copied_with_all_they_hold():
    opaque = Opaque()
    given = [
        Page(page_content="Bread. The blue sky.", metadata={"source": opaque, "score": 7}, number=4),
        Document(page_content="Bread. The blue sky.", id="a"),
        Document(page_content="Sea.", id="a", metadata={"rank": "admiral"}),
    ]
    before = [(one.page_content, dict(one.metadata), one.id) for one in given]
    found = compressor().compress_documents(given, QUESTION)
    assert [(one.page_content, one.metadata, one.id) for one in given] == before
    assert sorted(one.page_content for one in found) == ["", "The blue sky.", "The blue sky."]
    [page] = [one for one in found if isinstance(one, Page)]
    assert (page.number, page.metadata["retrieval_score"]) == (4, 7.0)
    assert page.metadata["source"] is opaque
    assert page.id == page.metadata["citations"][0]["doc_id"] != "a"
    assert page.metadata["original_text"] == "Bread. The blue sky."
    [admiral] = [one for one in found if "replaced_metadata" in one.metadata]
    assert admiral.metadata["replaced_metadata"] == {"rank": "admiral"}
    assert [one.id for one in found].count("a") == 2


def test_nothing_to_compress():
    assert compressor().compress_documents([], QUESTION) == []


# --- callbacks and streaming ----------------------------------------------------------------------------------------


def test_callbacks_of_a_retriever():
    listens = Listens()
    retriever().invoke(QUESTION, config={"callbacks": [listens]})
    assert listens.events == [("retriever starts", QUESTION), ("retriever ends", ["d1", "d2"])]
    with pytest.raises(UsageError):
        retriever().invoke(" ", config={"callbacks": [listens]})
    assert listens.events[-1] == ("retriever fails", UsageError)


async def test_callbacks_of_a_compressor():
    listens, documents = Listens(), retriever().invoke(QUESTION)
    expected = [("chain starts", QUESTION, 2, False), ("chain ends", ["d1", "d2"])]
    compressor().compress_documents(documents, QUESTION, callbacks=[listens])
    assert listens.events == expected
    await compressor().acompress_documents(documents, QUESTION, callbacks=[listens])
    assert listens.events == expected * 2
    broken = compressor(stage=Breaks())
    with pytest.raises(StageError):
        broken.compress_documents(documents, QUESTION, callbacks=[listens])
    with pytest.raises(StageError):
        await broken.acompress_documents(documents, QUESTION, callbacks=[listens])
    assert [event for event in listens.events if event[0] == "chain fails"] == [("chain fails", StageError)] * 2


async def test_callbacks_that_are_awaited():
    listens = ListensAwaited()
    documents = await retriever().ainvoke(QUESTION, config={"callbacks": [listens]})
    await compressor().acompress_documents(documents, QUESTION, callbacks=[listens])
    assert listens.events == [("retriever ends", ["d1", "d2"]), ("chain ends", ["d1", "d2"])]


def answering():
    """A chain as applications write it: retrieve, rerank and prune, ask a language model, which streams."""
    rerank = RunnableLambda(lambda query: compressor().compress_documents(retriever().invoke(query), query))
    prompt = ChatPromptTemplate.from_template("{context}\n\n{question}")
    said = rerank | (lambda documents: "\n".join(one.page_content for one in documents))
    model = GenericFakeChatModel(messages=iter(["It scatters the light."] * 9))
    return {"context": said, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()


async def test_a_chain_streams():
    assert len(list(answering().stream(QUESTION))) > 3
    assert "".join([part async for part in answering().astream(QUESTION)]) == "It scatters the light."
    assert [[one.id for one in part] async for part in retriever().astream(QUESTION)] == [["d1", "d2"]]


async def test_events_of_a_stream_tell_of_the_retriever():
    events = [(one["event"], one["name"]) async for one in retriever().astream_events(QUESTION, version="v2")]
    assert ("on_retriever_start", "RankloomRetriever") in events
    assert ("on_retriever_end", "RankloomRetriever") in events


async def test_the_event_loop_is_free_meanwhile():
    waits = Waits()
    found = await finishes_when_freed(waits, retriever(pipeline=WaitingWords(waits=waits)).ainvoke(QUESTION))
    waits = Waits()
    work = compressor(stage=WaitingLengths(waits=waits)).acompress_documents(found, QUESTION)
    assert [one.id for one in await finishes_when_freed(waits, work)] == ["d1", "d2"]


# --- as the host holds them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_copies_share_the_pipeline_and_the_session(deep, tmp_path):
    session = Session(cache=tmp_path)
    for one, name in ((retriever(session=session), "pipeline"), (compressor(session=session), "stage")):
        for copied in (one.model_copy(deep=deep), (copy.deepcopy if deep else copy.copy)(one)):
            assert getattr(copied, name) is getattr(one, name)
            assert copied.session is session


def test_fields_can_be_configured():
    chosen = retriever().configurable_fields(k=ConfigurableField(id="k"))
    assert len(chosen.invoke("blue sky moon", config={"configurable": {"k": 2}})) == 2


@pytest.mark.parametrize("wrong", [{"pipeline": "bm25"}, {"k": 0}, {"k": "many"}])
def test_a_retriever_refuses(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        retriever(**wrong)


@pytest.mark.parametrize("wrong", [{"stage": "bi_encoder"}, {"top_n": 0}, {"threshold": "high"}])
def test_a_compressor_refuses(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        compressor(**wrong)


def test_stages_in_the_wrong_place_are_refused():
    with pytest.raises(CompositionError, match="lengths: needs ranking"):
        retriever(pipeline=RERANK)
    with pytest.raises(CompositionError, match="words: would throw away the ranking"):
        compressor(stage=SEARCH)


async def test_inside_the_retriever_that_compresses():
    retrievers = pytest.importorskip("langchain_classic.retrievers")  # 1.0 of the host, and newer

    listens = Listens()
    both = retrievers.ContextualCompressionRetriever(base_retriever=retriever(), base_compressor=compressor())
    assert told_of(both.invoke(QUESTION, config={"callbacks": [listens]})) == DIRECT
    assert told_of(await both.ainvoke(QUESTION)) == DIRECT
    assert ("chain starts", QUESTION, 2, True) in listens.events
