"""Stage ``judge``: a judge of its own, beside the text encoder, trained on the finished denoiser's faults.

It begins as a copy of the text encoder. That one stays what the denoiser was conditioned by; the copy is free to learn
what a generated face looks like, vision tower included. Pictures of several seeds of one task are shown together, so
that the judge learns to rank them: a search can only climb what differs between the seeds of a task.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini.train.artifacts import TRANSFORMER, Artifacts, Studies, artifacts, with_artifacts
from studio_mini.train.face_targets import TargetStore
from studio_mini.train.latent_cache import LatentStore
from studio_mini.train.pace import Pace
from studio_mini.train.task_cache import TaskSet, cached_tasks, ensure_tasks
from studio_mini.train.training_data import draw_example, vary
from studio_mini.train.vlm import Student, judge_gallery, train_student

TASKS = 1500
FAULTY, WHOLE = 750, 400
"""Tasks that each painter paints; see `artifacts`."""
STEPS = 2200
PICTURES, GROUPS = 28, 1
"""Of a batch: pictures of all kinds, and tasks of which several seeds are shown."""
GALLERY, UNTOUCHED, PAINTED = 0.68, 0.14, 0.18
"""Shares of the pictures of all kinds. Where what the denoiser painted outnumbers truths that have been through the
autoencoder, faces that the judge has not met are called painted."""
RATE = 0.5
NATURAL_WEIGHT, SEEDS_WEIGHT, PAIRS_WEIGHT = 2.0, 0.5, 0.3


class SeedGroups:
    """Pictures of several seeds of each task, with grades.

    Args:
        painted: All kinds; the graded ones are used.
    """

    def __init__(self, painted: Artifacts) -> None:
        rows = painted.groups()
        self._pictures = torch.from_numpy(painted.pictures[rows])
        self._natural = torch.from_numpy(painted.natural[rows])

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw tasks: pictures uint8 (count, seeds, 128, 128, 3), varied a little, and how natural each is."""
        chosen = torch.from_numpy(rng.integers(len(self._natural), size=count))
        pictures = self._pictures[chosen]
        varied = vary(pictures.flatten(0, 1), rng, soften=False)
        return varied.unflatten(0, pictures.shape[:2]), self._natural[chosen]


def seeds_loss(log_odds: Tensor, natural: Tensor) -> Tensor:
    """Cross-entropy of grades, and of which of two seeds of a task is the better one.

    Args:
        log_odds: Of naturalness, (tasks, seeds).
        natural: Grades in (0, 1), of the same shape.
    """
    grades = F.binary_cross_entropy_with_logits(log_odds, natural)
    first, second = torch.triu_indices(log_odds.shape[1], log_odds.shape[1], offset=1)
    wanted = natural.logit()
    better = torch.sigmoid(wanted[:, first] - wanted[:, second])
    pairs = F.binary_cross_entropy_with_logits(log_odds[:, first] - log_odds[:, second], better)
    return SEEDS_WEIGHT * grades + PAIRS_WEIGHT * pairs


def run(build_dir: Path, checkpoint_dir: Path, *, minutes: float | None, seed: int) -> None:
    """Train, or go on training, and write ``judge/`` of the checkpoint, in float16 to keep it small.

    The checkpoint's ``transformer/`` paints, and so does every folder under ``build_dir``/painters.
    """
    ensure_tasks(build_dir, TASKS)
    tasks = cached_tasks(build_dir, limit=TASKS)
    painted = _painted(build_dir, checkpoint_dir, tasks, seed)
    known = judge_gallery(build_dir, checkpoint_dir, tasks)
    pool, shares = with_artifacts(known, painted, tasks), _shares(len(known), painted)
    groups = SeedGroups(painted)
    torch.manual_seed(seed)
    student = Student(EditProcessor.from_pretrained(checkpoint_dir / "processor"), seed)
    before = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint_dir, subfolder="text_encoder")
    student.model.load_state_dict(before.state_dict())

    def loss(_step: int, rng: np.random.Generator) -> Tensor:
        example = draw_example(pool, PICTURES, rng, attributes=1, instructions=1, shares=shares)
        losses = student.answer_losses(example)
        pictures, natural = groups.draw(GROUPS, rng)
        log_odds = student.natural_log_odds(pictures.flatten(0, 1)).unflatten(0, natural.shape)
        return losses[:-1].mean() + NATURAL_WEIGHT * losses[-1] + seeds_loss(log_odds, natural)

    train_student("judge", student.train(), loss, build_dir / "judge.pt", Pace(STEPS, minutes), seed, rate=RATE)
    student.eval().model.half().save_pretrained(checkpoint_dir / "judge")
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
    studies = Studies(tasks, store.load(), TargetStore(build_dir, checkpoint_dir).load(len(tasks)))
    others = sorted(folder.parent for folder in build_dir.glob(f"painters/*/{TRANSFORMER}"))
    counts = {"faulty": min(FAULTY, len(tasks)), "whole": min(WHOLE, len(tasks)), "untouched": len(tasks)}
    return artifacts(build_dir, checkpoint_dir, studies, [checkpoint_dir, *others], **counts, seed=seed)
