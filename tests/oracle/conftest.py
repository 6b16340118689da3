"""The sampler in a real Triton, over the project's own client."""

from collections.abc import AsyncIterator

import pytest

from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.gateway import TritonGateway


@pytest.fixture
async def gateway(triton: EmbeddedTriton) -> AsyncIterator[TritonGateway]:
    """A client of ``triton``; one a test, for it belongs to the test's event loop."""
    opened = await TritonGateway.connect(triton.grpc_url)
    try:
        yield opened
    finally:
        await opened.close()
