"""Spans of what requests went through, sent by OTLP/HTTP, where somebody asked for them; the extra `otel` has the rest.

The packages are imported by whoever makes a `Tracing`: a service that sends nothing has none of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from deploy.http.accepted.records import Outcome
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.finish import FINISHED
from scheduler.runtime.clock import NS_PER_S, wall_now_ns

_STAGES: Final = {"queue": "queue_s", "prefill": "prefill_s", "kv_transfer": "kv_transfer_s", "decode": "decode_s"}
"""Spans under that of the request, one after another, and how long each is."""

_BATCH: Final = {
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ("max_export_batch_size", 64),
    "OTEL_BSP_SCHEDULE_DELAY": ("schedule_delay_millis", 1000),
    "OTEL_BSP_MAX_QUEUE_SIZE": ("max_queue_size", 8192),
}
"""How spans are gathered unless the environment says otherwise: to encode a batch takes the interpreter's lock, and a
batch of 64 takes it for less than tokens may be late. Of spans that do not fit into the queue nobody hears."""


class RequestTrace(Struct, frozen=True):
    """What was asked for. Times on the wall, in ns: `began_ns` when the request came, `arrived_ns` when it arrived at
    the scheduler, from where its stages are counted in emulated time, which is real time; None if it did so for another
    client before."""

    operation: str
    route: str
    request_id: str
    model: str
    began_ns: int
    arrived_ns: int | None
    prompt_tokens: int
    max_tokens: int | None
    streams: bool


class Tracing:
    """Sends spans to a URL in a thread of its own. `ConfigError` if the packages are not there."""

    def __init__(self, url: str, version: str) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            raise ConfigError(
                f"--http-traces {url}: the packages that send them are not installed; "
                "pip install 'supernode-serve[otel]'"
            ) from None
        resource = Resource.create(
            {"service.name": os.environ.get("OTEL_SERVICE_NAME", "supernode"), "service.version": version}
        )
        batch: dict[str, Any] = {name: value for env, (name, value) in _BATCH.items() if env not in os.environ}
        self._provider: Final = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url), **batch))
        self._tracer: Final = self._provider.get_tracer("supernode", version)
        self._trace: Final = trace
        self._contexts: Final = TraceContextTextMapPropagator()

    def record(
        self, headers: Mapping[str, str], request: RequestTrace, outcome: Outcome | None, finish_reason: str
    ) -> None:
        """A request is over; without an outcome its client went, or nothing came of it."""
        trace = self._trace
        span = self._tracer.start_span(
            f"{request.operation} {request.model}",
            self._contexts.extract(headers),
            trace.SpanKind.SERVER,
            _attributes(request),
            start_time=request.began_ns,
        )
        if span.is_recording():
            if outcome is None or outcome.reason not in FINISHED:
                error = "cancelled" if outcome is None else outcome.reason.name.lower()
                span.set_attribute("error.type", error)
                span.set_status(trace.Status(trace.StatusCode.ERROR))
            else:
                span.set_attribute("gen_ai.response.finish_reasons", [finish_reason])
            if outcome is not None:
                span.set_attribute("gen_ai.usage.output_tokens", outcome.output_tokens)
                span.set_attribute("gen_ai.usage.cache_read.input_tokens", outcome.cached_tokens)
                self._stages(trace.set_span_in_context(span), request, outcome)
        span.end(wall_now_ns())

    def _stages(self, context: Any, request: RequestTrace, outcome: Outcome) -> None:
        at_ns = request.arrived_ns
        if at_ns is None:
            return
        for name, column in _STAGES.items():
            seconds = outcome.times_s.get(column)
            if seconds is None:
                return
            span = self._tracer.start_span(name, context, start_time=at_ns)
            at_ns += round(seconds * NS_PER_S)
            span.end(at_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _attributes(request: RequestTrace) -> dict[str, Any]:
    """By OpenTelemetry's semantic conventions for generative AI and for HTTP."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": request.operation,
        "gen_ai.provider.name": "supernode",
        "gen_ai.request.model": request.model,
        "gen_ai.response.model": request.model,
        "gen_ai.response.id": request.request_id,
        "gen_ai.request.stream": request.streams,
        "gen_ai.usage.input_tokens": request.prompt_tokens,
        "http.request.method": "POST",
        "http.route": request.route,
    }
    return attributes if request.max_tokens is None else attributes | {"gen_ai.request.max_tokens": request.max_tokens}
