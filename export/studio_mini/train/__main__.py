"""Train studio-mini from nothing to the whole checkpoint: ``python -m export.studio_mini.train``.

Stages run in order and leave their state in the build folder; run again, the command goes on where it stopped and
passes over what is finished.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch

from export.studio_mini.architecture import save_static_parts
from export.studio_mini.train import denoiser, faces, vae, vlm

DEFAULT_MINUTES = {"vae": 60.0, "faces": 60.0, "vlm": 45.0, "denoiser": 180.0}
"""Minutes of each stage on two unshared CPU cores."""
_RUN: dict[str, Callable[..., None]] = {"vae": vae.run, "faces": faces.run, "vlm": vlm.run, "denoiser": denoiser.run}


def train(build_dir: Path, checkpoint_dir: Path, *, stages: list[str], minutes: dict[str, float], seed: int) -> None:
    """Run ``stages`` in their order; a stage whose mark ``<stage>.done`` stands in ``build_dir`` is passed over."""
    build_dir.mkdir(parents=True, exist_ok=True)
    save_static_parts(checkpoint_dir)
    for name in stages:
        mark = build_dir / f"{name}.done"
        if mark.exists():
            logging.info("stage %s: finished earlier", name)
            continue
        logging.info("stage %s: up to %.0f minutes", name, minutes[name])
        started = time.monotonic()
        _RUN[name](build_dir, checkpoint_dir, minutes=minutes[name], seed=seed)
        mark.touch()
        logging.info("stage %s: done after %.1f minutes", name, (time.monotonic() - started) / 60)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train studio-mini from nothing; stages resume.")
    parser.add_argument("--build-dir", type=Path, default=Path(".build/studio_mini"), help="states and cached data")
    parser.add_argument("--checkpoint-dir", type=Path, default=Path("export/studio_mini/checkpoint"))
    parser.add_argument("--stages", nargs="+", choices=list(_RUN), default=list(_RUN), help="in this order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    for name, default in DEFAULT_MINUTES.items():
        parser.add_argument(f"--{name}-minutes", type=float, default=default)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    train(
        arguments.build_dir,
        arguments.checkpoint_dir,
        stages=arguments.stages,
        minutes={name: getattr(arguments, f"{name}_minutes") for name in _RUN},
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
