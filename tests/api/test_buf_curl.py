"""The service as a client in another language meets it: ``buf curl``, in Go, which knows only what reflection tells."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eacps.api import KeyRing
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import UNRATED, Serve
from tests.api.test_keepalive import Ports
from tests.api.test_stored_searches import KEYS, create

MakeRequest = Callable[..., pb.RunSearchRequest]
BUF = Path(sys.executable).parent / "buf"


async def curl(port: int, method: str, data: Any = None, *words: str) -> tuple[int, str, str]:
    """Call a method; return exit status and what was written."""
    options = ["--protocol", "grpc", "--http2-prior-knowledge", *words]
    options += [] if data is None else ["--data", json.dumps(data)]
    process = await asyncio.create_subprocess_exec(
        BUF,
        "curl",
        *options,
        f"http://127.0.0.1:{port}{method}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("version", ["grpc-v1", "grpc-v1alpha"])
async def test_reflection_shows_the_service(serve: Serve, version: str) -> None:
    ports = Ports()
    async with serve(between=ports.to):
        status, out, err = await curl(ports.port, "", None, "--list-methods", "--reflect-protocol", version)
    assert status == 0, err
    methods = {one.name for one in pb.DESCRIPTOR.services_by_name["SearchService"].methods}
    assert {f"eacps.v1.SearchService/{name}" for name in methods} <= set(out.split())


async def test_a_search_is_found_and_a_refusal_has_its_details(serve: Serve, make_request: MakeRequest) -> None:
    ports = Ports()
    async with serve(between=ports.to, admitted=replace(UNRATED, pictures=0)) as channel:
        search = await create(SearchServiceStub(channel), make_request(labels={"shot": "12"}))
        status, out, err = await curl(ports.port, "/eacps.v1.SearchService/GetSearch", {"searchId": search.search_id})
        assert status == 0, err
        assert json.loads(out)["search"]["labels"] == {"shot": "12"}
        status, _, err = await curl(ports.port, "/eacps.v1.SearchService/PreparePrior", {})
    assert status == 8 * 8, "buf's exit status is eight times the status code"
    error = json.loads(err)
    assert error["code"] == "resource_exhausted"
    kinds = {detail["type"] for detail in error["details"]}
    assert {"google.rpc.ErrorInfo", "google.rpc.QuotaFailure", "google.rpc.RetryInfo"} <= kinds


@pytest.mark.parametrize(("key", "code"), [("key-of-ada", 0), ("key-of-eve", 16 * 8)])
async def test_a_key_is_asked_for(serve: Serve, key: str, code: int) -> None:
    ports, keys = Ports(), KeyRing(KEYS.tenants)
    async with serve(between=ports.to, keys=keys):
        status, _, err = await curl(
            ports.port, "/eacps.v1.SearchService/ListSearches", {}, "--header", f"authorization: Bearer {key}"
        )
    assert status == code, err
