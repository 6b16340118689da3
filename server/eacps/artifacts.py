"""Artifacts: bytes by content hash, and the encoding of pictures and vectors.

Pictures are encoded off the event loop: one hop to a thread for a whole micro-batch.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eacps.arrays import Float32, Mask, Picture
from eacps.imaging import Limits, content_hash, decode_picture, encode_png, encode_thumbnail

ACCEPTED = Limits(max_bytes=2**31, max_pixels=2**31, min_side=1, max_side=2**31, max_decoded_bytes=2**33)
"""Of files that were checked when they came, or that are our own."""


@dataclass(frozen=True)
class Artifact:
    """Bytes and the SHA-256, in hexadecimal, that names them."""

    digest: str
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> "Artifact":
        """Name bytes. Takes as long as hashing does."""
        return cls(hashlib.sha256(data).hexdigest(), data)


class ArtifactStore(Protocol):
    """Keeps bytes under their SHA-256."""

    async def put(self, artifacts: Sequence[Artifact]) -> None:
        """Store artifacts; storing one twice changes nothing."""
        ...

    async def get(self, digest: str) -> bytes:
        """Return the bytes stored under ``digest``.

        Raises:
            KeyError: There are none.
        """
        ...


class MemoryArtifacts:
    """An `ArtifactStore` that lives as long as this object."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    async def put(self, artifacts: Sequence[Artifact]) -> None:
        """See `ArtifactStore.put`."""
        self._data.update((one.digest, one.data) for one in artifacts)

    async def get(self, digest: str) -> bytes:
        """See `ArtifactStore.get`."""
        return self._data[digest]


async def put_pictures(store: ArtifactStore, pictures: Sequence[Picture]) -> list[str]:
    """Store pictures (or masks) as PNG and return their digests in the same order."""
    artifacts = await asyncio.to_thread(lambda: [Artifact.of(encode_png(picture)) for picture in pictures])
    await store.put(artifacts)
    return [one.digest for one in artifacts]


async def get_picture(store: ArtifactStore, digest: str) -> Picture:
    """Return a picture stored with `put_pictures`, equal pixel for pixel."""
    return await asyncio.to_thread(decode_picture, await store.get(digest), ACCEPTED)


async def get_mask(store: ArtifactStore, digest: str) -> Mask:
    """Return a mask stored with `put_pictures`, equal pixel for pixel."""
    return (await get_picture(store, digest))[..., 0]


def vector_artifact(vector: Float32) -> Artifact:
    """Encode a vector as little-endian FP32."""
    return Artifact.of(vector.astype("<f4").tobytes())


async def get_vector(store: ArtifactStore, digest: str) -> Float32:
    """Return the vector of a `vector_artifact`, equal bit for bit."""
    return np.frombuffer(await store.get(digest), "<f4").astype(np.float32)


@dataclass(frozen=True)
class EncodedPicture:
    """One picture in every form in which it leaves the search.

    Args:
        png: Without loss.
        thumbnail: JPEG, at most 256 pixels a side and 32 KiB.
        content_hash: Of the pixels (`eacps.imaging.content_hash`).
    """

    png: Artifact
    thumbnail: bytes
    content_hash: str


async def encode_pictures(pictures: Sequence[Picture]) -> list[EncodedPicture]:
    """Encode pictures, ``uint8 [H, W, 3]`` each."""
    return await asyncio.to_thread(lambda: [_encoded(picture) for picture in pictures])


async def png_of(picture: Picture) -> bytes:
    """Encode without loss."""
    return await asyncio.to_thread(encode_png, picture)


def _encoded(picture: Picture) -> EncodedPicture:
    return EncodedPicture(Artifact.of(encode_png(picture)), encode_thumbnail(picture), content_hash(picture))
