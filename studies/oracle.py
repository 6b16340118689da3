"""Makes and scores the pictures that the study asks for, through the served models, and only those it does not know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from eacps.assembly import build_scorers
from eacps.scoring import EditContext, JoinedQuestions, MissingScore
from eacps.search.recipe import Recipe, stack
from eacps.triton import TritonGateway
from eacps.triton.types import Generated, GenerateRequest
from studies.pool import SCORES, Key, Pool, Scores, key_of
from studies.subjects import Subject, prepare

MICRO_BATCH = 16
"""Of pictures that are made; nothing else depends on it."""
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
        offered = build_scorers(gateway, verifier=True, judge=JoinedQuestions(gateway))
        self._scorers = [scorer for name, scorer in offered.items() if name in SCORES]  # others need not have a score
        self._subjects: dict[int, Subject] = {}
        self._latents: dict[Key, Latents] = {}
        self.made = 0

    async def scores(self, task: int, recipes: Sequence[Recipe], steps: int) -> list[Scores]:
        """Return the raw scores of each recipe's picture of a task by a schedule of so many steps, in their order.

        Drafts are made apart from full trajectories here: what they share is counted once, and computed twice.

        Raises:
            NoFaceError: See there.
            UnscoredError: A scorer failed.
            EacpsError: Triton did.
        """
        keys = [key_of(task, recipe, steps) for recipe in recipes]
        unknown = {key: recipe for key, recipe in zip(keys, recipes, strict=True) if self.pool.get(key) is None}
        for first in sorted({recipe.start_step for recipe in unknown.values()}):
            todo = [pair for pair in unknown.items() if pair[1].start_step == first]
            for start in range(0, len(todo), MICRO_BATCH):
                await self._measure(await self._subject(task), todo[start : start + MICRO_BATCH], steps)
        return [known for key in keys if (known := self.pool.get(key)) is not None]

    async def pictures(self, task: int, recipes: Sequence[Recipe]) -> NDArray[np.uint8]:
        """Make the pictures of recipes by the full schedule, uint8 [N, H, W, 3]; they are not kept.

        Raises:
            NoFaceError: See there.
            EacpsError: Triton did.
        """
        subject = await self._subject(task)
        made: dict[Recipe, NDArray[np.uint8]] = {}
        for first in sorted({recipe.start_step for recipe in recipes}):
            todo = [recipe for recipe in dict.fromkeys(recipes) if recipe.start_step == first]
            for start in range(0, len(todo), MICRO_BATCH):
                batch = todo[start : start + MICRO_BATCH]
                made |= zip(batch, (await self._made(subject, batch, self.steps)).pictures, strict=True)
        return np.stack([made[recipe] for recipe in recipes])

    async def seconds(self, task: int, recipes: Sequence[Recipe], steps: int, scorers: Container[str]) -> float:
        """Return how long it takes to make these pictures and to score them by ``scorers``; nothing is kept."""
        subject = await self._subject(task)
        started_s = time.perf_counter()
        made = await self._made(subject, recipes, steps)
        await self._scored(subject, made.pictures, scorers)
        return time.perf_counter() - started_s

    def forget(self, task: int) -> None:
        """Release a task's pictures and latents."""
        self._subjects.pop(task, None)
        self._latents = {key: latents for key, latents in self._latents.items() if key.task != task}

    async def _subject(self, task: int) -> Subject:
        if task not in self._subjects:
            found = await prepare(task, self._gateway, shows_character=self._shows_character)
            if found is None:
                raise NoFaceError(f"no face found in task {task}")
            self._subjects[task] = found
        return self._subjects[task]

    async def _measure(self, subject: Subject, batch: list[tuple[Key, Recipe]], steps: int) -> None:
        made = await self._made(subject, [recipe for _, recipe in batch], steps)
        if steps == self.steps:
            self._latents |= {key: one for (key, _), one in zip(batch, made.latents, strict=True)}
        self.made += len(batch)
        self.pool.put(zip([key for key, _ in batch], await self._scored(subject, made.pictures), strict=True))

    async def _made(self, subject: Subject, recipes: Sequence[Recipe], steps: int) -> Generated:
        """Make pictures of recipes whose last trajectories all begin at the same step."""
        seeds, coefficients = stack([recipe.last_noise for recipe in recipes])
        return await self._gateway.generate(
            GenerateRequest(
                pictures=subject.conditioning,
                prompt=subject.drawn.prompt,
                seeds=seeds,
                coefficients=coefficients,
                steps=steps,
                start_step=recipes[0].start_step,
                latents=await self._finals(subject, recipes) if recipes[0].restarts else None,
            )
        )

    async def _finals(self, subject: Subject, recipes: Sequence[Recipe]) -> Latents:
        """The latents of the finished pictures that are restarted; those that are gone are made again."""
        parents = {key_of(subject.number, one.restarted, self.steps): one.restarted for one in recipes}
        for key, recipe in parents.items():
            if key not in self._latents:
                self._latents[key] = (await self._made(subject, [recipe], self.steps)).latents[0]
        return np.stack([self._latents[key_of(subject.number, one.restarted, self.steps)] for one in recipes])

    async def _scored(
        self, subject: Subject, pictures: NDArray[np.uint8], names: Container[str] = SCORES
    ) -> list[Scores]:
        scorers = [scorer for scorer in self._scorers if scorer.name in names]
        named = {str(index): picture for index, picture in enumerate(pictures)}
        context = EditContext(
            scene=subject.drawn.scene.picture,
            prompt=subject.drawn.prompt,
            reference_embedding=subject.prior.embedding,
            character=subject.drawn.character.picture,
            character_face=subject.character_face,
            scene_box=subject.prior.scene_box,
        )
        answers = await asyncio.gather(*(scorer.score(named, context) for scorer in scorers))
        errors = np.abs(pictures.astype(np.float32) - subject.drawn.truth.picture).mean(axis=(1, 2, 3))
        rows: list[dict[str, float]] = [{"truth_error": float(error)} for error in errors]
        for scorer, answer in zip(scorers, answers, strict=True):
            for row, outcome in zip(rows, answer.values(), strict=True):
                if isinstance(outcome, MissingScore):
                    raise UnscoredError(f"{scorer.name}: {outcome.reason}")
                row[scorer.name] = outcome
        return list(rows)
