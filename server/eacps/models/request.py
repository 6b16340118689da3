"""A request to the sampler: parsed, and checked as a whole before any network runs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.arrays import Arrays
from eacps.models.checkpoint_config import CheckpointConfig, Guidance
from eacps.models.failures import InvalidInput

MAX_STEPS = 1000
# Rows come as FP32; a recipe's squares sum to 1 but for their rounding.
_NORM_TOLERANCE = 1e-4

Terms = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class EditRequest:
    """See ``tensors.SAMPLER``. Pictures are RGB uint8.

    Args:
        pictures: [R, H, W, 3], prior first.
        scene, edit_mask: [H, W, 3] and [H, W], or None.
        prompt, negative_prompt: Texts; None for no negative prompt.
        true_cfg_scale: Takes effect above 1 with a negative prompt.
        recipes: Of each candidate, its (seed, coefficient) terms without padding.
        steps: Of the schedule.
        start: First step to run; above 0 finished pictures are restarted.
        latents: FP32 [N, tokens, channels] of those pictures, or None to begin with the noise.
    """

    pictures: NDArray[np.uint8]
    scene: NDArray[np.uint8] | None
    edit_mask: NDArray[np.uint8] | None
    prompt: str
    negative_prompt: str | None
    true_cfg_scale: float
    recipes: tuple[Terms, ...]
    steps: int
    start: int
    latents: torch.Tensor | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the result."""
        height, width = self.pictures.shape[1:3]
        return height, width

    @property
    def guided(self) -> bool:
        """Whether true CFG runs."""
        return self.negative_prompt is not None and self.true_cfg_scale > 1.0


class Taker(Protocol):
    """What is asked of a backbone about a request; `eacps.models.backbones.backbone.BaseBackbone` is one."""

    @property
    def config(self) -> CheckpointConfig:
        """Of the checkpoint."""
        ...

    def text_violation(self, text: str) -> str | None:
        """Return why a prompt cannot be taken, to be put after its name; None where it can."""
        ...


def parse_edit(arrays: Arrays, backbone: Taker) -> EditRequest:
    """Read the input tensors of one request.

    Args:
        arrays: By name; shapes have the ranks of the contract, since Triton checks those.
        backbone: To run it.

    Raises:
        InvalidInput: Names every invalid tensor.
    """
    violations: list[str] = []
    prompt = _text(arrays["prompt"], "prompt", backbone, violations)
    negative = arrays.get("negative_prompt")
    request = EditRequest(
        pictures=arrays["pictures"],
        scene=arrays.get("scene"),
        edit_mask=arrays.get("edit_mask"),
        prompt=prompt,
        negative_prompt=None if negative is None else _text(negative, "negative_prompt", backbone, violations),
        true_cfg_scale=float(arrays["true_cfg_scale"][0]),
        recipes=_recipes(arrays["seeds"], arrays["coefficients"]),
        steps=int(arrays["steps"][0]),
        start=int(arrays["start_step"][0]),
        latents=torch.from_numpy(arrays["latents"].astype(np.float32)) if "latents" in arrays else None,
    )
    violations += _violations(request, backbone.config)
    if arrays["seeds"].shape != arrays["coefficients"].shape:
        violations.append("seeds: differ in shape from coefficients")
    if violations:
        raise InvalidInput(violations)
    return request


def _text(array: NDArray[Any], name: str, backbone: Taker, violations: list[str]) -> str:
    try:
        text = array.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        violations.append(f"{name}: is not UTF-8")
        return ""
    if wrong := backbone.text_violation(text):
        violations.append(f"{name}: {wrong}")
    return text


def _recipes(seeds: NDArray[Any], coefficients: NDArray[Any]) -> tuple[Terms, ...]:
    return tuple(
        tuple((int(seed), float(weight)) for seed, weight in zip(*rows, strict=False) if weight != 0.0)
        for rows in zip(seeds, coefficients, strict=False)
    )


def _violations(request: EditRequest, config: CheckpointConfig) -> Iterator[str]:
    yield from _picture_violations(request, config)
    if not request.prompt.strip():
        yield "prompt: is empty"
    if not math.isfinite(request.true_cfg_scale):
        yield "true_cfg_scale: is not finite"
    if request.guided and config.guidance is Guidance.DISTILLED:
        yield "negative_prompt: cannot guide this checkpoint, into which guidance was distilled"
    yield from _recipe_violations(request.recipes)
    if not 1 <= request.steps <= MAX_STEPS:
        yield f"steps: is {request.steps}, not in [1, {MAX_STEPS}]"
    elif not 0 <= request.start < request.steps:
        yield f"start_step: is {request.start}, not in [0, {request.steps})"
    yield from _latents_violations(request, config)


def _picture_violations(request: EditRequest, config: CheckpointConfig) -> Iterator[str]:
    count, height, width, _ = request.pictures.shape
    if count == 0:
        yield "pictures: are none"
    if count > config.shapes.max_pictures:
        yield f"pictures: are {count}, the checkpoint takes at most {config.shapes.max_pictures}"
    if config.shapes.fixed and (width, height) not in config.shapes.sizes:
        known = ", ".join("x".join(map(str, size)) for size in config.shapes.sizes)
        yield f"pictures: are {width}x{height} pixels, the engines were built for {known}"
    if height == 0 or width == 0 or height % config.size_multiple or width % config.size_multiple:
        yield f"pictures: are {width}x{height} pixels, not multiples of {config.size_multiple}"
    if request.scene is not None and request.scene.shape[:2] != (height, width):
        yield "scene: has another size than pictures"
    if request.edit_mask is None:
        return
    if request.scene is None:
        yield "scene: is needed with edit_mask"
    if request.edit_mask.shape != (height, width):
        yield "edit_mask: has another size than pictures"
    elif not (request.edit_mask >= 128).any():
        yield "edit_mask: lets nothing change"


def _recipe_violations(recipes: tuple[Terms, ...]) -> Iterator[str]:
    if not recipes:
        yield "seeds: has no candidates"
    for row, terms in enumerate(recipes):
        if len({seed for seed, _ in terms}) < len(terms):
            yield f"seeds: of candidate {row} repeat"
        norm = sum(coefficient**2 for _, coefficient in terms)
        if not abs(norm - 1.0) <= _NORM_TOLERANCE:  # NaN fails this too
            yield f"coefficients: squares of candidate {row} sum to {norm:g}, not 1"


def _latents_violations(request: EditRequest, config: CheckpointConfig) -> Iterator[str]:
    if request.latents is None:
        if request.start > 0:
            yield "latents: are needed where start_step is above 0"
        return
    if request.start == 0:
        yield "latents: are noised away where start_step is 0"
    height, width = request.size
    tokens = (height // config.size_multiple) * (width // config.size_multiple)
    expected = (len(request.recipes), tokens, config.packed_channels)
    if tuple(request.latents.shape) != expected:
        yield f"latents: have shape {tuple(request.latents.shape)}, not {expected}"
    elif not torch.isfinite(request.latents).all():
        yield "latents: are not finite"
