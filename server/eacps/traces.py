"""OpenTelemetry traces of searches and calls.

Each search is one trace, whose id is the search id: 32 hexadecimal digits are 128 bits. So a search id finds all spans
of the search, also after a restart. Spans contain names and numbers, never pictures, prompts or keys.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, Tracer

from eacps.evaluation import Observer
from eacps.evaluation.observer import Attribute

NAME = "eacps"


class SearchTraces(Observer):
    """An `eacps.evaluation.Observer` that traces.

    Args:
        tracer: Makes the spans; by default that of the process's provider.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer(NAME)

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Attribute], *, search_id: str = "", current: bool = True
    ) -> Iterator[None]:
        """See `Observer`."""
        context = trace.set_span_in_context(_root_of(search_id)) if search_id else None
        named = {f"{NAME}.{key}": value for key, value in attributes.items()}
        span = self._tracer.start_span(name, context=context, attributes=named)
        try:
            if current:
                with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                    yield
            else:
                yield
        except BaseException as exc:
            span.set_status(StatusCode.ERROR, type(exc).__name__)  # its text may quote a request
            raise
        finally:
            span.end()


def _root_of(search_id: str) -> NonRecordingSpan:
    """Return an unrecorded span as the parent of all spans of a search."""
    number = int(search_id, 16)
    return NonRecordingSpan(
        SpanContext(number, number >> 64 or 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    )
