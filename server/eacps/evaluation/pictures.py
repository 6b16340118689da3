"""Pictures as updates carry them, encoded off the event loop."""

import asyncio

from eacps.imaging import Picture, content_hash, encode_png, encode_thumbnail


async def png_of(picture: Picture) -> bytes:
    """Encode without loss."""
    return await asyncio.to_thread(encode_png, picture)


async def thumbnail_of(picture: Picture) -> bytes:
    """Encode small: JPEG, at most 256 pixels a side and 32 KiB."""
    return await asyncio.to_thread(encode_thumbnail, picture)


async def hash_of(picture: Picture) -> str:
    """Name the content."""
    return await asyncio.to_thread(content_hash, picture)
