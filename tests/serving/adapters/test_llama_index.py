import copy

import pytest
from llama_index.core import MockEmbedding, Settings
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from pydantic import ValidationError

from rankloom import Session
from rankloom.errors import CompositionError, StageError, UsageError
from rankloom.serving.adapters.llama_index import RankloomPostprocessor, RankloomRetriever
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


def postprocessor(**parameters):
    return RankloomPostprocessor(**{"stage": RERANK >> PRUNE, **parameters})


def told_of(nodes):
    return [told(one.node_id, one.text, one.score, one.metadata) for one in nodes]


class Listens(BaseCallbackHandler):
    """Remembers which events began and ended."""

    def __init__(self):
        super().__init__([], [])
        self.events = []

    def on_event_start(self, event_type, payload=None, event_id="", **_kwargs):
        self.events.append(("starts", event_type, payload))
        return event_id

    def on_event_end(self, event_type, payload=None, **_kwargs):
        self.events.append(("ends", event_type, payload))

    def start_trace(self, trace_id=None):
        pass

    def end_trace(self, trace_id=None, trace_map=None):
        pass


class Watches(BaseEventHandler):
    """Remembers instrumentation events."""

    events: list = []  # noqa: RUF012  # a field of pydantic

    def handle(self, event, **_kwargs):
        self.events.append(event)


# --- the same as in Python ------------------------------------------------------------------------------------------


async def test_a_retriever_gives_what_the_pipeline_gives():
    assert told_of(RankloomRetriever(PIPELINE).retrieve(QUESTION)) == DIRECT
    assert told_of(await RankloomRetriever(PIPELINE).aretrieve(QUESTION)) == DIRECT
    assert len(RankloomRetriever(SEARCH, k=1).retrieve(QUESTION)) == 1


async def test_a_postprocessor_behind_a_retriever_gives_what_the_pipeline_gives():
    nodes = RankloomRetriever(SEARCH).retrieve(QUESTION)
    assert told_of(postprocessor().postprocess_nodes(nodes, query_str=QUESTION)) == DIRECT
    assert told_of(await postprocessor()._apostprocess_nodes(nodes, query_bundle(QUESTION))) == DIRECT


def query_bundle(question):
    from llama_index.core.schema import QueryBundle

    return QueryBundle(question)


def test_top_n_and_threshold():
    nodes = RankloomRetriever(SEARCH).retrieve(QUESTION)
    for limits in ({"top_n": 1}, {"threshold": 40.0}):
        assert [one.node_id for one in postprocessor(**limits).postprocess_nodes(nodes, query_str=QUESTION)] == ["d1"]


# --- nodes ----------------------------------------------------------------------------------------------------------


def test_nodes_are_copied_with_all_they_hold():
    parent = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")}
    opaque = Opaque()
    node = TextNode(
        text="Bread. The blue sky.",
        metadata={"page": {"lock": opaque}},
        relationships=parent,
        excluded_llm_metadata_keys=["page"],
        embedding=[1.0, 2.0],
        start_char_idx=10,
        end_char_idx=30,
    )
    given = [NodeWithScore(node=node, score=0.25), NodeWithScore(node=node, score=0.125)]
    found = postprocessor().postprocess_nodes(given, query_str=QUESTION)
    assert (node.text, list(node.metadata), node.excluded_llm_metadata_keys) == (
        "Bread. The blue sky.",
        ["page"],
        ["page"],
    )
    assert [one.score for one in given] == [0.25, 0.125]
    assert {one.metadata["retrieval_score"] for one in found} == {0.25, 0.125}  # both, though they are one node
    for one in found:
        assert one.node is not node
        assert (one.text, one.node_id, one.node.ref_doc_id) == ("The blue sky.", node.node_id, "book")
        assert one.metadata["page"]["lock"] is opaque
        assert one.node.embedding == [1.0, 2.0]
        assert (one.node.start_char_idx, one.metadata["original_text"]) == (10, node.text)


def test_models_are_not_shown_what_is_added():
    [node, *_] = RankloomRetriever(PIPELINE).retrieve(QUESTION)
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert node.node.get_content(metadata_mode=mode) == "title: About d1\n\nThe sky is blue."
    assert "relevance_score" in node.node.get_content(metadata_mode=MetadataMode.ALL)


def test_nodes_without_text_stay():
    given = [
        NodeWithScore(node=ImageNode(image_url="http://localhost/a.png")),
        NodeWithScore(node=TextNode(text="Sky.")),
    ]
    found = postprocessor().postprocess_nodes(given, query_str=QUESTION)
    assert {type(one.node) for one in found} == {ImageNode, TextNode}


