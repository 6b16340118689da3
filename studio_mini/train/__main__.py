"""Train studio-mini from nothing to the whole checkpoint: ``python -m studio_mini.train``.

Stages run in order and leave their state in the build folder; run again, the command goes on where it stopped and
passes over what is finished. With ``--warm`` it goes on from the finished weights of the checkpoint instead.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch

from studio_mini import calibrate
from studio_mini.architecture import save_static_parts
from studio_mini.train import denoiser, faces, judge, own_states, vae, vlm


@dataclass(frozen=True)
class Stage:
    """One stage: its function, its minutes on two unshared CPU cores, and whether it can be asked for a GPU."""

    run: Callable[..., None]
    minutes: float
    any_device: bool = False


STAGES: Final = {
    "vae": Stage(vae.run, 60),
    "vae_refined": Stage(vae.refine, 14),
    "faces": Stage(faces.run, 80),
    "vlm": Stage(vlm.run, 45),
    "denoiser": Stage(denoiser.run, 180, any_device=True),
    "own_states": Stage(own_states.run, 30, any_device=True),
    "judge": Stage(judge.run, 25),
    "calibration": Stage(calibrate.run, 5),
}
WARM_STAGES: Final = {
    "vae_refined": Stage(vae.refine, 14),
    "swapper": Stage(partial(faces.run, parts=["swapper"], warm=True), 50),
    "denoiser": Stage(partial(denoiser.run, warm=True), 90, any_device=True),
    "own_states": Stage(own_states.run, 30, any_device=True),
    "judge": Stage(partial(judge.run, warm=True), 25),
    "calibration": Stage(calibrate.run, 5),
}


def train(
    stages: dict[str, Stage],
    build_dir: Path,
    checkpoint_dir: Path,
    *,
    seed: int,
    minutes_scale: float = 1.0,
    device: str = "cpu",
) -> None:
    """Run ``stages`` in their order; a stage whose mark ``<stage>.done`` stands in ``build_dir`` is passed over.

    Args:
        stages: By name.
        build_dir, checkpoint_dir: Of the states and of the weights.
        seed: Of all stages.
        minutes_scale: Of every stage's minutes.
        device: Of the stages that can be trained elsewhere than on the CPU.
    """
    build_dir.mkdir(parents=True, exist_ok=True)
    for name, stage in stages.items():
        mark, minutes = build_dir / f"{name}.done", minutes_scale * stage.minutes
        if mark.exists():
            logging.info("stage %s: finished earlier", name)
            continue
        logging.info("stage %s: up to %.0f minutes", name, minutes)
        started = time.monotonic()
        chosen = {"device": device} if stage.any_device else {}
        stage.run(build_dir, checkpoint_dir, minutes=minutes, seed=seed, **chosen)
        mark.touch()
        logging.info("stage %s: done after %.1f minutes", name, (time.monotonic() - started) / 60)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train studio-mini; stages resume.")
    parser.add_argument("--build-dir", type=Path, default=Path(".build/studio_mini"), help="states and cached data")
    parser.add_argument("--checkpoint-dir", type=Path, default=Path("studio_mini/checkpoint"))
    parser.add_argument("--warm", action="store_true", help="go on from the checkpoint's finished weights")
    parser.add_argument("--stages", nargs="+", choices=[*(STAGES | WARM_STAGES)], help="only these")
    parser.add_argument("--scale", type=float, default=1.0, help="of every stage's minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the denoiser's stages")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    known = WARM_STAGES if arguments.warm else STAGES
    if unknown := sorted(set(arguments.stages or ()) - set(known)):
        parser.error(f"{', '.join(unknown)}: not a stage {'with' if arguments.warm else 'without'} --warm")
    stages = {name: stage for name, stage in known.items() if arguments.stages is None or name in arguments.stages}
    if not arguments.warm:  # finished weights keep the tokenizer they were trained with
        save_static_parts(arguments.checkpoint_dir)
    paths = arguments.build_dir, arguments.checkpoint_dir
    train(stages, *paths, seed=arguments.seed, minutes_scale=arguments.scale, device=arguments.device)


if __name__ == "__main__":
    main()
