"""What framing and pasting back are worth on studio-mini: ``python -m benchmarks.framing --scenes 12``.

Two questions. How large must a face be in the working picture? Square scenes are searched as a whole, their faces
taking up this or that share of the height. And what does pasting back keep of what nobody wanted changed? The faces of
wide scenes are replaced; on the papered wall in the frame the spread of the steps from pixel to pixel is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from benchmarks.machine import describe
from benchmarks.wide_scenes import WideScene, draw_wide_scene
from eacps.arrays import Picture
from eacps.artifacts import get_picture
from eacps.assembly import build_scorers
from eacps.evaluation import (
    CandidateScored,
    MemoryRecorder,
    PriorReady,
    SearchFinished,
    SearchPictures,
    SearchPlan,
    SearchRunner,
    SearchSettings,
    SearchUpdate,
    Services,
)
from eacps.scene.frame import Framing
from eacps.scoring import JoinedQuestions
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import BestOfNSpec
from eacps.triton import TritonGateway
from eacps.triton.embedded import EmbeddedTriton

ROOT = Path(__file__).resolve().parents[1]
SHARES = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""Of the working picture's height, which the face's box takes up."""
WEIGHTS = {"identity": 0.5, "realism": 0.3, "prompt": 0.2}
PROMPT = "make the person smile"
FIRST_SEED = 20  # of the scenes
PERSON = 240  # pixels


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--candidates", type=int, default=4, help="of each search")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    repository = ROOT / ".build" / "model_repository"
    with EmbeddedTriton(repository, log_file=arguments.out / "triton.log") as triton:
        asyncio.run(measure(triton.grpc_url, range(FIRST_SEED, FIRST_SEED + arguments.scenes), arguments.candidates))
    machine = describe(os.cpu_count() or 1)
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}")


async def measure(url: str, seeds: Sequence[int], candidates: int) -> None:
    """Measure and print, over a Triton at ``url``."""
    gateway = await TritonGateway.connect(url)
    try:
        for share in SHARES:
            potentials = [one for seed in seeds async for one in _potentials(gateway, _square(seed, share), candidates)]
            print(f"face {share:.0%} of the height: mean potential {fmean(potentials):.3f} of {len(potentials)}")
        grains = [await _grain(gateway, draw_wide_scene(seed=seed), candidates) for seed in seeds]
        scene, enlarged, delivered = np.mean(grains, axis=0)
        print(f"grain of the wall: scene {scene:.2f}, enlarged {enlarged:.2f}, delivered {delivered:.2f} levels")
    finally:
        await gateway.close()


def _square(seed: int, share: float) -> WideScene:
    face = draw_wide_scene(seed=seed, side=PERSON).face
    side = round((face[3] - face[1]) / share)
    return draw_wide_scene(side, side, side=PERSON, left=(side - PERSON) // 2, seed=seed)


async def _potentials(gateway: TritonGateway, wide: WideScene, candidates: int) -> AsyncIterator[float]:
    services = _services(gateway)
    for update in await _searched(services, _plan(wide, candidates, Framing.WHOLE)):
        if isinstance(update, CandidateScored) and update.evaluation is not None and update.evaluation.potential:
            yield update.evaluation.potential.value


async def _grain(gateway: TritonGateway, wide: WideScene, candidates: int) -> tuple[float, float, float]:
    """Of the wall in the frame's upper left, inside its fade: in scene, plain enlargement and result."""
    services = _services(gateway)
    updates = await _searched(services, _plan(wide, candidates, Framing.FACE))
    (prior,) = (update for update in updates if isinstance(update, PriorReady))
    (finished,) = (update for update in updates if isinstance(update, SearchFinished))
    left, top, right, bottom = (int(edge) for edge in prior.frame)
    best = await get_picture(services.artifacts, finished.picture)
    enlarged = np.asarray(Image.fromarray(best).resize((right - left, bottom - top), Image.Resampling.BICUBIC))
    delivered = (await get_picture(services.artifacts, finished.delivered))[top:bottom, left:right]
    pictures = wide.scene[top:bottom, left:right], enlarged, delivered
    first, second, third = (_steps(picture) for picture in pictures)
    return first, second, third


def _steps(framed: Picture) -> float:
    height, width = framed.shape[:2]
    wall = framed[height // 8 : height // 5, width // 8 : width // 4, 1]
    return float(np.diff(wall.astype(float), axis=1).std())


def _services(gateway: TritonGateway) -> Services:
    return Services(gateway, build_scorers(gateway, judge=JoinedQuestions(gateway)))


def _plan(wide: WideScene, candidates: int, framing: Framing) -> SearchPlan:
    spec, objective = BestOfNSpec(1, candidates), Objective(Weights(WEIGHTS))
    return SearchPlan(
        SearchSettings("framing", PROMPT, spec=spec, objective=objective, framing=framing),
        SearchPictures(wide.scene, wide.character),
    )


async def _searched(services: Services, plan: SearchPlan) -> list[SearchUpdate]:
    recorder = MemoryRecorder()
    await SearchRunner(plan.settings, services, recorder).run(plan.pictures)
    return recorder.updates


if __name__ == "__main__":
    main()
