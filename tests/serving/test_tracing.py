"""Spans of requests, batches and stages, if they are asked for."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.serving.loopback import BY_LENGTH, serving


@pytest.fixture(scope="module")
def spans():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # once in a process
    return exporter


@pytest.mark.parametrize("tracing", [True, False])
def test_stages_are_spans_inside_of_their_batch(spans, tracing):
    spans.clear()
    with serving({"pipelines": {"order": [BY_LENGTH, {"lead_pruner": 1}]}, "tracing": tracing}) as client:
        headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        client.post("/v1/rerank", json={"query": "q", "documents": ["x"]}, headers=headers).raise_for_status()
    found = {span.name: span for span in spans.get_finished_spans()}
    if not tracing:
        assert not any(name.startswith("rankloom") for name in found)
        return
    batch = found["rankloom batch"]
    assert dict(batch.attributes) == {"rankloom.pipeline": "order", "rankloom.batch_size": 1}
    for stage in ("by_length", "lead_pruner"):
        assert found[f"rankloom {stage}"].parent.span_id == batch.context.span_id
    request = found["rankloom request"]
    assert dict(request.attributes) == {"url.path": "/v1/rerank"}
    assert (request.context.trace_id, request.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
