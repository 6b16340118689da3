"""Measure a checkpoint on people it never met: ``python -m studio_mini.evaluate``.

Prints every figure beside its target and writes the same table into the model card, with a contact sheet beside it.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from export.backbones.qwen_image_edit.checkpoint import load_judge, load_pipeline
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.face_pack import PACK_FILES, VERIFIER_FILE
from studio_mini.faces.figures import (
    Embed,
    area_under_roc,
    detection_figures,
    recognition_figures,
    swap_figures,
)
from studio_mini.faces.pack import FacePack, load_pack
from studio_mini.measure.denoiser import DenoiserFigures, attempt, contact_sheet, denoiser_figures
from studio_mini.measure.faults import fault_figures
from studio_mini.measure.identity import cosine, drawn_swap, embedding
from studio_mini.measure.judge import Judge, attribute_accuracies, p_natural, shows_expression
from studio_mini.measure.vae import reconstruct, vae_figures
from studio_mini.measure.verifier import HeldOutVerifier
from studio_mini.world.tasks import Split, Task, task

_HERE: Final = Path(__file__).parent
MODEL_CARD: Final = _HERE / "README.md"
CONTACT_SHEET: Final = _HERE / "contact_sheet.png"
_OPEN, _CLOSE = "<!-- figures: written by evaluate.py -->", "<!-- end of figures -->"
_PRIOR_ALONE, _WITH_CHARACTER = "denoiser, prior alone", "denoiser, prior and character"
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
    """Held-out tasks; their truths [N, 128, 128, 3], and through the autoencoder; swapped scenes, None for no face."""

    tasks: list[Task]
    clean: NDArray[np.uint8]
    reconstructed: NDArray[np.uint8]
    swapped: list[NDArray[np.uint8] | None]


@dataclass(frozen=True, eq=False)
class _Checkpoint:
    """A complete checkpoint's parts, as they are measured."""

    folder: Path
    vae: AutoencoderKLQwenImage
    pack: FacePack
    verifier: HeldOutVerifier
    judge: Judge


def measure(checkpoint: Path, effort: Effort) -> list[Figure]:
    """Measure every part of ``checkpoint`` and write the contact sheet.

    Raises:
        FileNotFoundError: A part is missing; the message names all that are.
    """
    wanted = ["vae", "text_encoder", "transformer", *(f"faces/{file}" for file in (*PACK_FILES, VERIFIER_FILE))]
    if missing := [name for name in wanted if not (checkpoint / name).exists()]:
        raise FileNotFoundError(f"{checkpoint} lacks {', '.join(missing)}")
    parts = _load(checkpoint)
    pictures = _held_out(effort.pictures, parts)
    return [
        *_vae(parts, pictures),
        *_faces(parts, pictures),
        *_judge(parts.judge, pictures),
        *_faults(parts, effort),
        *_denoiser(parts, effort),
    ]


def _load(checkpoint: Path) -> _Checkpoint:
    threads = torch.get_num_threads()
    pack = load_pack(checkpoint / "faces", threads=threads)
    return _Checkpoint(
        folder=checkpoint,
        vae=AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae").float().eval(),
        pack=pack,
        verifier=HeldOutVerifier(checkpoint / "faces", pack, threads=threads),
        judge=Judge(load_judge(checkpoint), EditProcessor.from_pretrained(checkpoint / "processor")),
    )


def _held_out(count: int, parts: _Checkpoint) -> _HeldOut:
    tasks = [task(number, Split.HELD_OUT) for number in track(range(count), "drawing")]
    clean = np.stack([drawn.truth.picture for drawn in tasks])
    swapped = [drawn_swap(parts.pack, d.scene.picture, d.character.picture) for d in tasks]
    return _HeldOut(tasks, clean, reconstruct(parts.vae, clean), swapped)


def _vae(parts: _Checkpoint, pictures: _HeldOut) -> list[Figure]:
    found = vae_figures(parts.pack, pictures.clean, pictures.reconstructed)
    return [
        at_least("VAE", "PSNR", found.psnr_db, 28, " dB"),
        at_least("VAE", "recognizer's cosine, picture to reconstruction", found.identity_cosine, 0.85),
    ]


def _faces(parts: _Checkpoint, pictures: _HeldOut) -> list[Figure]:
    count = len(pictures.tasks)
    seen = detection_figures(parts.pack, count)
    return [
        at_least("detector", "faces found at IoU 0.5", seen.found, 0.98),
        at_most("detector", "landmark error, parts of the face's width", seen.landmark_error, 0.05),
        Figure("detector", "finds per picture without a face", f"{seen.false_finds:.3g}"),
        *_recognition("recognizer", partial(embedding, parts.pack), count),
        *_recognition("held-out verifier", parts.verifier.embedding, count),
        *_swapper(parts, pictures),
    ]


