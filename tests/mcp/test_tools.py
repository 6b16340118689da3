"""The MCP server as MCP's own client meets it: over standard input and output, and over HTTP."""

import base64
import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from PIL import Image

from eacps.api.access import KeyRing, add_key
from eacps.client import AsyncClient
from eacps.http.serving import serving_http
from eacps.mcp import create_server, mcp_app
from eacps.mcp.app import with_callers_key
from eacps.testing import ToyModels
from tests.api.certificates import Authority
from tests.cli.conftest import toy_server
from tests.cli.searches import half_white, picture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """Address of a toy server that takes its time and asks for keys, and the keys of two tenants."""
    file = tmp_path_factory.mktemp("keys") / "api_keys.json"
    keys = [add_key(file, name) for name in ("studio", "another")]
    with toy_server(keys=KeyRing.read(file), models=ToyModels(duration_s=0.01)) as address:
        yield address, keys[0], keys[1]


@asynccontextmanager
async def over_stdio(server: str, key: str, folder: Path) -> AsyncIterator[Client]:
    """The command as an assistant's program starts it."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "eacps", "mcp", "--server", server, "--pictures", str(folder)],
        env=os.environ | {"EACPS_API_KEY": key},
        cwd=ROOT,
    )
    async with Client(stdio_client(parameters)) as client:
        yield client


@asynccontextmanager
async def over_http(server: str, key: str | None, *, needs_key: bool = True) -> AsyncIterator[Client]:
    """An MCP client with a key, over HTTP."""
    mcp = create_server(with_callers_key(lambda given: AsyncClient(server, api_key=given)))
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with (
        serving_http(mcp_app(mcp, needs_key=needs_key, local=True), "127.0.0.1", 0) as port,
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http)) as client,
    ):
        yield client


def data_of(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


SCENE, CHARACTER = data_of(picture(10, size=(160, 120))), data_of(picture(100))
TASK: dict[str, Any] = {
    "scene": SCENE,
    "character": CHARACTER,
    "prompt": "make the person smile 笑",
    "trajectories": 6,
    "random_seed": 1,
    "labels": {"shot": "12a"},
}


async def call(client: Client, name: str, **arguments: Any) -> Any:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result


async def refused(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error, result.content
    return str(getattr(result.content[0], "text", ""))


async def test_an_assistant_searches_looks_and_searches_on(keyed: tuple[str, str, str], tmp_path: Path) -> None:
    (tmp_path / "scene.png").write_bytes(picture(10, size=(160, 120)))
    async with over_stdio(keyed[0], keyed[1], tmp_path) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        submitted = (await call(client, "submit_search", **TASK | {"scene": "scene.png"})).structured_content
        search_id = submitted["search_id"]
        reports: list[float] = []

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            reports.append(progress)

        waited = await client.call_tool("wait_for_search", {"search_id": search_id}, progress_callback=progressed)
        result = await call(client, "get_result", search_id=search_id, count=2, max_side=96)
        pictures = result.structured_content["pictures"]
        likes = [one["candidate_id"] for one in pictures]
        saved = await call(client, "save_picture", search_id=search_id, candidate_id=likes[0], file="best.png")
        again = await refused(client, "save_picture", search_id=search_id, candidate_id=likes[0], file="best.png")
        resource = await client.read_resource(pictures[0]["uri"])
        more = (await call(client, "more_like_this", search_id=search_id, candidate_ids=likes)).structured_content
        await call(client, "wait_for_search", search_id=more["search_id"])
        listed = (await call(client, "list_searches", limit=5)).structured_content["searches"]
    assert names == {
        *("submit_search", "wait_for_search", "get_result", "more_like_this", "list_searches", "cancel_search"),
        "save_picture",
    }
    assert waited.structured_content is not None
    assert waited.structured_content["state"] == "succeeded"
    assert reports == sorted(reports)
    assert [one["potential"] for one in pictures] == sorted((one["potential"] for one in pictures), reverse=True)
    kinds = [content.type for content in result.content]
    assert kinds == ["text", "image", "resource_link", "image", "resource_link"]
    small = Image.open(io.BytesIO(base64.b64decode(result.content[1].data)))
    assert (small.format, max(small.size)) == ("JPEG", 96)
    full = base64.b64decode(resource.contents[0].blob)
    assert Image.open(io.BytesIO(full)).size == (160, 120)
    assert result.content[2].size == len(full)
    assert (tmp_path / "best.png").read_bytes() == full
    assert str(tmp_path / "best.png") in saved.content[0].text
    assert "exists" in again.lower()
    assert {search_id, more["search_id"]} <= {one["search_id"] for one in listed}
    async with AsyncClient(keyed[0], api_key=keyed[1]) as own:
        variation = (await own.get(more["search_id"])).request
    assert [one.candidate.candidate_id for one in variation.search.start] == likes
    assert variation.prompt == TASK["prompt"]
    assert variation.search.eacps_adaptive.trajectories == 6
    assert variation.search.random_seed != 1


async def test_callers_over_http_have_their_own_keys(keyed: tuple[str, str, str]) -> None:
    server, key, another = keyed
    async with over_http(server, key) as client:
        submitted = (await call(client, "submit_search", **TASK)).structured_content
        tools = {tool.name for tool in (await client.list_tools()).tools}
        file = await refused(client, "submit_search", **TASK | {"scene": "/etc/passwd"})
        await call(client, "wait_for_search", search_id=submitted["search_id"])
    async with over_http(server, another) as client:
        unknown = await refused(client, "get_result", search_id=submitted["search_id"])
        with pytest.raises(MCPError, match="NOT_FOUND"):
            await client.read_resource(f"eacps://searches/{submitted['search_id']}/candidates/g0-000")
    async with over_http(server, "wrong") as client:
        stranger = await refused(client, "list_searches")
    async with over_http(server, None, needs_key=False) as client:
        nobody = await refused(client, "list_searches")
    assert "save_picture" not in tools
    assert "files cannot be read here" in file
    assert "SEARCH_NOT_FOUND" in unknown
    assert "UNAUTHENTICATED" in stranger
    assert "UNAUTHENTICATED" in nobody


async def test_a_long_search_is_waited_for_in_parts_and_cancelled(keyed: tuple[str, str, str]) -> None:
    async with over_http(keyed[0], keyed[1]) as client:
        submitted = (await call(client, "submit_search", **TASK | {"trajectories": 4000})).structured_content
        search_id = submitted["search_id"]
        waited = (await call(client, "wait_for_search", search_id=search_id, timeout_s=1.0)).structured_content
        shown = await call(client, "get_result", search_id=search_id)
        await call(client, "cancel_search", search_id=search_id)
        ended = (await call(client, "wait_for_search", search_id=search_id)).structured_content
        running = (await call(client, "list_searches", state="running")).structured_content["searches"]
    assert waited["state"] == "running"
    assert len(shown.structured_content["pictures"]) == 1
    assert ended["state"] == "cancelled"
    assert search_id not in [one["search_id"] for one in running]


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("submit_search", {"scene": "data:image/png;base64,?"}, "not valid base64"),
    ("submit_search", {"scene": data_of(b"no picture")}, "scene"),
    ("submit_search", {"scene": "artifact:" + "0" * 64}, "scene"),
    ("submit_search", {"prompt": ""}, "prompt"),
    ("submit_search", {"trajectories": 0}, "trajectories"),
    ("submit_search", {"mask": SCENE}, "mask"),
    ("submit_search", {"mask": data_of(half_white())}, "mask.data"),
]


@pytest.mark.parametrize(("tool", "fault", "said"), FAULTS)
async def test_faults_are_told_in_words(
    keyed: tuple[str, str, str], tool: str, fault: dict[str, Any], said: str
) -> None:
    async with over_http(keyed[0], keyed[1]) as client:
        assert said in await refused(client, tool, **TASK | fault)


async def test_files_outside_the_folder_are_neither_read_nor_written(
    keyed: tuple[str, str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(picture(10))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    async with over_stdio(keyed[0], keyed[1], folder) as client:
        for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "/etc/passwd", "", ".", "a\0b"):
            said = await refused(client, "submit_search", **TASK | {"scene": name})
            assert "folder" in said or "not valid" in said, name
        assert "No such file" in await refused(client, "submit_search", **TASK | {"scene": "absent.png"})
        outside = {"search_id": "0" * 32, "candidate_id": "g0-000", "file": "../new.png"}
        assert "SEARCH_NOT_FOUND" in await refused(client, "save_picture", **outside)
    assert not (tmp_path / "new.png").exists()


async def test_pages_of_a_browser_may_not_call(keyed: tuple[str, str, str]) -> None:
    mcp = create_server(with_callers_key(lambda given: AsyncClient(keyed[0], api_key=given)))
    async with (
        serving_http(mcp_app(mcp, needs_key=True, local=True), "127.0.0.1", 0) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        key = {"authorization": f"Bearer {keyed[1]}", "accept": "application/json, text/event-stream"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await http.post("/mcp", json=body)).status_code == 401
        assert (await http.post("/mcp", json=body, headers=key | {"origin": "http://localhost"})).status_code == 403
        assert (await http.post("/mcp", json=body, headers=key | {"host": "attacker.example"})).status_code == 421


def test_the_command_serves_tls_and_ends_when_it_is_told_to(keyed: tuple[str, str, str], tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    certificate, key = map(str, ours.issue("server", "127.0.0.1"))
    tls = {"EACPS_HTTP_TLS_CERTIFICATE": certificate, "EACPS_HTTP_TLS_KEY": key}
    command = [sys.executable, "-m", "eacps", "mcp", "--server", keyed[0], "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | tls, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert re.fullmatch(r"https://127\.0\.0\.1:\d+/mcp", url)
        with httpx2.Client(verify=ssl.create_default_context(cafile=ours.root), trust_env=False) as http:
            assert http.post(url, headers={"origin": "https://attacker.example"}).status_code == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("with_signal", [False, True])
def test_over_stdio_it_ends_when_its_caller_goes_or_says_so(keyed: tuple[str, str, str], with_signal: bool) -> None:
    command = [sys.executable, "-m", "eacps", "mcp", "--server", keyed[0]]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        if with_signal:
            process.terminate()
        else:
            process.stdin.close()
        assert process.wait(timeout=60) == (-signal.SIGTERM if with_signal else 0)
