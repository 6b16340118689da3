"""Trains the face pack: detector, recognizer, swapper, and the held-out verifier, and writes their ONNX files.

``python -m studio_mini.train.faces`` runs it alone; ``--parts`` names some of the four, ``--warm`` lets the
swapper go on from the pack's own file. Each part keeps its state in the build folder: what is finished is not trained
again, what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from export.face_pack import RECOGNIZER_FILE
from studio_mini.faces.onnx_files import (
    read_recognizer,
    read_swapper,
    write_detector,
    write_recognizer,
    write_swapper,
    write_verifier,
)
from studio_mini.faces.pictures import swap_pairs
from studio_mini.faces.swapper import trait_map
from studio_mini.train.faces_detector import train_detector
from studio_mini.train.faces_recognizer import train_recognizer
from studio_mini.train.faces_swapper import train_swapper
from studio_mini.train.faces_verifier import train_verifier
from studio_mini.train.reconstructions import Reconstructions, reconstructions
from studio_mini.world.pool import FacePool, face_pool
from studio_mini.world.tasks import Split

PEOPLE: Final = 1800
SHOTS: Final = 8
SWAPS: Final = 3000
SHARES: Final = {"detector": 0.17, "recognizer": 0.25, "swapper": 0.45, "verifier": 0.13}
VERIFIER_PEOPLE: Final = 1500
VERIFIER_SHOTS: Final = 6


@dataclass(frozen=True)
class FaceTraining:
    """What the four parts share.

    Attributes:
        build_dir: Holds drawn pictures and training states.
        checkpoint: The checkpoint's root; ONNX files go into its folder ``faces``, its ``vae`` shows the recognizers
            what faces look like after it.
        minutes: Processor time of all four together, drawing not counted.
        seed: Of weights and samples.
        warm: Whether the swapper goes on from the pack's own file.
    """

    build_dir: Path
    checkpoint: Path
    minutes: float
    seed: int = 0
    warm: bool = False

    @property
    def pack(self) -> Path:
        """Folder of the ONNX files."""
        return self.checkpoint / "faces"

    def state(self, part: str) -> Path:
        """File of a part's training state."""
        return self.build_dir / "faces" / f"{part}.pt"

    def budget(self, part: str) -> float:
        """Minutes of a part."""
        return SHARES[part] * self.minutes

    def detector(self) -> None:
        """Train the detector."""
        pool = face_pool(self.build_dir, PEOPLE, SHOTS, workers=1)
        minutes = self.budget("detector")
        write_detector(train_detector(pool, self.state("detector"), minutes=minutes, seed=self.seed), self.pack)

    def recognizer(self) -> None:
        """Train the recognizer; some of the faces it sees have been through the autoencoder."""
        pool = face_pool(self.build_dir, PEOPLE, SHOTS, workers=1)
        seen = self._seen("recognizer", pool)
        minutes = self.budget("recognizer")
        network, traits = train_recognizer(pool, seen, self.state("recognizer"), minutes=minutes, seed=self.seed)
        write_recognizer(network, self.pack)
        torch.save(trait_map(traits), self.state("emap"))

    def swapper(self) -> None:
        """Train the swapper against the pack's finished recognizer."""
        if self.warm:
            network, known = read_swapper(self.pack)
            emap = torch.from_numpy(known)
        else:
            network, emap = None, torch.load(self.state("emap"))
        trained = train_swapper(
            swap_pairs(self.build_dir, SWAPS),
            read_recognizer(self.pack / RECOGNIZER_FILE),
            emap,
            self.state("swapper"),
            minutes=self.budget("swapper"),
            seed=self.seed,
            warm=network,
        )
        write_swapper(trained, emap.numpy(), self.pack)

    def verifier(self) -> None:
        """Train the held-out verifier on people and pictures of its own."""
        pool = face_pool(self.build_dir, VERIFIER_PEOPLE, VERIFIER_SHOTS, split=Split.VERIFIER, workers=1)
        seen = self._seen("verifier", pool)
        minutes = self.budget("verifier")
        write_verifier(train_verifier(pool, seen, self.state("verifier"), minutes=minutes, seed=self.seed), self.pack)

    def _seen(self, part: str, pool: FacePool) -> Reconstructions:
        return reconstructions(self.build_dir, part, pool.pictures, self.checkpoint)


PARTS: Final[dict[str, Callable[[FaceTraining], None]]] = {
    "detector": FaceTraining.detector,
    "recognizer": FaceTraining.recognizer,
    "swapper": FaceTraining.swapper,
    "verifier": FaceTraining.verifier,
}


def run(
    build_dir: Path,
    checkpoint_dir: Path,
    *,
    minutes: float,
    seed: int = 0,
    parts: Sequence[str] = tuple(PARTS),
    warm: bool = False,
) -> None:
    """Train ``parts`` in their order and write their ONNX files; see `FaceTraining` for the rest."""
    training = FaceTraining(build_dir, checkpoint_dir, minutes, seed, warm)
    for part in parts:
        PARTS[part](training)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train studio-mini's face pack and its held-out verifier.")
    parser.add_argument("--build-dir", type=Path, default=Path(".build/studio_mini"))
    parser.add_argument("--checkpoint", type=Path, default=Path("studio_mini/checkpoint"))
    parser.add_argument("--minutes", type=float, default=60.0, help="processor time of all four parts together")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="in this order")
    parser.add_argument("--warm", action="store_true", help="let the swapper go on from the pack's own file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    run(
        arguments.build_dir,
        arguments.checkpoint,
        minutes=arguments.minutes,
        seed=arguments.seed,
        parts=arguments.parts,
        warm=arguments.warm,
    )


if __name__ == "__main__":
    main()
