"""How good a face pack is on people it has never seen: the figures that the tests hold and training reports.

``python -m studio_mini.faces.figures --pack DIR`` prints them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio_mini.faces.pack import FacePack, load_pack
from studio_mini.faces.pictures import draw_swap, faceless
from studio_mini.measure.identity import embedding
from studio_mini.world.tasks import Split, face

MATCH_OVERLAP: Final = 0.5

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32] | None]
"""From an RGB picture to the unit embedding of its largest face."""


@dataclass(frozen=True)
class DetectionFigures:
    """Of held-out faces: part found (overlap of at least a half), landmark error, and false finds.

    Attributes:
        found: Part of the faces whose largest find overlaps the truth by at least 0.5 (intersection over union).
        overlap: Mean overlap of those found.
        landmark_error: Mean distance of the landmarks of those found, in parts of the box's width.
        extra: Finds per picture beyond the one face.
        false_finds: Finds per picture without a face.
    """

    found: float
    overlap: float
    landmark_error: float
    extra: float
    false_finds: float


@dataclass(frozen=True)
class RecognitionFigures:
    """Of held-out people: area under the ROC curve of same against different, and mean cosines of both."""

    auc: float
    same: float
    different: float


@dataclass(frozen=True)
class SwapFigures:
    """Mean cosine to the character of held-out swaps: of the scene, of the swap, of the drawn truth.

    ``kept_outside`` is the mean absolute difference to the scene outside the face's box, in 8-bit levels.
    ``landmark_shift`` is how far the detector's landmarks move, in parts of the box's width.
    """

    scene: float
    swapped: float
    truth: float
    kept_outside: float
    landmark_shift: float


def detection_figures(pack: FacePack, pictures: int) -> DetectionFigures:
    """Measure the detector on one picture of each of the first held-out people."""
    overlaps, errors, extra, found = [], [], 0, 0
    for number in range(pictures):
        truth, _ = face(number, 1, Split.HELD_OUT)
        finds = pack.faces(truth.picture)
        extra += max(0, len(finds) - 1)
        if finds and (overlap := box_overlap(finds[0].bbox, truth.box)) >= MATCH_OVERLAP:
            found += 1
            overlaps.append(overlap)
            distance = np.linalg.norm(finds[0].kps - truth.landmarks, axis=1).mean()
            errors.append(distance / (truth.box[2] - truth.box[0]))
    rng = np.random.default_rng(11)
    false_finds = sum(len(pack.faces(faceless(rng))) for _ in range(pictures))
    return DetectionFigures(
        found=found / pictures,
        overlap=_mean(overlaps),
        landmark_error=_mean(errors),
        extra=extra / pictures,
        false_finds=false_finds / pictures,
    )


def recognition_figures(embed: Embed, people: int, shots: int = 4) -> RecognitionFigures:
    """Measure a way from picture to unit embedding on all pairs of some held-out people's pictures.

    Pictures for which ``embed`` gives None, since it finds no face, are left out.
    """
    embeddings, owners = [], []
    for number in range(people):
        for shot in range(1, shots + 1):
            found = embed(face(number, shot, Split.HELD_OUT)[0].picture)
            if found is not None:
                embeddings.append(found)
                owners.append(number)
    cosines = np.stack(embeddings) @ np.stack(embeddings).T
    same = np.equal.outer(owners, owners)
    upper = np.triu(np.ones_like(same), 1)
    alike, unlike = cosines[same & upper], cosines[~same & upper]
    return RecognitionFigures(auc=area_under_roc(alike, unlike), same=_mean(alike), different=_mean(unlike))


def swap_figures(pack: FacePack, swaps: int) -> SwapFigures:
    """Measure swaps of held-out people, paste-back included; pictures whose faces are not found are left out."""
    rows = [row for number in range(swaps) if (row := _swap_row(pack, number)) is not None]
    return SwapFigures(*(float(value) for value in np.mean(rows, axis=0)))


def _swap_row(pack: FacePack, number: int) -> tuple[float, ...] | None:
    drawn = draw_swap(number, Split.HELD_OUT)
    scene, character, truth = (np.asarray(drawn[name], np.uint8) for name in ("scenes", "characters", "truths"))
    found = [pack.faces(picture) for picture in (scene, character, truth)]
    if not all(found):
        return None
    target, source, ideal = (faces[0] for faces in found)
    swapped = pack.swap(scene, target, source)
    seen = pack.faces(swapped)
    if not seen:
        return None
    wanted = source.normed_embedding
    outside = np.ones(scene.shape[:2], bool)
    x1, y1, x2, y2 = (int(value) for value in target.bbox)
    outside[max(0, y1) : y2, max(0, x1) : x2] = False
    change = np.abs(swapped.astype(np.float32) - scene)[outside]
    shift = np.linalg.norm(seen[0].kps - target.kps, axis=1).mean() / (target.bbox[2] - target.bbox[0])
    cosines = (float(one.normed_embedding @ wanted) for one in (target, seen[0], ideal))
    return (*cosines, float(change.mean()), float(shift))


def area_under_roc(alike: NDArray[np.floating], unlike: NDArray[np.floating]) -> float:
    """Chance that a pair of one person has a larger cosine than a pair of two (ties count half)."""
    ordered = np.sort(unlike)
    below = np.searchsorted(ordered, alike, side="left") + np.searchsorted(ordered, alike, side="right")
    return float(below.mean() / (2 * len(unlike)))


def box_overlap(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Intersection over union of two xyxy boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(np.clip(sides, 0, None)))
    return both / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both)


def _mean(values: NDArray[np.floating] | list[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure a face pack on held-out people of the world.")
    parser.add_argument("--pack", type=Path, default=Path("studio_mini/checkpoint/faces"))
    parser.add_argument("--pictures", type=int, default=200)
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    figures = {
        "detection": asdict(detection_figures(pack, arguments.pictures)),
        "recognition": asdict(recognition_figures(partial(embedding, pack), arguments.pictures // 4)),
        "swap": asdict(swap_figures(pack, arguments.pictures // 2)),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
