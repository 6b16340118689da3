"""Writes studio-mini with random weights, face pack included: ``python tests/untrained_checkpoint.py FOLDER``."""

import sys
from pathlib import Path

import numpy as np
import torch

from export.studio_mini.architecture import save_checkpoint
from export.studio_mini.faces import onnx_files
from export.studio_mini.faces.detector import Detector
from export.studio_mini.faces.recognizer import Recognizer
from export.studio_mini.faces.swapper import Swapper


def main(folder: Path) -> None:
    """Write the checkpoint into ``folder``."""
    save_checkpoint(folder)
    torch.manual_seed(0)
    onnx_files.write_detector(Detector(), folder / "faces")
    onnx_files.write_recognizer(Recognizer(), folder / "faces")
    emap = np.linalg.qr(np.random.default_rng(0).normal(size=(512, 512)))[0]
    onnx_files.write_swapper(Swapper(), emap.astype(np.float32), folder / "faces")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
