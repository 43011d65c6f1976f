"""OpenTelemetry spans, if they are asked for: of requests, of batches, and of the stages of a batch.

Only the API is used. Where spans go is for the process to set up, such as by `opentelemetry-instrument`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rankloom.extras import require


class Tracing:
    """Begins spans; without a tracer, none.

    Args:
        on: Whether to.

    Raises:
        MissingExtraError: OpenTelemetry's API is not installed.
    """

    def __init__(self, *, on: bool = False) -> None:
        self._tracer: Any = None
        if on:
            self._tracer = require("opentelemetry.trace", extra="otel", stage="serve").get_tracer("rankloom")
            self._propagate = require("opentelemetry.propagate", extra="otel", stage="serve")

    def request(self, path: str, headers: Mapping[bytes, str]) -> AbstractContextManager[None]:
        """A span of a request, inside of the trace that its headers name."""
        if self._tracer is None:
            return nullcontext()
        told = self._propagate.extract({name.decode("latin-1"): value for name, value in headers.items()})
        return self._begun("request", {"url.path": path}, told)

    def batch(self, pipeline: str, size: int) -> AbstractContextManager[None]:
        """A span of a batch."""
        return self._span("batch", {"rankloom.pipeline": pipeline, "rankloom.batch_size": size})

    def leg(self, stages: str) -> AbstractContextManager[None]:
        """A span of the stages of a batch."""
        return self._span(stages, {})

    def _span(self, name: str, attributes: dict[str, str | int]) -> AbstractContextManager[None]:
        """A span, or nothing."""
        return nullcontext() if self._tracer is None else self._begun(name, attributes)

    @contextmanager
    def _begun(self, name: str, attributes: dict[str, str | int], inside: Any = None) -> Iterator[None]:
        """A span of our tracer."""
        with self._tracer.start_as_current_span(f"rankloom {name}", attributes=attributes, context=inside):
            yield
