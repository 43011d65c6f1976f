"""An MCP client of the protocol's own library is told what pipelines in Python give."""

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("mcp.server.mcpserver")

import yaml
from mcp import Client, StdioServerParameters

from rankloom import Run
from rankloom.config import PipelineBuilder
from rankloom.corpus import BESIDE, Corpus
from rankloom.records import Document
from rankloom.rerank import LeadPruner, prune
from rankloom.retrieval import BM25
from rankloom.serving.config import ServeFile
from rankloom.serving.mcp import create_mcp
from rankloom.serving.server import Server
from tests.serving.loopback import BY_LENGTH, DOCUMENTS, ByLength

QUESTION = "why is the sky blue"
TEXTS = ["Grass is green.", "Air scatters blue light. So the sky is blue.", "Tides follow the moon."]
PIPELINES = {
    "plain": ["bm25"],
    "short": ["bm25", {"top": 3}, {"lead_pruner": 1}],
    "order": [BY_LENGTH],
    "lead": [{"lead_pruner": 1}],
}
LIMITS = {"query_chars": 100, "k": 50, "documents": 5, "document_chars": 1000, "context_tokens": 5000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    BM25.build(Corpus.build(DOCUMENTS, folder / BESIDE), folder / "bm25")
    return folder


@asynccontextmanager
async def client_of(folder, pipelines=PIPELINES):
    file = ServeFile.of({"index": str(folder), "pipelines": pipelines, "limits": LIMITS})
    async with Client(create_mcp(Server(file, offline=True))) as client:
        yield client


async def called(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content  # also for clients that read text alone
    return result.structured_content


async def refused(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


# --- what there is --------------------------------------------------------------------------------------------------


async def test_tools_are_described(folder):
    async with client_of(folder) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools.keys() == {"search", "context", "rerank", "prune"}
    assert tools["search"].description.endswith("Pipelines: plain, short.")
    assert tools["rerank"].description.endswith("Pipelines: order.")
    assert tools["search"].input_schema["required"] == ["query"]
    for tool in tools.values():
        assert tool.annotations.read_only_hint
        assert all("description" in one for one in tool.input_schema["properties"].values())


async def test_there_is_no_tool_that_no_pipeline_is_for(folder):
    async with client_of(folder, {"plain": ["bm25"]}) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["search", "context"]


# --- the same as in Python ------------------------------------------------------------------------------------------


async def test_search(folder):
    async with client_of(folder) as client:
        plain = await called(client, "search", query=QUESTION, k=2)
        short = await called(client, "search", query=QUESTION, pipeline="short")
    bm25 = BM25.open(folder / "bm25")
    hits = bm25.search(QUESTION, 2)
    assert [(one["doc_id"], one["score"], one["rank"]) for one in plain["passages"]] == [
        (hit.doc_id, hit.score, hit.rank) for hit in hits
    ]
    assert [(one["title"], one["text"], one["shortened"]) for one in plain["passages"]] == [
        (hit.title, hit.text, False) for hit in hits
    ]
    pruned = (bm25.top(3) >> LeadPruner(1)).search(QUESTION)
    assert [one["text"] for one in short["passages"]] == [hit.pruned_text for hit in pruned]
    assert short["passages"][0]["shortened"]
    assert (plain["pipeline"], short["pipeline"]) == ("plain", "short")


async def test_context(folder):
    async with client_of(folder) as client:
        told = await called(client, "context", query=QUESTION, max_tokens=25)
    wanted = BM25.open(folder / "bm25").search(QUESTION).context(max_tokens=25)
    assert (told["context"], told["tokens"]) == (wanted.text, wanted.tokens)
    assert told["documents_left_out"] == list(wanted.left_out) != []
    assert [(one["number"], one["doc_id"], one["text"]) for one in told["citations"]] == [
        (one.number, one.doc_id, one.text) for one in wanted.citations
    ]


async def test_rerank(folder):
    async with client_of(folder) as client:
        whole = await called(client, "rerank", query=QUESTION, documents=TEXTS)
        best = await called(client, "rerank", query=QUESTION, documents=TEXTS, top_n=1)
    run = ByLength().run(Run.from_documents(QUESTION, [Document(str(at), one) for at, one in enumerate(TEXTS)]))
    assert [one["index"] for one in whole["results"]] == [int(doc_id) for doc_id in run["q1"].doc_ids]
    assert best["results"] == whole["results"][:1]


async def test_prune(folder):
    async with client_of(folder) as client:
        told = await called(client, "prune", query=QUESTION, documents=TEXTS)
    wanted = prune(QUESTION, TEXTS, by=LeadPruner(1))
    assert [one["text"] for one in told["documents"]] == [one.text for one in wanted.contexts]
    assert told["compression"] == pytest.approx(wanted.compression)
    assert {one["score"] for one in told["documents"]} == {None}


async def test_what_a_reader_must_know_is_told(folder):
    async with client_of(folder) as client:
        told = await called(client, "search", query="xyzzy")
    assert told["passages"] == []
    assert told["notes"] == ["bm25: no_hits (1) no document holds a term of it"]


# --- what is wrong --------------------------------------------------------------------------------------------------


async def test_errors_say_what_is_wrong(folder):
    async with client_of(folder) as client:
        assert "the query is empty" in await refused(client, "search", query=" ")
        assert "did you mean 'plain'?" in await refused(client, "search", query="x", pipeline="plane")
        assert "is not for: search" in await refused(client, "search", query="x", pipeline="order")
        assert "too many hits; got 51; accepted: at most 50" in await refused(client, "search", query="x", k=51)
        assert "too many tokens" in await refused(client, "context", query="x", max_tokens=5001)
        assert "too many documents" in await refused(client, "prune", query="x", documents=["x"] * 6)
        assert "there is no document" in await refused(client, "rerank", query="x", documents=[])
        assert "the model choked" in await refused(client, "rerank", query="x", documents=["poison"])
        for wrong in ({"query": "x", "k": 0}, {"query": 5}, {"k": 2}):
            assert "validation error" in await refused(client, "search", **wrong)
        assert (await called(client, "search", query="sky"))["passages"]  # it goes on


def test_the_example_of_the_page_is_one():
    page = (Path(__file__).parents[2] / "docs" / "applications.md").read_text(encoding="utf-8")
    config = ServeFile.of(yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])).config
    searches, reranks = config.pipelines.values()
    PipelineBuilder({}).check(searches, at=())
    PipelineBuilder({}).check(["bm25", *reranks], at=())
    command = json.loads(page.partition("```json\n")[2].partition("```")[0])["mcpServers"]["notes"]
    assert [command["command"], command["args"][0]] == ["rankloom", "mcp"]


# --- as assistants start it -----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_command(folder, tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(yaml.safe_dump({"index": str(folder), "pipelines": {"plain": ["bm25"]}}))
    command = ["-m", "rankloom", "mcp", str(config), "--offline", "--no-cache"]
    async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
        told = await called(client, "search", query=QUESTION)
    assert told["passages"][0]["doc_id"] == BM25.open(folder / "bm25").search(QUESTION)[0].doc_id
