"""Stage ``judge``: a judge of its own, beside the text encoder, trained on the finished denoiser's faults.

It begins as a copy of the text encoder, or, warm, as the judge that the checkpoint has. The text encoder stays what the
denoiser was conditioned by; the copy is free to learn what a generated face looks like, vision tower included.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini.train.artifacts import TRANSFORMER, Artifacts, Studies, artifacts, with_artifacts
from studio_mini.train.latent_cache import LatentStore
from studio_mini.train.pace import Pace
from studio_mini.train.task_cache import TaskSet, cached_tasks, ensure_tasks
from studio_mini.train.training_data import draw_example
from studio_mini.train.vlm import Student, judge_gallery, train_student

TEXT_ENCODER, JUDGE = "text_encoder", "judge"
TASKS = 1500
FAULTY = 900
"""Tasks that each painter paints; see `artifacts`."""
STEPS = 2200
PICTURES = 32
"""Of a batch."""
GALLERY, UNTOUCHED, PAINTED = 0.68, 0.12, 0.20
"""Shares of the kinds of pictures. Where what the denoiser painted outnumbers truths that have been through the
autoencoder, faces that the judge has not met are called painted."""
RATE = 0.5
NATURAL_WEIGHT = 2.0
"""Of the question for naturalness, against the mean of the others."""


def run(build_dir: Path, checkpoint_dir: Path, *, minutes: float | None, seed: int, warm: bool = False) -> None:
    """Train, or go on training, and write ``judge/`` of the checkpoint, in float16 to keep it small.

    The checkpoint's ``transformer/`` paints, and so does every folder under ``build_dir``/painters.
    """
    ensure_tasks(build_dir, TASKS)
    tasks = cached_tasks(build_dir, limit=TASKS)
    painted = _painted(build_dir, checkpoint_dir, tasks, seed)
    known = judge_gallery(build_dir, checkpoint_dir, tasks)
    pool, shares = with_artifacts(known, painted, tasks), _shares(len(known), painted)
    torch.manual_seed(seed)
    student = Student(EditProcessor.from_pretrained(checkpoint_dir / "processor"), seed)
    start = JUDGE if warm and (checkpoint_dir / JUDGE).exists() else TEXT_ENCODER
    before = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint_dir, subfolder=start)
    student.model.load_state_dict(before.state_dict())

    def loss(_step: int, rng: np.random.Generator) -> Tensor:
        example = draw_example(pool, PICTURES, rng, attributes=1, instructions=1, shares=shares)
        losses = student.answer_losses(example)
        return losses[:-1].mean() + NATURAL_WEIGHT * losses[-1]

    train_student("judge", student.train(), loss, build_dir / "judge.pt", Pace(STEPS, minutes), seed, rate=RATE)
    student.eval().model.half().save_pretrained(checkpoint_dir / JUDGE)
    (build_dir / "judge.done").touch()


def _shares(known: int, painted: Artifacts) -> NDArray[np.float64]:
    """Return how often each of ``known`` pictures, and each of those behind it, is drawn."""
    untouched = painted.natural == 1
    counts = known, int(untouched.sum()), int((~untouched).sum())
    of_gallery, of_untouched, of_painted = (
        share / count for share, count in zip((GALLERY, UNTOUCHED, PAINTED), counts, strict=True)
    )
    return np.concatenate([np.full(known, of_gallery), np.where(untouched, of_untouched, of_painted)])


def _painted(build_dir: Path, checkpoint_dir: Path, tasks: TaskSet, seed: int) -> Artifacts:
    """What the checkpoint's denoiser and other ones paint."""
    store = LatentStore(build_dir, checkpoint_dir, seed=seed)
    store.grow(len(tasks))
    studies = Studies(tasks, store.load())
    others = sorted(folder.parent for folder in build_dir.glob(f"painters/*/{TRANSFORMER}"))
    painters, faulty = [checkpoint_dir, *others], min(FAULTY, len(tasks))
    return artifacts(build_dir, checkpoint_dir, studies, painters, faulty=faulty, untouched=len(tasks), seed=seed)
