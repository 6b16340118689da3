"""Measure a checkpoint on people it never met: ``python -m export.studio_mini.evaluate``.

Prints every figure beside its target and writes the same table into the model card, with a contact sheet beside it.
What the checkpoint does not hold yet is named as absent.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray
from rich.console import Console
from transformers import Qwen2_5_VLForConditionalGeneration

from export.checkpoint import load_pipeline
from export.networks.faces import DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE
from export.processor import EditProcessor
from export.studio_mini.faces.figures import detection_figures, recognition_figures, swap_figures
from export.studio_mini.faces.pack import FacePack, load_pack
from export.studio_mini.measure.denoiser import attempt, contact_sheet, denoiser_figures
from export.studio_mini.measure.identity import drawn_swap
from export.studio_mini.measure.judge import Judge, judge_figures
from export.studio_mini.measure.vae import reconstruct, vae_figures
from export.studio_mini.world.prompts import Look
from export.studio_mini.world.tasks import Split, task

_HERE: Final = Path(__file__).parent
MODEL_CARD: Final = _HERE / "README.md"
CONTACT_SHEET: Final = _HERE / "contact_sheet.png"
_OPEN, _CLOSE = "<!-- figures: written by evaluate.py -->", "<!-- end of figures -->"
_SHEET_TASKS: Final = 6
_SHEET_SEEDS: Final = 4


@dataclass(frozen=True)
class Figure:
    """One line of the table. ``reached`` is None where there is no target."""

    part: str
    name: str
    value: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Effort:
    """How much is measured: pictures for single-picture figures, tasks and seeds for the denoiser."""

    pictures: int
    tasks: int
    seeds: int


def at_least(part: str, name: str, value: float, target: float, unit: str = "") -> Figure:
    """Return the figure ``value`` whose target is ``target`` or more."""
    return Figure(part, name, f"{value:.3g}{unit}", f">= {target:g}{unit}", value >= target)


def at_most(part: str, name: str, value: float, target: float, unit: str = "") -> Figure:
    """Return the figure ``value`` whose target is ``target`` or less."""
    return Figure(part, name, f"{value:.3g}{unit}", f"<= {target:g}{unit}", value <= target)


def measure(checkpoint: Path, effort: Effort) -> list[Figure]:
    """Measure every part that ``checkpoint`` holds; write the contact sheet where there is a denoiser."""
    faces = checkpoint / "faces"
    has_pack = all((faces / name).exists() for name in (DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE))
    pack = load_pack(faces, threads=torch.get_num_threads()) if has_pack else None
    tasks = [task(number, Split.HELD_OUT) for number in range(effort.pictures)]
    clean = np.stack([drawn.truth.picture for drawn in tasks])
    has = {name: (checkpoint / name).is_dir() for name in ("vae", "text_encoder", "transformer")}
    figures, reconstructed = [], clean[:0]
    if has["vae"]:
        vae = AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae").eval()
        figures += _vae(vae, pack, clean)
        reconstructed = reconstruct(vae, clean)
    figures += _faces(pack, effort.pictures) if pack else [_absent("face pack")]
    if has["text_encoder"]:
        judge = _load_judge(checkpoint)
        spoilt = np.stack([drawn.prior for drawn in tasks])
        swapped = [drawn_swap(pack, d.scene.picture, d.character.picture) for d in tasks] if pack else []
        figures += _judge(
            judge, clean, [d.look for d in tasks], reconstructed, spoilt, [s for s in swapped if s is not None]
        )
    if all(has.values()) and pack:
        figures += _denoiser(checkpoint, pack, judge, effort)
    return figures + [_absent(name) for name, there in has.items() if not there]


def _absent(part: str) -> Figure:
    return Figure(part, "not in the checkpoint", "absent")


def _vae(vae: AutoencoderKLQwenImage, pack: FacePack | None, clean: NDArray[np.uint8]) -> list[Figure]:
    found = vae_figures(vae, pack, clean)
    return [
        at_least("VAE", "PSNR", found.psnr_db, 28, " dB"),
        at_least("VAE", "recogniser's cosine, picture to reconstruction", found.identity_cosine, 0.85),
    ]


def _faces(pack: FacePack, pictures: int) -> list[Figure]:
    seen = detection_figures(pack, pictures)
    known = recognition_figures(pack, max(2, pictures // 2))
    swap = swap_figures(pack, pictures)
    return [
        at_least("detector", "faces found at IoU 0.5", seen.found, 0.98),
        at_most("detector", "landmark error, parts of the face's width", seen.landmark_error, 0.05),
        Figure("detector", "finds per picture without a face", f"{seen.false_finds:.3g}"),
        at_least("recogniser", "AUC same/different", known.auc, 0.98),
        Figure("recogniser", "mean cosine same, different", f"{known.same:.2f}, {known.different:.2f}"),
        Figure("swapper", "cosine to the character: scene, drawn truth", f"{swap.scene:.2f}, {swap.truth:.2f}"),
        at_least("swapper", "cosine to the character: swapped", swap.swapped, 0.5),
        Figure("swapper", "landmarks moved, parts of the face's width", f"{swap.landmark_shift:.3f}"),
        Figure("swapper", "change outside the face's box, 8-bit levels", f"{swap.kept_outside:.2f}"),
    ]


def _load_judge(checkpoint: Path) -> Judge:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, subfolder="text_encoder")
    return Judge(model, EditProcessor.from_pretrained(checkpoint / "processor"))


def _judge(
    judge: Judge,
    clean: NDArray[np.uint8],
    looks: list[Look],
    reconstructed: NDArray[np.uint8],
    spoilt: NDArray[np.uint8],
    swapped: list[NDArray[np.uint8]],
) -> list[Figure]:
    found = judge_figures(judge, clean, looks, reconstructed, spoilt)
    worst = min(found.by_question, key=lambda question: found.by_question[question])
    figures = [
        at_least("judge", "balanced accuracy over attribute questions", found.balanced_accuracy, 0.90),
        Figure("judge", f'worst question: "{worst}"', f"{found.by_question[worst]:.3g}"),
        at_least("judge", "AUC natural (clean and reconstructed) against drawn artefacts", found.natural_auc, 0.95),
    ]
    if swapped:
        auc = judge_figures(judge, clean, looks, reconstructed, np.stack(swapped)).natural_auc
        figures.append(Figure("judge", "AUC natural against the face pack's swaps", f"{auc:.3g}"))
    return figures


def _denoiser(checkpoint: Path, pack: FacePack, judge: Judge, effort: Effort) -> list[Figure]:
    pipeline = load_pipeline(checkpoint)
    attempts = [attempt(pipeline, pack, number, effort.seeds) for number in range(effort.tasks)]
    contact_sheet(attempts[:_SHEET_TASKS], _SHEET_SEEDS).save(CONTACT_SHEET, optimize=True)
    found = denoiser_figures(attempts, pack, judge)
    gain = found.cosine - found.prior_cosine
    return [
        Figure(
            "denoiser", "cosine to the character: prior, truth", f"{found.prior_cosine:.2f}, {found.truth_cosine:.2f}"
        ),
        Figure("denoiser", "cosine to the character: generated", f"{found.cosine:.2f}"),
        at_least("denoiser", "gain in cosine over the prior", gain, 0.10),
        Figure("denoiser", "P(natural) of the prior", f"{found.prior_realism:.2f}"),
        at_least("denoiser", "P(natural) of the generated", found.realism, round(found.prior_realism, 2)),
        at_least("denoiser", "sd of the cosine over the seeds of a task", found.seed_deviation, 0.03),
        Figure("denoiser", "generated pictures with a face found", f"{found.face_found:.2f}"),
        Figure("denoiser", "mean difference to the drawn truth, 8-bit levels", f"{found.truth_error:.1f}"),
    ]


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table."""
    marks = {True: "yes", False: "**no**", None: ""}
    rows = [f"| {f.part} | {f.name} | {f.value} | {f.target} | {marks[f.reached]} |" for f in figures]
    return "\n".join(["| part | figure | measured | target | reached |", "|---|---|---|---|---|", *rows])


