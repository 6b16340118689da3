"""What raw scores mean on a checkpoint: their distributions over known good and known bad pictures, stored with it.

``python -m studio_mini.calibrate`` writes the section ``scorers`` of the checkpoint's ``calibration.json``; the
search maps raw scores by it to [0, 1]. Pictures are of held-out people whom no evaluation and no study meets, and have
been through the autoencoder, as every generated picture has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from eacps.imaging.preserved import preserved_region
from eacps.scoring.preservation import structural_similarity
from export.backbones.qwen_image_edit.checkpoint import CheckpointSettings, load_judge
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.calibration import (
    CALIBRATION_FILE,
    SCORERS,
    Section,
    digests_of,
    distribution,
    write_sections,
)
from export.face_pack import find_faces
from studio_mini.faces.pack import FacePack, load_pack
from studio_mini.measure.identity import Embedding, cosine, drawn_swap, embedding
from studio_mini.measure.judge import Judge, p_natural
from studio_mini.measure.vae import reconstruct
from studio_mini.measure.verifier import HeldOutVerifier
from studio_mini.world.prompts import instruction_question
from studio_mini.world.tasks import Split, Task, task

FIRST_TASK: Final = 50_000
TASKS: Final = 200


def run(build_dir: Path, checkpoint_dir: Path, *, minutes: float | None = None, seed: int = 0) -> None:
    """Measure and write, as a stage of training; nothing is random here, and nothing is kept in ``build_dir``."""
    del build_dir, minutes, seed
    write_section(checkpoint_dir, SCORERS, scorer_distributions(checkpoint_dir, TASKS))


def scorer_distributions(checkpoint: Path, count: int) -> Section:
    """Measure ``count`` tasks.

    Returns:
        For each scorer its ``positive`` and ``negative`` distribution: mean, standard deviation, quantiles.
        ``identity`` and ``identity_heldout``: character against the truth of the same task, and of the next one.
        ``realism``: truths against the face pack's swaps. ``prompt``: truths against scenes, asked for an edit that
        they do not show. ``preservation``: scenes against the truths of the same task, and of the next one.
    """
    pack = load_pack(checkpoint / "faces", threads=torch.get_num_threads())
    vae = AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae").float().eval()
    tasks = [task(FIRST_TASK + k, Split.HELD_OUT) for k in track(range(count), "drawing")]
    truths = reconstruct(vae, np.stack([drawn.truth.picture for drawn in tasks]))
    judge = _load_judge(checkpoint)
    verifier = HeldOutVerifier(checkpoint / "faces", pack, threads=torch.get_num_threads())
    return {
        "identity": _identity(lambda picture: embedding(pack, picture), tasks, truths),
        "identity_heldout": _identity(verifier.embedding, tasks, truths),
        "realism": _realism(judge, pack, tasks, truths),
        "prompt": _prompt(judge, vae, tasks, truths),
        "preservation": _preservation(pack, tasks, truths),
    }


def write_section(checkpoint: Path, name: str, section: Section) -> None:
    """Replace a section of the checkpoint's ``calibration.json``, noting its networks; the others stay."""
    settings = CheckpointSettings.read(checkpoint)
    faces = find_faces(checkpoint / str(settings.face_pack), detection_size=settings.face_detection_size)
    measured = {f"{SCORERS}.{scorer}": part for scorer, part in section.items()} if name == SCORERS else {name: section}
    write_sections(checkpoint / CALIBRATION_FILE, measured, digests_of(checkpoint, faces))


def _identity(
    embed: Callable[[NDArray[np.uint8]], Embedding | None], tasks: list[Task], truths: NDArray[np.uint8]
) -> Section:
    characters = [embed(drawn.character.picture) for drawn in tasks]
    shown = [embed(picture) for picture in truths]
    same = [cosine(one, other) for one, other in zip(characters, shown, strict=True)]
    different = [cosine(one, other) for one, other in zip(characters, shown[1:] + shown[:1], strict=True)]
    return {"positive": distribution(same), "negative": distribution(different)}


def _realism(judge: Judge, pack: FacePack, tasks: list[Task], truths: NDArray[np.uint8]) -> Section:
    swaps = [drawn_swap(pack, drawn.scene.picture, drawn.character.picture) for drawn in tasks]
    found = [swap for swap in swaps if swap is not None]
    return {"positive": distribution(p_natural(judge, truths)), "negative": distribution(p_natural(judge, found))}


def _prompt(judge: Judge, vae: AutoencoderKLQwenImage, tasks: list[Task], truths: NDArray[np.uint8]) -> Section:
    scenes = reconstruct(vae, np.stack([drawn.scene.picture for drawn in tasks]))
    followed, missed = [], []
    for drawn, truth, scene in zip(tasks, truths, scenes, strict=True):
        question = instruction_question(drawn.prompt)
        followed.append(float(judge.p_yes([truth], question)[0]))
        if not drawn.edit.holds(drawn.scene_look):
            missed.append(float(judge.p_yes([scene], question)[0]))
    return {"positive": distribution(followed), "negative": distribution(missed)}


def _preservation(pack: FacePack, tasks: list[Task], truths: NDArray[np.uint8]) -> Section:
    kept, lost = [], []
    for drawn, same, other in zip(tasks, truths, [*truths[1:], truths[0]], strict=True):
        if not (faces := pack.faces(drawn.scene.picture)):
            continue
        left, top, right, bottom = map(float, faces[0].bbox)
        scene = drawn.scene.picture
        stays = preserved_region(*scene.shape[:2], mask=None, face=(left, top, right, bottom))
        if not stays.any():  # a head that fills the picture
            continue
        kept.append(structural_similarity(same, scene)[stays].mean())
        lost.append(structural_similarity(other, scene)[stays].mean())
    return {"positive": distribution(kept), "negative": distribution(lost)}


def _load_judge(checkpoint: Path) -> Judge:
    return Judge(load_judge(checkpoint), EditProcessor.from_pretrained(checkpoint / "processor"))


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description="Measure what raw scores mean on studio-mini.")
    parser.add_argument("--checkpoint", type=Path, default=Path(__file__).parent / "checkpoint")
    parser.add_argument("--tasks", type=int, default=TASKS)
    arguments = parser.parse_args()
    section = scorer_distributions(arguments.checkpoint, arguments.tasks)
    write_section(arguments.checkpoint, SCORERS, section)
    Console().print_json(data=section)


if __name__ == "__main__":
    main()
