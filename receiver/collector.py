"""Sends spans to an OpenTelemetry collector, by OpenTelemetry's own exporter, from a thread of its own.

Only with TASKWEIR_OTEL=1 is this imported: it and what it needs take a quarter of a second. Where to is the operator's
word, in OTEL_EXPORTER_OTLP_ENDPOINT and its like; no user's URL comes here, so no guard is asked.
"""

import logging
import threading
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from receiver.telemetry import log
from receiver.traces import Traces
from receiver.tracing import Place, Span

FLUSH_S = 2.0
QUIET_S = 60.0
_NS = 1_000_000  # in a millisecond


class _OncePerMinute(logging.Handler):
    """What the exporter complains of, in our log: that it does, at most once a minute, and never where it sends to."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= QUIET_S:
            self._told_at = now
            log.warning("traces.not_sent", hint="Look at OTEL_EXPORTER_OTLP_ENDPOINT and its collector.")


def open_traces(flush_s: float = FLUSH_S) -> Traces:
    """Traces that are sent in batches; what finds the queue full is dropped. `close` waits so long for the rest."""
    told = logging.getLogger("opentelemetry")
    told.handlers, told.propagate = [_OncePerMinute()], False
    resource = Resource({"service.name": "taskweir"}).merge(OTELResourceDetector().detect())
    processor = BatchSpanProcessor(OTLPSpanExporter())

    def export(span: Span) -> None:
        processor.on_end(_written(span, resource))

    def close() -> None:
        closing = threading.Thread(target=processor.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(flush_s)

    return Traces(export, close)


def _written(span: Span, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_context(span.place),
        parent=None if span.parent is None else _context(span.parent, remote=span.link is not None),
        resource=resource,
        attributes=dict(span.facts),
        links=() if span.link is None else (Link(_context(span.link)),),
        kind=SpanKind.CLIENT if span.client else SpanKind.INTERNAL if span.parent is None else SpanKind.SERVER,
        status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
        start_time=span.began * _NS,
        end_time=span.ended * _NS,
    )


def _context(place: Place, *, remote: bool = False) -> SpanContext:
    return SpanContext(place.trace_id, place.span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))
