"""Waking, within this process, those who wait for news of a search. What other servers do is looked for in between."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """Rings once; `clear` readies it to ring again."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def clear(self) -> None:
        """Forget that it has rung. What is looked up after this is news up to the next ring."""
        self._rung.clear()

    def ring(self) -> None:
        """Wake who waits."""
        self._rung.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait for it to ring, and no longer than ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return


class Bells:
    """One for everyone who listens, by search."""

    def __init__(self) -> None:
        self._bells: dict[str, set[Bell]] = {}

    @contextmanager
    def listening(self, search_id: str) -> Iterator[Bell]:
        """Give a bell that rings for a search while the block lasts."""
        bell = Bell()
        self._bells.setdefault(search_id, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._bells[search_id]
            bells.discard(bell)
            if not bells:
                del self._bells[search_id]

    def ring(self, search_id: str) -> None:
        """Wake all who listen for a search."""
        for bell in self._bells.get(search_id, ()):
            bell.ring()

    def ring_all(self) -> None:
        """Wake all."""
        for search_id in self._bells:
            self.ring(search_id)
