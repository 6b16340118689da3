"""Traces: one for each search, of every part of it, and each call within its caller's."""

import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import grpc.aio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from eacps import logs
from eacps.traces import SearchTraces
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import events_in

MakeRequest = Callable[..., pb.RunSearchRequest]
Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
CALLERS_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def spans() -> tuple[SearchTraces, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return SearchTraces(provider.get_tracer("test")), exporter


def named(spans: tuple[ReadableSpan, ...], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def parent_of(span: ReadableSpan, spans: tuple[ReadableSpan, ...]) -> str:
    assert span.parent is not None
    return next(other.name for other in spans if other.context.span_id == span.parent.span_id)


async def test_a_search_is_one_trace_with_all_its_parts(
    serve: Serve, make_request: MakeRequest, spans: tuple[SearchTraces, InMemorySpanExporter]
) -> None:
    traces, exporter = spans
    headers = (("traceparent", f"00-{CALLERS_TRACE}-00f067aa0ba902b7-01"),)
    async with serve(observer=traces) as channel:
        call = SearchServiceStub(channel).RunSearch(make_request(), metadata=headers, timeout=60)
        events = await events_in(call)
    search_id, found = events[0].started.search_id, exporter.get_finished_spans()
    (rpc,) = named(found, "RunSearch")
    assert f"{rpc.context.trace_id:032x}" == CALLERS_TRACE
    own = tuple(span for span in found if f"{span.context.trace_id:032x}" == search_id)
    assert len(own) == len(found) - 1
    (search,) = named(own, "search")
    assert search.attributes is not None
    assert search.attributes["eacps.search_id"] == search_id
    candidates = named(own, "candidate")
    assert {dict(one.attributes or {})["eacps.id"] for one in candidates} == {
        event.candidate_scored.candidate_id for event in events if event.HasField("candidate_scored")
    }
    assert {parent_of(one, own) for one in candidates} == {"micro-batch"}
    for name, parent in (("prepare", "search"), ("micro-batch", "search"), ("generate", "micro-batch")):
        assert {parent_of(one, own) for one in named(own, name)} == {parent}
    assert {parent_of(one, own) for one in named(own, "score brightness")} == {"score"}
    text = " ".join(str(span.attributes) for span in found)
    assert make_request().prompt not in text


def test_log_lines_are_json_with_the_search_they_are_about() -> None:
    record = logging.LogRecord("eacps.x", logging.WARNING, __file__, 1, "took %d s", (3,), None)
    line = json.loads(logs.JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("warning", "eacps.x", "took 3 s")
    assert "search_id" not in line
    token = logs.search_id.set("abc")
    try:
        assert json.loads(logs.JsonFormatter().format(record))["search_id"] == "abc"
    finally:
        logs.search_id.reset(token)
