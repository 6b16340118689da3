"""The checked-in samples are what the world draws today."""

from pathlib import Path

import numpy as np
from PIL import Image

from studio_mini.samples.make import FOLDER, TASKS, write_samples


def test_samples_are_up_to_date(tmp_path: Path) -> None:
    write_samples(tmp_path)
    for name in TASKS:
        for role in ("scene", "character", "truth"):
            fresh, kept = (np.asarray(Image.open(root / name / f"{role}.png")) for root in (tmp_path, FOLDER))
            # Pillow's rasteriser may move an edge by a level from one release to the next.
            assert np.abs(fresh.astype(int) - kept).mean() < 0.5
        assert (tmp_path / name / "prompt.txt").read_text() == (FOLDER / name / "prompt.txt").read_text()
