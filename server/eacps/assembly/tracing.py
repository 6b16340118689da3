"""Export of traces to a collector; needs the extra ``eacps[otlp]``."""

from collections.abc import Iterator
from contextlib import contextmanager

import eacps
from eacps.errors import FieldViolation, InvalidRequest
from eacps.traces import NAME, SearchTraces


@contextmanager
def exported_traces(endpoint: str) -> Iterator[SearchTraces]:
    """Send traces to an OpenTelemetry collector until the block ends.

    Args:
        endpoint: ``http://host:port`` or ``https://host:port`` of its gRPC receiver.

    Raises:
        InvalidRequest: The exporter is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise InvalidRequest([FieldViolation("otlp", "needs the extra: pip install 'eacps[otlp]'")]) from exc
    resource = Resource.create({"service.name": NAME, "service.version": eacps.__version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    try:
        yield SearchTraces(provider.get_tracer(NAME))
    finally:
        provider.shutdown()
