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
from rich.progress import track
from transformers import Qwen2_5_VLForConditionalGeneration

from export.checkpoint import load_pipeline
from export.networks.faces import DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE
from export.processor import EditProcessor
from export.studio_mini.faces.figures import area_under_roc, detection_figures, recognition_figures, swap_figures
from export.studio_mini.faces.pack import FacePack, load_pack
from export.studio_mini.measure.denoiser import attempt, contact_sheet, denoiser_figures
from export.studio_mini.measure.identity import drawn_swap
from export.studio_mini.measure.judge import Judge, attribute_accuracies, p_natural
from export.studio_mini.measure.vae import reconstruct, vae_figures
from export.studio_mini.world.tasks import Split, Task, task

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


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Held-out tasks with their truths [N, 128, 128, 3], those truths through the autoencoder, and swapped scenes."""

    tasks: list[Task]
    clean: NDArray[np.uint8]
    reconstructed: NDArray[np.uint8]
    swapped: list[NDArray[np.uint8]]


def measure(checkpoint: Path, effort: Effort) -> list[Figure]:
    """Measure every part that ``checkpoint`` holds; write the contact sheet where there is a denoiser."""
    has = {name: (checkpoint / name).is_dir() for name in ("vae", "text_encoder", "transformer")}
    has["faces"] = all((checkpoint / "faces" / f).exists() for f in (DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE))
    pack = load_pack(checkpoint / "faces", threads=torch.get_num_threads()) if has["faces"] else None
    vae = AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae").eval() if has["vae"] else None
    pictures = _held_out(effort.pictures, vae, pack)
    figures = []
    if vae is not None:
        figures += _vae(pack, pictures)
    if pack is not None:
        figures += _faces(pack, effort.pictures)
    if has["text_encoder"]:
        judge = _load_judge(checkpoint)
        figures += _judge(judge, pictures)
        if all(has.values()) and pack is not None:
            figures += _denoiser(checkpoint, pack, judge, effort)
    return figures + [_absent(name) for name, there in has.items() if not there]


def _held_out(count: int, vae: AutoencoderKLQwenImage | None, pack: FacePack | None) -> _HeldOut:
    tasks = [task(number, Split.HELD_OUT) for number in track(range(count), "drawing")]
    clean = np.stack([drawn.truth.picture for drawn in tasks])
    swapped = [drawn_swap(pack, d.scene.picture, d.character.picture) for d in tasks] if pack else []
    reconstructed = clean[:0] if vae is None else reconstruct(vae, clean)
    return _HeldOut(tasks, clean, reconstructed, [picture for picture in swapped if picture is not None])


def _absent(part: str) -> Figure:
    return Figure(part, "not in the checkpoint", "absent")


def _vae(pack: FacePack | None, pictures: _HeldOut) -> list[Figure]:
    found = vae_figures(pack, pictures.clean, pictures.reconstructed)
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


def _judge(judge: Judge, pictures: _HeldOut) -> list[Figure]:
    by_question = attribute_accuracies(judge, pictures.clean, [drawn.look for drawn in pictures.tasks])
    worst = min(by_question, key=lambda question: by_question[question])
    natural = p_natural(judge, [*pictures.clean, *pictures.reconstructed])
    spoilt = p_natural(judge, [drawn.prior for drawn in pictures.tasks])
    figures = [
        at_least("judge", "balanced accuracy over attribute questions", float(np.mean([*by_question.values()])), 0.90),
        Figure("judge", f'worst question: "{worst}"', f"{by_question[worst]:.3g}"),
        at_least("judge", "AUC natural against drawn artefacts", area_under_roc(natural, spoilt), 0.95),
    ]
    if pictures.swapped:
        auc = area_under_roc(natural, p_natural(judge, pictures.swapped))
        figures.append(Figure("judge", "AUC natural against the face pack's swaps", f"{auc:.3g}"))
    return figures


def _denoiser(checkpoint: Path, pack: FacePack, judge: Judge, effort: Effort) -> list[Figure]:
    pipeline = load_pipeline(checkpoint)
    attempts = [attempt(pipeline, pack, number, effort.seeds) for number in track(range(effort.tasks), "editing")]
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
