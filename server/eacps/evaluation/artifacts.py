"""Bytes by content hash: what steps hand to each other, so that their inputs and outputs are small and comparable."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from eacps.imaging import Limits, Picture, decode_picture, encode_png
from eacps.triton.types import Float32

_OUR_OWN = Limits(max_bytes=2**31, max_pixels=2**31, min_side=1, max_side=2**31)  # no stranger wrote these bytes


class ArtifactStore(Protocol):
    """Keeps bytes under their SHA-256."""

    async def put(self, data: bytes) -> str:
        """Store ``data`` and give its SHA-256 in hexadecimal; storing it twice changes nothing."""
        ...

    async def put_all(self, data: Sequence[bytes]) -> list[str]:
        """Store several, as `put` does each, and give their digests in the same order."""
        ...

    async def get(self, digest: str) -> bytes:
        """Give the bytes stored under ``digest``.

        Raises:
            KeyError: There are none.
        """
        ...

    async def drop(self, digest: str) -> None:
        """Hear that the search needs these bytes no more; a store from which searches are replayed keeps them."""
        ...


class MemoryArtifacts:
    """An `ArtifactStore` that lives as long as its search.

    Args:
        keep: Keep what is dropped too, for replays.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._data: dict[str, bytes] = {}
        self._keep = keep

    async def put(self, data: bytes) -> str:
        """See `ArtifactStore.put`."""
        digest = hashlib.sha256(data).hexdigest()
        self._data[digest] = data
        return digest

    async def put_all(self, data: Sequence[bytes]) -> list[str]:
        """See `ArtifactStore.put_all`."""
        return [await self.put(one) for one in data]

    async def get(self, digest: str) -> bytes:
        """See `ArtifactStore.get`."""
        return self._data[digest]

    async def drop(self, digest: str) -> None:
        """See `ArtifactStore.drop`."""
        if not self._keep:
            self._data.pop(digest, None)


async def put_picture(store: ArtifactStore, picture: Picture) -> str:
    """Store a picture (or a mask) as PNG."""
    return await store.put(await asyncio.to_thread(encode_png, picture))


async def put_pictures(store: ArtifactStore, pictures: Sequence[Picture]) -> list[str]:
    """Store pictures as PNG."""
    return await store.put_all(await asyncio.to_thread(lambda: [encode_png(picture) for picture in pictures]))


async def get_picture(store: ArtifactStore, digest: str) -> Picture:
    """Give back a picture stored with `put_picture`, equal pixel for pixel."""
    return await asyncio.to_thread(decode_picture, await store.get(digest), _OUR_OWN)


async def put_vector(store: ArtifactStore, vector: Float32) -> str:
    """Store a vector as little-endian FP32."""
    return await store.put(vector.astype("<f4").tobytes())


async def get_vector(store: ArtifactStore, digest: str) -> Float32:
    """Give back a vector stored with `put_vector`, equal bit for bit."""
    return np.frombuffer(await store.get(digest), "<f4").astype(np.float32)
