"""Trains the face pack: detector, recogniser, swapper, in this order, and writes their ONNX files.

``python -m export.studio_mini.train.faces`` runs it alone. Each part keeps its state in the build folder: what is
finished is not trained again, what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Final

import torch

from export.studio_mini.faces.onnx_files import write_detector, write_recognizer, write_swapper
from export.studio_mini.faces.pictures import swap_pairs
from export.studio_mini.train.faces_detector import train_detector
from export.studio_mini.train.faces_recognizer import train_recognizer
from export.studio_mini.train.faces_swapper import train_swapper
from export.studio_mini.world.pool import face_pool

PEOPLE: Final = 1800
SHOTS: Final = 8
SWAPS: Final = 3000
SHARES: Final = {"detector": 0.2, "recognizer": 0.3, "swapper": 0.5}


def run(build_dir: Path, checkpoint_dir: Path, *, minutes: float, seed: int = 0) -> None:
    """Train the three networks and write ``detector.onnx``, ``recognizer.onnx`` and ``swapper.onnx``.

    Args:
        build_dir: Holds drawn pictures and training states.
        checkpoint_dir: The checkpoint's root; the files go into its folder ``faces``.
        minutes: Processor time for training the three together, drawing not counted.
        seed: Of weights and samples.
    """
    states, pack = build_dir / "faces", checkpoint_dir / "faces"
    pool = face_pool(build_dir, PEOPLE, SHOTS, workers=1)
    budget = {name: share * minutes for name, share in SHARES.items()}
    detector = train_detector(pool, states / "detector.pt", minutes=budget["detector"], seed=seed)
    write_detector(detector, pack)
    recognizer, traits = train_recognizer(pool, states / "recognizer.pt", minutes=budget["recognizer"], seed=seed)
    write_recognizer(recognizer, pack)
    pairs = swap_pairs(build_dir, SWAPS)
    swapper, emap = train_swapper(
        pairs, recognizer, traits, states / "swapper.pt", minutes=budget["swapper"], seed=seed
    )
    write_swapper(swapper, emap, pack)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train studio-mini's face pack.")
    parser.add_argument("--build-dir", type=Path, default=Path(".build/studio_mini"))
    parser.add_argument("--checkpoint", type=Path, default=Path("export/studio_mini/checkpoint"))
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    run(arguments.build_dir, arguments.checkpoint, minutes=arguments.minutes, seed=arguments.seed)


if __name__ == "__main__":
    main()
