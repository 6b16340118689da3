"""Make the bundled tasks again: ``python -m studio_mini.samples.make``.

Each folder holds ``scene.png``, ``character.png``, ``prompt.txt`` and, since the world is drawn, ``truth.png``: the
picture a perfect edit would give.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from PIL import Image

from studio_mini.world.tasks import Split, task

FOLDER: Final = Path(__file__).parent
# Chosen by eye among the first hundred held-out tasks: hair, skin and expression change, both people are well seen.
TASKS: Final = {"smile": 50, "hat": 45, "calm_with_glasses": 51}


def write_samples(folder: Path) -> None:
    """Write every bundled task into a folder of its own under ``folder``."""
    for name, number in TASKS.items():
        drawn = task(number, Split.HELD_OUT)
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for role in ("scene", "character", "truth"):
            Image.fromarray(getattr(drawn, role).picture).save(place / f"{role}.png", optimize=True)
        (place / "prompt.txt").write_text(drawn.prompt + "\n", encoding="utf-8")


def main() -> None:
    """Write the samples beside this file, or elsewhere."""
    parser = argparse.ArgumentParser(description="Write studio-mini's bundled edit tasks.")
    parser.add_argument("--output", type=Path, default=FOLDER)
    write_samples(parser.parse_args().output)


if __name__ == "__main__":
    main()
