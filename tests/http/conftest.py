"""The HTTP interface on a free port over real search servers, as OpenAI's own client sees it."""

import io
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from openai import AsyncOpenAI
from PIL import Image

from eacps.api.access import KeyRing, add_key
from eacps.http import HttpLimits, Upstream, create_app
from eacps.http.serving import serving_http
from tests.cli.conftest import toy_server
from tests.cli.searches import picture

Gateway = Callable[..., AbstractAsyncContextManager[str]]
SCENE, CHARACTER = picture(10), picture(100)
SMALL = '{"search": {"best_of_n": {"trajectories": 6}, "random_seed": 1}}'


@asynccontextmanager
async def gateway_over(server: str, *, limits: HttpLimits | None = None, **options: bool) -> AsyncIterator[str]:
    """Serve, and give the address."""

    async def ready() -> bool:
        return True

    app = create_app(Upstream(server, ready), limits, **options)
    async with serving_http(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of a toy server that asks for keys, and a key."""
    file = tmp_path_factory.mktemp("keys") / "api_keys.json"
    key = add_key(file, "studio")
    with toy_server(keys=KeyRing.read(file)) as address:
        yield address, key


@pytest.fixture
async def openai(keyed: tuple[str, str]) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client, pointed at the interface over a toy server."""
    async with gateway_over(keyed[0]) as address, client_of(address, keyed[1]) as client:
        yield client


def client_of(address: str, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def file_of(data: bytes, name: str = "picture.png") -> tuple[str, bytes]:
    return name, data


def see_through(box: tuple[int, int, int, int], size: tuple[int, int] = (128, 128), kind: str = "PNG") -> bytes:
    """A mask in OpenAI's form: transparent within the box."""
    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), box)
    file = io.BytesIO()
    mask.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
