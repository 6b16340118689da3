"""What callers do: search, perhaps leave early, ask small things."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from benchmarks.loading.records import Record
from eacps.client import AsyncClient, CallFailed, v1

KINDS = ("get", "list", "prior", "render", "score")


@dataclass(frozen=True)
class Task:
    """An edit that is asked for.

    Attributes:
        scene, character: Encoded.
        prompt: What the edit should do.
        search, sampler: Settings of every search.
    """

    scene: bytes
    character: bytes
    prompt: str
    search: v1.SearchSettings
    sampler: v1.SamplerSettings

    @property
    def scene_image(self) -> v1.Image:
        """The scene as requests carry it."""
        return v1.Image(data=self.scene)

    @property
    def character_image(self) -> v1.Image:
        """The character as requests carry it."""
        return v1.Image(data=self.character)

    def request(self) -> v1.RunSearchRequest:
        """A search, with a seed of its own."""
        search = v1.SearchSettings()
        search.CopyFrom(self.search)
        search.random_seed = random.getrandbits(32)
        return v1.RunSearchRequest(
            scene=self.scene_image,
            character=self.character_image,
            prompt=self.prompt,
            search=search,
            sampler=self.sampler,
        )


class Callers:
    """All of them, over one connection.

    Args:
        client: To the server.
        task: What they ask for.
        record: Told what they see.
        cancel_share: Of the searches that are left after their first candidate.
    """

    def __init__(self, client: AsyncClient, task: Task, record: Record, *, cancel_share: float = 0.0) -> None:
        self._client, self._task, self._record, self._cancel_share = client, task, record, cancel_share
        self._last_search = ""

    async def search(self) -> None:
        """Run one search to its end, or leave it."""
        leaves, begun = random.random() < self._cancel_share, time.monotonic()
        first = True
        try:
            async with aclosing(self._client.run(self._task.request())) as events:
                async for event in events:
                    if event.sequence == 1:
                        self._record.took("first event", time.monotonic() - begun)
                    self._last_search = event.started.search_id or self._last_search
                    if event.HasField("candidate_scored"):
                        self._record.candidates += 1
                        if first:
                            self._record.took("first candidate", time.monotonic() - begun)
                        first = False
                        if leaves:
                            break
        except CallFailed as exc:
            self._record.errors[f"search: {exc.code.name} {exc.reason}".strip()] += 1
            return
        self._record.done["searches left" if leaves else "searches"] += 1
        if not leaves:
            self._record.took("result", time.monotonic() - begun)

    async def ask(self) -> None:
        """Make one small call of any kind."""
        kind = random.choice(KINDS)
        begun = time.monotonic()
        try:
            await self._calls()[kind]()
        except CallFailed as exc:
            self._record.errors[f"{kind}: {exc.code.name} {exc.reason}".strip()] += 1
            return
        self._record.done[kind] += 1
        self._record.took(kind, time.monotonic() - begun)

    def _calls(self) -> dict[str, Callable[[], Awaitable[object]]]:
        client, task = self._client, self._task
        scene, character = task.scene_image, task.character_image
        recipe = v1.Recipe(terms=[v1.RecipeTerm(seed=random.getrandbits(32), coefficient=1.0)])
        return {
            "get": self._get,
            "list": self._list,
            "prior": lambda: client.prepare_prior(v1.PreparePriorRequest(scene=scene, character=character)),
            "render": lambda: client.render(
                v1.RenderCandidateRequest(
                    scene=scene, character=character, prompt=task.prompt, recipe=recipe, sampler=task.sampler
                )
            ),
            "score": lambda: client.score(
                v1.ScoreImagesRequest(scene=scene, character=character, prompt=task.prompt, images=[scene])
            ),
        }

    async def _get(self) -> None:
        if self._last_search:
            await self._client.get(self._last_search)

    async def _list(self) -> None:
        async with aclosing(self._client.list(page_size=20)) as searches:
            async for _ in searches:
                break