def _recognition(part: str, embed: Embed, pictures: int) -> list[Figure]:
    known = recognition_figures(embed, max(2, pictures // 2))
    return [
        at_least(part, "AUC same/different", known.auc, 0.98),
        Figure(part, "mean cosine same, different", f"{known.same:.2f}, {known.different:.2f}"),
    ]


def _swapper(parts: _Checkpoint, pictures: _HeldOut) -> list[Figure]:
    swap = swap_figures(parts.pack, len(pictures.tasks))
    both = zip(pictures.tasks, pictures.swapped, strict=True)
    pairs = [(drawn, swapped) for drawn, swapped in both if swapped is not None]
    held_out = [
        cosine(parts.verifier.embedding(drawn.character.picture), parts.verifier.embedding(swapped))
        for drawn, swapped in pairs
    ]
    before = shows_expression(parts.judge, [d.scene.picture for d, _ in pairs], [d.scene_look for d, _ in pairs])
    after = shows_expression(parts.judge, [swapped for _, swapped in pairs], [d.scene_look for d, _ in pairs])
    return [
        Figure("swapper", "cosine to the character: scene, drawn truth", f"{swap.scene:.2f}, {swap.truth:.2f}"),
        at_least("swapper", "cosine to the character: swapped", swap.swapped, 0.5),
        Figure("swapper", "the same by the held-out verifier", f"{float(np.mean(held_out)):.2f}"),
        Figure("swapper", "landmarks moved, parts of the face's width", f"{swap.landmark_shift:.3f}"),
        Figure("swapper", "scene's expression seen by the judge: scene, swapped", f"{before:.2f}, {after:.2f}"),
        Figure("swapper", "change outside the face's box, 8-bit levels", f"{swap.kept_outside:.2f}"),
    ]


def _judge(judge: Judge, pictures: _HeldOut) -> list[Figure]:
    by_question = attribute_accuracies(judge, pictures.clean, [drawn.look for drawn in pictures.tasks])
    worst = min(by_question, key=lambda question: by_question[question])
    natural = p_natural(judge, [*pictures.clean, *pictures.reconstructed])
    spoilt = p_natural(judge, [drawn.prior for drawn in pictures.tasks])
    figures = [
        at_least("judge", "balanced accuracy over attribute questions", float(np.mean([*by_question.values()])), 0.90),
        Figure("judge", f'worst question: "{worst}"', f"{by_question[worst]:.3g}"),
        at_least("judge", "AUC natural against drawn artifacts", area_under_roc(natural, spoilt), 0.95),
    ]
    swaps = [picture for picture in pictures.swapped if picture is not None]
    auc = area_under_roc(natural, p_natural(judge, swaps))
    return [*figures, at_least("judge", "AUC natural against the face pack's swaps", auc, 0.95)]


def _faults(parts: _Checkpoint, effort: Effort) -> list[Figure]:
    """The judge against the denoiser's own faults, and how it ranks the seeds of a task."""
    found = fault_figures(parts.folder, parts.judge, tasks=effort.pictures, ranked=effort.tasks, seeds=effort.seeds)
    part = "judge, the denoiser's faults"
    means = ", ".join(f"{kind} {mean:.2f}" for kind, (mean, _) in found.kinds.items())
    ranking = f"{found.ranking:.2f} ± {found.ranking_error:.2f}"
    return [
        *(at_least(part, f"AUC of truths against {kind}", auc, 0.95) for kind, (_, auc) in found.kinds.items()),
        Figure(part, "P(natural)", f"truths {found.natural:.2f}, {means}"),
        Figure(part, "sd of the log-odds over the seeds of a task", f"{found.deviation:.2f}"),
        Figure(part, "rank correlation with how whole eyes and mouth are, over the seeds of a task", ranking),
    ]


def _denoiser(parts: _Checkpoint, effort: Effort) -> list[Figure]:
    """Both ways of conditioning; the contact sheet shows the second."""
    pipeline, figures = load_pipeline(parts.folder), []
    for part, shows_character in ((_PRIOR_ALONE, False), (_WITH_CHARACTER, True)):
        attempts = [
            attempt(pipeline, parts.pack, number, effort.seeds, shows_character=shows_character)
            for number in track(range(effort.tasks), part)
        ]
        figures += _edits(part, denoiser_figures(attempts, parts.pack, parts.verifier, parts.judge))
    contact_sheet(attempts[:_SHEET_TASKS], _SHEET_SEEDS).save(CONTACT_SHEET, optimize=True)
    return figures


def _edits(part: str, found: DenoiserFigures) -> list[Figure]:
    return [
        *_gain(part, "recognizer", 0.05, found.prior_cosine, found.cosine, found.truth_cosine),
        *_gain(part, "held-out verifier", 0.10, found.prior_held_out, found.held_out, found.truth_held_out),
        Figure(part, "P(natural) of the prior", f"{found.prior_realism:.2f}"),
        at_least(part, "P(natural) of the generated", found.realism, round(found.prior_realism, 2)),
        at_least(part, "sd of the cosine over the seeds of a task", found.seed_deviation, 0.06),
        at_least(part, "prompt's expression seen by the judge", found.expression_seen, 0.60),
        at_least(part, "prompt's accessory seen by the judge", found.accessory_seen, 0.82),
        at_least(part, "gradient energy of the face, parts of the truth's", found.gradient_share, 0.64),
        Figure(part, "generated pictures with a face found", f"{found.face_found:.2f}"),
        Figure(part, "mean difference to the drawn truth, 8-bit levels", f"{found.truth_error:.1f}"),
    ]


def _gain(part: str, by: str, target: float, prior: float, generated: float, truth: float) -> list[Figure]:
    means = f"{prior:.2f}, {generated:.2f}, {truth:.2f}"
    return [
        Figure(part, f"cosine by the {by}: prior, generated, truth", means),
        at_least(part, f"gain over the prior by the {by}", generated - prior, target),
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
        f"{effort.seeds} seeds each for the denoiser, on the face pack's priors."
    )
    write_card(arguments.card, f"{note}\n\n{text}")
    Console().print(f"{text}\n\n{note} Took {minutes:.1f} minutes.", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
