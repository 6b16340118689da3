"""The service as an application in TypeScript meets it: Connect for Node, over code that Buf's generator wrote.

``make typescript-client`` generates and compiles it.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import SAMPLE, Serve
from tests.api.test_keepalive import Ports

NODE = Path(sys.executable).parent / "node"
CLIENT = Path(__file__).parents[2] / ".build" / "typescript" / "js" / "src" / "client.js"


@pytest.fixture
def client() -> Path:
    assert CLIENT.is_file(), "run `make typescript-client` first"
    return CLIENT


async def test_a_search_from_upload_to_deletion(serve: Serve, client: Path) -> None:
    ports, pictures = Ports(), (SAMPLE / "scene.png", SAMPLE / "character.png")
    async with serve(between=ports.to):
        process = await asyncio.create_subprocess_exec(
            *(NODE, client, f"127.0.0.1:{ports.port}", *pictures),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    seen: dict[str, Any] = json.loads(out)
    assert seen["moves"] == ["EXPLORE"] * 4 + ["SPHERICAL"] * 2
    assert seen["kinds"] == ["EXPLORE", "LOCAL"]
    assert seen["last"] == "finished 11"
    assert seen["delivered"] == seen["downloaded"] > 0
    assert (seen["state"], seen["again"], seen["left"]) == ("SUCCEEDED", True, 0)
    assert seen["expires"]
    kept = seen["kept"]
    assert kept["request"]["search"]["eacps"]["spherical"] == {"angle": 0.5}
    assert kept["request"]["scene"] == seen["uploaded"]
    assert "expireTime" in kept
    errors = {
        "invalid": ("InvalidArgument", "INVALID_REQUEST", ["search.prompt", "search.scene_face.index"]),
        "taken": ("AlreadyExists", "REQUEST_ID_TAKEN", []),
        "missing": ("NotFound", "SEARCH_NOT_FOUND", []),
    }
    for name, (code, reason, fields) in errors.items():
        error = seen[name]
        assert (error["code"], error["reason"], error["domain"]) == (code, reason, "eacps.v1")
        assert sorted(error["fields"]) == fields
