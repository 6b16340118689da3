"""What the judge is asked while it learns: pictures with questions, and edits with their outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from studio_mini.train.reconstructions import EVERY, Reconstructions
from studio_mini.train.task_cache import TaskSet
from studio_mini.world import prompts
from studio_mini.world.prompts import Accessory, Edit, Expression, Look

SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
ATTRIBUTE_SLOTS, INSTRUCTION_SLOTS = 3, 2
_EXPRESSIONS, _ACCESSORIES = list(Expression), list(Accessory)


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures with what is true of them.

    Attributes:
        pictures: uint8 [N, 128, 128, 3].
        looks: Of each.
        natural: 1 for drawings, 0 for transplants, drawn ones and the face pack's; between for what a denoiser painted
            over, float32 [N].
        shows_look: Whether the look can be seen and may be asked for, bool [N].
    """

    pictures: NDArray[np.uint8]
    looks: list[Look]
    natural: NDArray[np.float32]
    shows_look: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.looks)


@dataclass(frozen=True, eq=False)
class Example:
    """Pictures uint8 (batch, 128, 128, 3); ``questions[slot][item]`` with ``answers`` in [0, 1] (batch, slots).

    ``weights`` (batch, slots) is 0 where a question cannot be answered from the picture.
    """

    pictures: Tensor
    questions: list[list[str]]
    answers: Tensor
    weights: Tensor
    expressions: Tensor
    accessories: Tensor
    natural: Tensor


def gallery(tasks: TaskSet, swapped: TaskSet | None = None) -> Gallery:
    """Show scenes and truths as natural, priors, those of ``swapped`` too, as not; a prior has its scene's look."""
    count, swaps = len(tasks), 0 if swapped is None else len(swapped)
    shown = [tasks.scene, tasks.truth, tasks.prior] + ([] if swapped is None else [swapped.prior])
    return Gallery(
        pictures=np.concatenate(shown),
        looks=[*tasks.scene_looks, *tasks.looks, *tasks.scene_looks, *([] if swapped is None else swapped.scene_looks)],
        natural=np.repeat(np.array([1, 1, 0, 0], np.float32), [count, count, count, swaps]),
        shows_look=np.ones(3 * count + swaps, bool),
    )


def with_reconstructions(pool: Gallery, seen: Reconstructions) -> Gallery:
    """Add the pictures that ``seen`` holds as they look after the autoencoder: natural where the picture was."""
    places = np.arange(0, len(pool), EVERY)
    return Gallery(
        pictures=np.concatenate([pool.pictures, seen.pictures]),
        looks=[*pool.looks, *(pool.looks[k] for k in places)],
        natural=np.concatenate([pool.natural, pool.natural[places]]),
        shows_look=np.concatenate([pool.shows_look, pool.shows_look[places]]),
    )


def draw_example(
    pool: Gallery,
    batch: int,
    rng: np.random.Generator,
    *,
    attributes: int = ATTRIBUTE_SLOTS,
    instructions: int = INSTRUCTION_SLOTS,
    shares: NDArray[np.float64] | None = None,
) -> Example:
    """Draw pictures, spoil them a little, ask each one attributes and instructions, and naturalness last.

    Args:
        pool: To draw from.
        batch: Pictures.
        rng: Source of all choices.
        attributes, instructions: Questions of each kind.
        shares: How often each picture is drawn, [N], in all 1; None for equally often.
    """
    chosen = rng.choice(len(pool), size=batch, p=shares)
    looks = [pool.looks[k] for k in chosen]
    asked = [[_attribute(look, rng) for look in looks] for _ in range(attributes)]
    asked += [[_instruction(look, rng) for look in looks] for _ in range(instructions)]
    asked.append([(prompts.NATURAL_QUESTION, float(pool.natural[k])) for k in chosen])
    weights = torch.from_numpy(pool.shows_look[chosen]).float()[:, None].repeat(1, len(asked))
    weights[:, -1] = 1
    return Example(
        pictures=vary(torch.from_numpy(pool.pictures[chosen]), rng),
        questions=[[question + SUFFIX for question, _ in slot] for slot in asked],
        answers=torch.tensor([[float(answer) for _, answer in slot] for slot in asked]).T,
        weights=weights,
        expressions=torch.tensor([_EXPRESSIONS.index(look.expression) for look in looks]),
        accessories=torch.tensor([_ACCESSORIES.index(look.accessory) for look in looks]),
        natural=torch.from_numpy(pool.natural[chosen]),
    )


def outcome(edits: list[Edit], looks: list[Look]) -> tuple[Tensor, Tensor]:
    """Number the expressions and accessories that ``edits`` lead to from ``looks``."""
    results = [edit.apply(look) for edit, look in zip(edits, looks, strict=True)]
    return (
        torch.tensor([_EXPRESSIONS.index(look.expression) for look in results]),
        torch.tensor([_ACCESSORIES.index(look.accessory) for look in results]),
    )


def vary(pictures: Tensor, rng: np.random.Generator, *, soften: bool = True) -> Tensor:
    """Mirror half of the pictures, change exposure, and soften some, natural or not, as a VAE does.

    Args:
        pictures: uint8 (batch, 128, 128, 3).
        rng: Source of the choices.
        soften: Whether any may be softened.

    Returns:
        The same shape and type.
    """
    batch = len(pictures)
    x = pictures.permute(0, 3, 1, 2).float()
    mirrored = torch.from_numpy(rng.random(batch) < 0.5)[:, None, None, None]
    x = torch.where(mirrored, x.flip(3), x)
    if soften:
        small = F.interpolate(x, scale_factor=0.5, mode="area")
        soft = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        share = torch.from_numpy(np.where(rng.random(batch) < 0.5, rng.uniform(0, 1, batch), 0)).float()
        x = torch.lerp(x, soft, share[:, None, None, None])
    gain = torch.from_numpy(rng.uniform(0.9, 1.1, (batch, 1, 1, 1))).float()
    return (x * gain).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def _attribute(look: Look, rng: np.random.Generator) -> tuple[str, float]:
    """Ask for an attribute, yes and no equally often."""
    wanted = bool(rng.random() < 0.5)
    fitting = [question for question, answer in prompts.attribute_questions(look) if answer is wanted]
    return fitting[rng.integers(len(fitting))], wanted


def _instruction(look: Look, rng: np.random.Generator) -> tuple[str, float]:
    """Quote a prompt that the picture follows, or one that it does not, equally often."""
    edit = prompts.sample_edit(rng)
    if rng.random() < 0.5:
        edit = Edit(edit.expression and look.expression, edit.accessory and look.accessory)
        return prompts.instruction_question(prompts.phrase(edit, rng)), True
    while edit.holds(look):
        edit = prompts.sample_edit(rng)
    return prompts.instruction_question(prompts.phrase(edit, rng)), False
