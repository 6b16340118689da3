"""A cache of what is computed from contents: prompt embeddings and picture latents.

All seeds, step ranges and micro-batches of a search share their conditioning, and so do searches on the same inputs.
Keys are digests of everything that goes into a value. A value being computed is waited for, not computed twice; the
computation belongs to the cache, so a caller that goes away takes nobody else's value along.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import numpy as np
import torch
from numpy.typing import NDArray


def digest(*parts: str | bytes | NDArray[np.uint8]) -> str:
    """Digest of an ordered list of texts, bytes and pictures; lengths and shapes count."""
    hashed = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            hashed.update(f"array{part.shape}".encode())
            hashed.update(np.ascontiguousarray(part).data)
            continue
        data = part.encode() if isinstance(part, str) else part
        hashed.update(f"{type(part).__name__}{len(data)}:".encode())
        hashed.update(data)
    return hashed.hexdigest()


class ContentCache:
    """Least recently used values are dropped when the rest exceeds a number of bytes. For one event loop.

    Args:
        max_bytes: Bound on the tensors kept. A value larger than that is handed out and not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._values: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._underway: dict[str, asyncio.Task[torch.Tensor]] = {}
        self.hits, self.misses = 0, 0

    async def get(self, key: str, compute: Callable[[], Awaitable[torch.Tensor]]) -> torch.Tensor:
        """Return the value of ``key``, from the cache or by ``compute``. What ``compute`` raises is not kept."""
        if key in self._values:
            self.hits += 1
            self._values.move_to_end(key)
            return self._values[key]
        task = self._underway.get(key)
        if task is None:
            self.misses += 1
            task = asyncio.create_task(self._fill(key, compute))
            self._underway[key] = task
            # The task is taken off the list even where every waiter was cancelled meanwhile.
            task.add_done_callback(lambda done: self._finished(key, done))
        else:
            self.hits += 1
        return await asyncio.shield(task)

    async def _fill(self, key: str, compute: Callable[[], Awaitable[torch.Tensor]]) -> torch.Tensor:
        value = await compute()
        size = value.nbytes
        if size <= self._max_bytes:
            self._values[key] = value
            self._bytes += size
        while self._bytes > self._max_bytes:
            _, dropped = self._values.popitem(last=False)
            self._bytes -= dropped.nbytes
        return value

    def _finished(self, key: str, task: asyncio.Task[torch.Tensor]) -> None:
        del self._underway[key]
        if not task.cancelled():
            task.exception()  # seen here, so that a failure nobody waits for is not reported as forgotten