def write_card(card: Path, text: str) -> None:
    """Replace what stands between the card's two figure marks.

    Raises:
        ValueError: The card lacks a mark.
    """
    before = card.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(_OPEN) + ".*?" + re.escape(_CLOSE), re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{card} has no place for figures: {_OPEN} ... {_CLOSE}")
    card.write_text(pattern.sub(lambda _: f"{_OPEN}\n{text}\n{_CLOSE}", before), encoding="utf-8")


def main() -> None:
    """Measure, print, and write the model card."""
    parser = argparse.ArgumentParser(description="Measure studio-mini on held-out people.")
    parser.add_argument("--checkpoint", type=Path, default=_HERE / "checkpoint")
    parser.add_argument("--card", type=Path, default=MODEL_CARD)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    effort = Effort(arguments.pictures, arguments.tasks, arguments.seeds)
    start = time.monotonic()
    text = table(measure(arguments.checkpoint, effort))
    minutes = (time.monotonic() - start) / 60
    note = (
        f"Measured on held-out people: {effort.pictures} pictures for the single networks, {effort.tasks} tasks with "
        f"{effort.seeds} seeds each for the denoiser, whose priors are the face pack's."
    )
    write_card(arguments.card, f"{note}\n\n{text}")
    Console().print(f"{text}\n\n{note} Took {minutes:.1f} minutes.", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
