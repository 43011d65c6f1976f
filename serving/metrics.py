"""What a server counts, for Prometheus; every server has a registry of its own."""

from __future__ import annotations

from rankloom.extras import require
from rankloom.serving.deadlines import LeftOut

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        client = require("prometheus_client", extra="serve", stage="serve")
        self._client = client
        self._registry = registry = client.CollectorRegistry()
        self._requests = client.Counter(
            "rankloom_requests", "Answered requests", ["route", "status"], registry=registry
        )
        self._request_seconds = client.Histogram(
            "rankloom_request_seconds", "From a request to its answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self._under_way = client.Gauge("rankloom_requests_under_way", "Requests being worked on", registry=registry)
        self._batch = client.Histogram(
            "rankloom_batch_size", "Requests carried out together", ["pipeline"], buckets=_SIZES, registry=registry
        )
        self._leg_seconds = client.Histogram(
            "rankloom_stage_seconds", "Stages of a batch", ["pipeline", "stages"], buckets=_SECONDS, registry=registry
        )
        self._left_out = client.Counter(
            "rankloom_left_out", "Stages that were left out", ["pipeline", "stages", "reason"], registry=registry
        )
        self._notes = client.Counter("rankloom_notes", "Notes of ledgers", ["stage", "kind"], registry=registry)
        self._documents = client.Gauge("rankloom_live_documents", "Documents of the live index", registry=registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def under_way(self, count: int) -> None:
        """Note how many requests are worked on."""
        self._under_way.set(count)

    def batch(self, pipeline: str, size: int) -> None:
        """Count a batch."""
        self._batch.labels(pipeline).observe(size)

    def leg(self, pipeline: str, stages: str, seconds: float) -> None:
        """Count what stages took for a batch."""
        self._leg_seconds.labels(pipeline, stages).observe(seconds)

    def left_out(self, pipeline: str, one: LeftOut) -> None:
        """Count stages that were left out."""
        self._left_out.labels(pipeline, one.stages, one.reason).inc()

    def note(self, stage: str, kind: str) -> None:
        """Count a note of a ledger."""
        self._notes.labels(stage, kind).inc()

    def documents(self, count: int) -> None:
        """Note how many documents the live index holds."""
        self._documents.set(count)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        told: bytes = self._client.generate_latest(self._registry)
        return told
