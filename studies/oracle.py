"""Makes and scores the pictures that the study asks for, through the served models, and only those it does not know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eacps.assembly import build_scorers
from eacps.scoring import EditContext, MissingScore
from eacps.search.recipe import Recipe, stack
from eacps.triton import TritonGateway
from eacps.triton.types import Generated, GenerateRequest
from studies.pool import SCORES, Key, Pool, Scores, key_of
from studies.subjects import Subject, prepare

MICRO_BATCH = 16
Latents = NDArray[np.float32]


class UnscoredError(RuntimeError):
    """A scorer gave no score; a study has no use for half of one."""


class NoFaceError(RuntimeError):
    """The served face pack finds no face in a task."""


class Oracle:
    """Scores of recipes.

    Args:
        gateway: To the served models.
        pool: What is known already, and where new scores go.
        steps: Of the full schedule.
        shows_character: Whether the backbone sees the character's picture beside the prior.
    """

    def __init__(self, gateway: TritonGateway, pool: Pool, *, steps: int, shows_character: bool) -> None:
        self._gateway, self.pool = gateway, pool
        self.steps, self._shows_character = steps, shows_character
        offered = build_scorers(gateway, verifier=True)
        self._scorers = [scorer for name, scorer in offered.items() if name in SCORES]  # others need not have a score
        self._subjects: dict[int, Subject] = {}
        self._latents: dict[Key, Latents] = {}
        self.made = 0

    async def scores(self, task: int, recipes: Sequence[Recipe], stop: int, *, draft: bool = False) -> list[Scores]:
        """Return the raw scores of each recipe's picture of a task after ``stop`` steps, or of drafts, in their order.

        Drafts are made apart from full trajectories here: what they share is counted once, and computed twice.

        Raises:
            NoFaceError: See there.
            UnscoredError: A scorer failed.
            EacpsError: Triton did.
        """
        keys = [key_of(task, recipe, stop, draft=draft) for recipe in recipes]
        unknown = {key: recipe for key, recipe in zip(keys, recipes, strict=True) if self.pool.get(key) is None}
        for first in sorted({recipe.start_step for recipe in unknown.values()}):
            todo = [pair for pair in unknown.items() if pair[1].start_step == first]
            for start in range(0, len(todo), MICRO_BATCH):
                await self._measure(await self._subject(task), todo[start : start + MICRO_BATCH], stop, draft=draft)
        return [known for key in keys if (known := self.pool.get(key)) is not None]

    async def seconds(self, task: int, recipes: Sequence[Recipe], stop: int) -> float:
        """Return how long making and scoring these pictures takes, whether they are known or not; nothing is kept."""
        subject = await self._subject(task)
        seeds, coefficients = stack(recipes)
        started_s = time.perf_counter()
        made = await self._gateway.generate(
            GenerateRequest(
                pictures=subject.conditioning,
                prompt=subject.drawn.prompt,
                seeds=seeds,
                coefficients=coefficients,
                steps=self.steps,
                stop_step=stop,
            )
        )
        await self._scored(subject, made.pictures)
        return time.perf_counter() - started_s

    def forget(self, task: int) -> None:
        """Let go of a task's pictures and of the latents of its previews."""
        self._subjects.pop(task, None)
        self._latents = {key: latents for key, latents in self._latents.items() if key.task != task}

    async def _subject(self, task: int) -> Subject:
        if task not in self._subjects:
            found = await prepare(task, self._gateway, shows_character=self._shows_character)
            if found is None:
                raise NoFaceError(f"no face found in task {task}")
            self._subjects[task] = found
        return self._subjects[task]

    async def _measure(self, subject: Subject, batch: list[tuple[Key, Recipe]], stop: int, *, draft: bool) -> None:
        made = await self._made(subject, [recipe for _, recipe in batch], stop, draft=draft)
        if not draft:
            self._latents |= {key: one for (key, _), one in zip(batch, made.latents, strict=True)}
        self.made += len(batch)
        self.pool.put(zip([key for key, _ in batch], await self._scored(subject, made.pictures), strict=True))

    async def _made(self, subject: Subject, recipes: Sequence[Recipe], stop: int, *, draft: bool) -> Generated:
        """Make pictures of recipes whose last trajectories all begin at the same step."""
        restarts = bool(recipes[0].restarts)
        start: int
        latents: Latents | None
        if restarts:
            start, latents = recipes[0].start_step, await self._finals(subject, [one.restarted for one in recipes])
        else:
            start, latents = (0, None) if draft else self._resumed(subject, recipes, stop)
        seeds, coefficients = stack([recipe.last_noise for recipe in recipes])
        return await self._gateway.generate(
            GenerateRequest(
                pictures=subject.conditioning,
                prompt=subject.drawn.prompt,
                seeds=seeds,
                coefficients=coefficients,
                steps=stop if draft else self.steps,
                start_step=start,
                stop_step=stop,
                latents=latents,
                restart=restarts,
            )
        )

    async def _finals(self, subject: Subject, recipes: Sequence[Recipe]) -> Latents:
        """The latents of finished pictures; those that are gone are made again."""
        keys = [key_of(subject.number, recipe, self.steps) for recipe in recipes]
        for key, recipe in zip(keys, recipes, strict=True):
            if key not in self._latents:
                self._latents[key] = (await self._made(subject, [recipe], self.steps, draft=False)).latents[0]
        return np.stack([self._latents[key] for key in keys])

    def _resumed(self, subject: Subject, recipes: Sequence[Recipe], stop: int) -> tuple[int, Latents | None]:
        """The furthest step from which all of a batch can go on, with their latents there; else the beginning.

        Where latents are gone, since the study was cut off, a trajectory begins again: the picture is the same.
        """
        for step in range(stop - 1, 0, -1):
            keys = [key_of(subject.number, recipe, step) for recipe in recipes]
            if all(key in self._latents for key in keys):
                return step, np.stack([self._latents[key] for key in keys])
        return 0, None

    async def _scored(self, subject: Subject, pictures: NDArray[np.uint8]) -> list[Scores]:
        named = {str(place): picture for place, picture in enumerate(pictures)}
        context = EditContext(
            scene=subject.drawn.scene.picture,
            prompt=subject.drawn.prompt,
            reference_embedding=subject.prior.embedding,
            character=subject.drawn.character.picture,
            character_face=subject.character_face,
            scene_box=subject.prior.scene_box,
        )
        answers = await asyncio.gather(*(scorer.score(named, context) for scorer in self._scorers))
        errors = np.abs(pictures.astype(np.float32) - subject.drawn.truth.picture).mean(axis=(1, 2, 3))
        rows: list[dict[str, float]] = [{"truth_error": float(error)} for error in errors]
        for scorer, answer in zip(self._scorers, answers, strict=True):
            for row, outcome in zip(rows, answer.values(), strict=True):
                if isinstance(outcome, MissingScore):
                    raise UnscoredError(f"{scorer.name}: {outcome.reason}")
                row[scorer.name] = outcome
        return list(rows)
