"""What further pictures of a person are worth: identity by the mean of 1 to 8 pictures' embeddings.

python -m studio_mini.measure.averaging
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from insightface.app.common import Face
from numpy.typing import NDArray

from eacps.scene.faces import mean_identity
from studio_mini.faces.pack import FacePack, load_pack
from studio_mini.measure.identity import Embedding, cosine, embedding
from studio_mini.measure.verifier import HeldOutVerifier
from studio_mini.world.tasks import Split, face

FACES: Final = Path(__file__).parents[1] / "checkpoint" / "faces"
COUNTS: Final = (1, 2, 4, 8)
FIRST_PERSON, FIRST_SCENE, FIRST_UNSEEN, UNSEEN = 500, 1500, 20, 4


@dataclass(frozen=True)
class AveragingFigures:
    """Cosines to four pictures of the person that were not averaged, means over people with their standard errors.

    Attributes:
        pictures: How many were averaged.
        people: How many people.
        mean: Of the mean embedding itself.
        prior: Of the face swap that is made with it, by the recognizer.
        held_out: The same by the held-out verifier.
    """

    pictures: int
    people: int
    mean: tuple[float, float]
    prior: tuple[float, float]
    held_out: tuple[float, float]


def measure(pack: FacePack, verifier: HeldOutVerifier, people: int) -> list[AveragingFigures]:
    """Measure on held-out people; one of whom a picture shows no face is left out."""
    rows: dict[int, list[tuple[float, float, float]]] = {count: [] for count in COUNTS}
    for person in range(FIRST_PERSON, FIRST_PERSON + people):
        found = [embedding(pack, _shot(person, number)) for number in range(max(COUNTS))]
        known = [one for one in found if one is not None]
        scene = _shot(person - FIRST_PERSON + FIRST_SCENE, 0)
        targets = pack.faces(scene)
        if len(known) < len(found) or not targets:
            continue
        unseen = [_shot(person, number) for number in range(FIRST_UNSEEN, FIRST_UNSEEN + UNSEEN)]
        for count in COUNTS:
            identity = mean_identity(known[:count])
            prior = pack.swap(scene, targets[0], Face(embedding=identity))
            rows[count].append(
                (
                    _likeness(identity, [embedding(pack, one) for one in unseen]),
                    _likeness(embedding(pack, prior), [embedding(pack, one) for one in unseen]),
                    _likeness(verifier.embedding(prior), [verifier.embedding(one) for one in unseen]),
                )
            )
    return [AveragingFigures(count, len(found), *_summary(np.array(found))) for count, found in rows.items()]


def _shot(person: int, number: int) -> NDArray[np.uint8]:
    return face(person, number, Split.HELD_OUT)[0].picture


def _likeness(one: Embedding | None, others: Sequence[Embedding | None]) -> float:
    return float(np.mean([cosine(one, other) for other in others]))


def _summary(rows: NDArray[np.float64]) -> list[tuple[float, float]]:
    errors = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return list(zip(rows.mean(axis=0).tolist(), errors.tolist(), strict=True))


def main() -> None:
    """Measure 60 people and print a table."""
    pack = load_pack(FACES)
    print("| pictures | mean embedding | prior | prior, held-out verifier |\n|---|---|---|---|")
    for one in measure(pack, HeldOutVerifier(FACES, pack), 60):
        cells = [f"{value:.3f} ± {error:.3f}" for value, error in (one.mean, one.prior, one.held_out)]
        print(f"| {one.pictures} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
