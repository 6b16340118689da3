"""Compare weights of the denoiser on held-out tasks, and mixtures of them with the checkpoint's.

python -m studio_mini.measure.snapshots .build/studio_mini/own_states/step_000300 --mix 0.5 1

A row is one set of weights: its gain over the prior by both recognizers, and what training for identity endangers: the
spread over seeds, the prompt's expression and accessory, the face's gradient energy.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Final

import torch
from diffusers import QwenImageEditPlusPipeline, QwenImageTransformer2DModel
from torch import Tensor

from export.backbones.qwen_image_edit.checkpoint import load_judge, load_pipeline
from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini.architecture import DEFAULT_STEPS
from studio_mini.faces.pack import load_pack
from studio_mini.measure.denoiser import DenoiserFigures, attempt, contact_sheet, denoiser_figures
from studio_mini.measure.judge import Judge
from studio_mini.measure.verifier import HeldOutVerifier
from studio_mini.train.growth import grown

CHECKPOINT: Final = Path(__file__).parents[1] / "checkpoint"
COLUMNS: Final = ("gain", "held-out gain", "sd over seeds", "expression", "accessory", "gradient", "natural", "error")


def mixed(base: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Interpolate weights of equal names: ``share`` 0 is ``base``, 1 is ``other``."""
    return {name: torch.lerp(weight.float(), other[name].float(), share) for name, weight in base.items()}


def row(found: DenoiserFigures) -> list[float]:
    """Return the figures of ``COLUMNS``."""
    return [
        found.cosine - found.prior_cosine,
        found.held_out - found.prior_held_out,
        found.seed_deviation,
        found.expression_seen,
        found.accessory_seen,
        found.gradient_share,
        found.realism,
        found.truth_error,
    ]


class Bench:
    """The frozen parts of a checkpoint and the tasks that every set of weights is measured on."""

    def __init__(self, checkpoint: Path, tasks: range, seeds: int) -> None:
        self._pack = load_pack(checkpoint / "faces")
        self._verifier = HeldOutVerifier(checkpoint / "faces", self._pack)
        self._judge = Judge(load_judge(checkpoint), EditProcessor.from_pretrained(checkpoint / "processor"))
        self._pipeline: QwenImageEditPlusPipeline = load_pipeline(checkpoint)
        self._tasks, self._seeds = tasks, seeds
        self.base: QwenImageTransformer2DModel = self._pipeline.transformer

    def mixture(self, other: QwenImageTransformer2DModel, share: float) -> QwenImageTransformer2DModel:
        """Return the checkpoint's denoiser moved ``share`` of the way to ``other``; either may have more layers."""
        layers = max(self.base.config.num_layers, other.config.num_layers)
        result = grown(self.base, layers)
        result.load_state_dict(mixed(result.state_dict(), grown(other, layers).state_dict(), share))
        return result

    def measure(self, denoiser: QwenImageTransformer2DModel, steps: int, sheet: Path | None = None) -> DenoiserFigures:
        """Edit every task with ``denoiser``, the character shown; draw a contact sheet where asked for."""
        self._pipeline.register_modules(transformer=denoiser)
        attempts = [
            attempt(self._pipeline, self._pack, number, self._seeds, shows_character=True, steps=steps)
            for number in self._tasks
        ]
        if sheet is not None:
            contact_sheet(attempts[:6], min(4, self._seeds), scale=2).save(sheet)
        return denoiser_figures(attempts, self._pack, self._verifier, self._judge)


def main() -> None:
    """Print a table; the checkpoint's own weights first."""
    parser = argparse.ArgumentParser(description="Compare weights of studio-mini's denoiser.")
    parser.add_argument("folders", nargs="*", type=Path, help="each holds transformer/")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--mix", nargs="+", type=float, default=[1.0], help="shares of the way from the checkpoint's")
    parser.add_argument("--steps", nargs="+", type=int, default=[DEFAULT_STEPS], help="of the sampler")
    parser.add_argument("--without-base", action="store_true", help="leave out the checkpoint's own weights")
    parser.add_argument("--first", type=int, default=4000, help="number of the first held-out task")
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    arguments = parser.parse_args()
    bench = Bench(arguments.checkpoint, range(arguments.first, arguments.first + arguments.tasks), arguments.seeds)
    print(f"| weights | {' | '.join(COLUMNS)} |\n|---{'|---' * len(COLUMNS)}|")
    sets = [] if arguments.without_base else [("checkpoint", bench.base)]
    for folder in arguments.folders:
        loaded = QwenImageTransformer2DModel.from_pretrained(folder, subfolder="transformer")
        sets += [(f"{folder.name} x {share:g}", bench.mixture(loaded, share)) for share in arguments.mix]
    for (name, denoiser), steps in itertools.product(sets, arguments.steps):
        label = f"{name}, {steps} steps"
        sheet = arguments.sheets and arguments.sheets / f"{label.replace(', ', '_').replace(' ', '_')}.png"
        cells = " | ".join(f"{value:.3f}" for value in row(bench.measure(denoiser, steps, sheet)))
        print(f"| {label} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
