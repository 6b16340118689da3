"""The pictures of one search: bytes in its artifact store, arrays at hand while they are in use."""

from collections.abc import Sequence

from eacps.evaluation.artifacts import ArtifactStore, get_picture, put_pictures
from eacps.imaging import Picture


class Shelf:
    """Puts pictures into a store, so that what was just made is not decoded to be looked at, and drops them again.

    Args:
        store: Keeps the bytes. Uses are counted, since two candidates may well have one picture.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._arrays: dict[str, Picture] = {}
        self._uses: dict[str, int] = {}

    async def put(self, picture: Picture) -> str:
        """Store a picture, keep its array at hand, and give its digest."""
        return (await self.put_all([picture]))[0]

    async def put_all(self, pictures: Sequence[Picture]) -> list[str]:
        """Store pictures, keep their arrays at hand, and give their digests in the same order."""
        digests = await put_pictures(self._store, pictures)
        for digest, picture in zip(digests, pictures, strict=True):
            self._arrays[digest] = picture
            self._uses[digest] = self._uses.get(digest, 0) + 1
        return digests

    async def get(self, digest: str) -> Picture:
        """Give the picture, decoded anew where its array is not at hand."""
        at_hand = self._arrays.get(digest)
        return await get_picture(self._store, digest) if at_hand is None else at_hand

    def put_away(self, digest: str) -> None:
        """Keep the bytes alone."""
        self._arrays.pop(digest, None)

    async def drop(self, digest: str) -> None:
        """Let go of one use; without any left, array and bytes go."""
        uses = self._uses.pop(digest, 1) - 1
        if uses > 0:
            self._uses[digest] = uses
            return
        self.put_away(digest)
        await self._store.drop(digest)
