"""Scenes of any size with a drawn person somewhere in them, and fine texture around: what a working size loses."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio_mini.world.nuisance import Nuisance, draw_nuisance
from studio_mini.world.prompts import Look
from studio_mini.world.render import render
from studio_mini.world.tasks import Split, face, person

SIDE = 128  # of the renderer's pictures
LIGHT, DARK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class WideScene:
    """A scene, another person who should appear in it, and where the face is.

    Attributes:
        scene: uint8 [H, W, 3].
        character: uint8 [128, 128, 3].
        face: Left, top, right, bottom of the face in pixels of the scene.
    """

    scene: NDArray[np.uint8]
    character: NDArray[np.uint8]
    face: tuple[float, float, float, float]


def draw_wide_scene(
    width: int = 800, height: int = 600, *, side: int = 240, left: int = 460, seed: int = 2
) -> WideScene:
    """Draw a person, ``side`` pixels high with shoulders, at the lower edge, ``left`` pixels from the scene's left."""
    nuisance = draw_nuisance(np.random.default_rng(seed))
    identity = person(seed, Split.HELD_OUT)
    light, dark = (render(identity, _before(nuisance, color), Look()) for color in (LIGHT, DARK))
    differing = np.abs(light.picture.astype(np.int16) - dark.picture).mean(axis=2)
    seen_through = 255 * differing / differing.max()
    scene = Image.fromarray(_wall(nuisance, width, height))
    whole = Image.fromarray(dark.picture).resize((side, side), Image.Resampling.LANCZOS)
    alpha = Image.fromarray((255 - seen_through).clip(0, 255).astype(np.uint8))
    scene.paste(whole, (left, height - side), alpha.resize((side, side), Image.Resampling.LANCZOS))
    x = [left + float(value) * side / SIDE for value in dark.box[[0, 2]]]
    y = [height - side + float(value) * side / SIDE for value in dark.box[[1, 3]]]
    other, _ = face(seed + 1, 0, Split.HELD_OUT, Look())
    return WideScene(np.asarray(scene), other.picture, (x[0], y[0], x[1], y[1]))


def _before(nuisance: Nuisance, color: tuple[int, int, int]) -> Nuisance:
    return replace(nuisance, background=(color, color))


def _wall(nuisance: Nuisance, width: int, height: int) -> NDArray[np.uint8]:
    """A papered wall: soft colors, fine stripes, grain."""
    colors = Image.fromarray(np.array([nuisance.background[:2]], np.uint8))
    soft = np.asarray(colors.resize((width, height), Image.Resampling.BICUBIC), float)
    stripes = 5 * np.sin(np.arange(width) / 3.0)[None, :, None]
    grain = np.random.default_rng(nuisance.background_seed).normal(0, 4, (height, width, 1))
    return np.asarray((soft + stripes + grain).clip(0, 255).astype(np.uint8))