def test_nothing_to_postprocess():
    assert postprocessor().postprocess_nodes([], query_str=QUESTION) == []


# --- callbacks, instrumentation, streaming, async -------------------------------------------------------------------


def test_callbacks_are_told_of_both():
    listens = Listens()
    manager = CallbackManager([listens])
    nodes = RankloomRetriever(SEARCH, callback_manager=manager).retrieve(QUESTION)
    postprocessor(callback_manager=manager, top_n=1).postprocess_nodes(nodes, query_str=QUESTION)
    assert [(when, kind) for when, kind, _ in listens.events] == [
        ("starts", CBEventType.RETRIEVE),
        ("ends", CBEventType.RETRIEVE),
        ("starts", CBEventType.RERANKING),
        ("ends", CBEventType.RERANKING),
    ]
    assert (listens.events[2][2]["query_str"], listens.events[2][2]["top_k"]) == (QUESTION, 1)
    assert [one.node_id for one in listens.events[3][2]["nodes"]] == ["d1"]
    with pytest.raises(StageError):
        postprocessor(stage=Breaks(), callback_manager=manager).postprocess_nodes(nodes, query_str=QUESTION)


def test_instrumentation_is_told_of_both():
    watches = Watches(events=[])
    root = get_dispatcher()
    root.add_event_handler(watches)
    try:
        nodes = RankloomRetriever(SEARCH).retrieve(QUESTION)
        postprocessor().postprocess_nodes(nodes, query_str=QUESTION)
    finally:
        root.event_handlers.remove(watches)
    names = [one.class_name() for one in watches.events]
    assert names == ["RetrievalStartEvent", "RetrievalEndEvent", "ReRankStartEvent", "ReRankEndEvent"]
    assert watches.events[2].model_name == "pipeline"
    assert [one.node_id for one in watches.events[3].nodes] == ["d1", "d2"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_query_engine_answers(streaming, monkeypatch):
    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=2))
    engine = RetrieverQueryEngine.from_args(
        RankloomRetriever(SEARCH),
        node_postprocessors=[postprocessor(top_n=1)],
        llm=MockLLM(),
        streaming=streaming,
    )
    answer = engine.query(QUESTION)
    said = list(answer.response_gen) if streaming else [str(answer)]
    assert len(said) > 1 or not streaming
    assert told_of(answer.source_nodes) == DIRECT[:1]
    assert "The sky is blue." in "".join(said)  # the pruned text is what the model reads, and this one repeats it
    assert "scatters" not in "".join(said)
    assert "relevance_score" not in "".join(said)


async def test_the_event_loop_is_free_meanwhile():
    waits = Waits()
    found = await finishes_when_freed(waits, RankloomRetriever(WaitingWords(waits=waits)).aretrieve(QUESTION))
    waits = Waits()
    work = postprocessor(stage=WaitingLengths(waits=waits))._apostprocess_nodes(found, query_bundle(QUESTION))
    assert [one.node_id for one in await finishes_when_freed(waits, work)] == ["d1", "d2"]


async def test_the_host_awaits_a_postprocessor():
    if not hasattr(RankloomPostprocessor, "apostprocess_nodes"):
        pytest.skip("this version of the host has none")
    nodes = RankloomRetriever(SEARCH).retrieve(QUESTION)
    assert told_of(await postprocessor().apostprocess_nodes(nodes, query_str=QUESTION)) == DIRECT


# --- as the host holds them -----------------------------------------------------------------------------------------


def test_copies_share_the_stage_and_the_session(tmp_path):
    one = postprocessor(session=Session(cache=tmp_path))
    for copied in (one.model_copy(deep=True), copy.deepcopy(one)):
        assert copied.stage is one.stage
        assert copied.session is one.session


def test_it_can_be_shown_as_a_dictionary():
    shown = postprocessor(top_n=3).to_dict()
    assert (shown["top_n"], shown["class_name"]) == (3, "RankloomPostprocessor")


@pytest.mark.parametrize("wrong", [{"stage": "bi_encoder"}, {"top_n": 0}, {"threshold": "high"}])
def test_a_postprocessor_refuses(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        postprocessor(**wrong)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(CompositionError, match="lengths: needs ranking"):
        RankloomRetriever(RERANK)
    with pytest.raises(CompositionError, match="words: would throw away the ranking"):
        postprocessor(stage=SEARCH)
    with pytest.raises(UsageError, match="k is out of range"):
        RankloomRetriever(SEARCH, k=0)
    with pytest.raises(UsageError, match="pass query_str="):
        postprocessor().postprocess_nodes([NodeWithScore(node=TextNode(text="Sky."))])
