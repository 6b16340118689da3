"""A request to `qwen_edit`: parsed, and checked as a whole before any network runs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.facts import CheckpointFacts
from eacps.models.failures import InvalidInput
from eacps.models.prompt import reserved_mark_in

MAX_STEPS = 1000
# Rows come as FP32; a recipe's squares sum to 1 but for their rounding.
_NORM_TOLERANCE = 1e-4

Arrays = Mapping[str, NDArray[Any]]
Terms = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class EditRequest:
    """See ``tensors.QWEN_EDIT``. Pictures are RGB uint8.

    Args:
        pictures: [R, H, W, 3], prior first.
        scene, edit_mask: [H, W, 3] and [H, W], or None.
        prompt, negative_prompt: Texts; None for no negative prompt.
        true_cfg_scale: Takes effect above 1 with a negative prompt.
        recipes: Of each candidate, its (seed, coefficient) terms without padding.
        steps, start, stop: Steps [start, stop) of a schedule of ``steps``.
        latents: FP32 [N, tokens, channels] at ``start``, or None to begin with the noise.
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
    stop: int
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


def parse_edit(arrays: Arrays, facts: CheckpointFacts) -> EditRequest:
    """Read the input tensors of one request.

    Args:
        arrays: By name; shapes have the ranks of the contract, since Triton checks those.
        facts: Of the checkpoint.

    Raises:
        InvalidInput: Names every tensor at fault.
    """
    faults: list[str] = []
    prompt = _text(arrays["prompt"], "prompt", faults)
    negative = arrays.get("negative_prompt")
    request = EditRequest(
        pictures=arrays["pictures"],
        scene=arrays.get("scene"),
        edit_mask=arrays.get("edit_mask"),
        prompt=prompt,
        negative_prompt=None if negative is None else _text(negative, "negative_prompt", faults),
        true_cfg_scale=float(arrays["true_cfg_scale"][0]),
        recipes=_recipes(arrays["seeds"], arrays["coefficients"]),
        steps=int(arrays["steps"][0]),
        start=int(arrays["start_step"][0]),
        stop=int(arrays["stop_step"][0]),
        latents=torch.from_numpy(arrays["latents"].astype(np.float32)) if "latents" in arrays else None,
    )
    faults += _faults(request, facts)
    if arrays["seeds"].shape != arrays["coefficients"].shape:
        faults.append("seeds: differ in shape from coefficients")
    if faults:
        raise InvalidInput(faults)
    return request


def _text(array: NDArray[Any], name: str, faults: list[str]) -> str:
    try:
        text = array.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        faults.append(f"{name}: is not UTF-8")
        return ""
    if mark := reserved_mark_in(text):
        faults.append(f"{name}: holds the reserved mark {mark}")
    return text


def _recipes(seeds: NDArray[Any], coefficients: NDArray[Any]) -> tuple[Terms, ...]:
    return tuple(
        tuple((int(seed), float(weight)) for seed, weight in zip(*rows, strict=False) if weight != 0.0)
        for rows in zip(seeds, coefficients, strict=False)
    )


def _faults(request: EditRequest, facts: CheckpointFacts) -> Iterator[str]:
    yield from _picture_faults(request, facts)
    if not request.prompt.strip():
        yield "prompt: is empty"
    if not math.isfinite(request.true_cfg_scale):
        yield "true_cfg_scale: is not finite"
    yield from _recipe_faults(request.recipes)
    if not 1 <= request.steps <= MAX_STEPS:
        yield f"steps: is {request.steps}, not in [1, {MAX_STEPS}]"
    elif not 0 <= request.start < request.stop <= request.steps:
        span = f"start_step {request.start} and stop_step {request.stop}"
        yield f"stop_step: {span} are no range within {request.steps} steps"
    yield from _latents_faults(request, facts)


def _picture_faults(request: EditRequest, facts: CheckpointFacts) -> Iterator[str]:
    count, height, width, _ = request.pictures.shape
    if count == 0:
        yield "pictures: are none"
    if count > facts.shapes.max_pictures:
        yield f"pictures: are {count}, the checkpoint takes at most {facts.shapes.max_pictures}"
    if facts.shapes.fixed and (width, height) not in facts.shapes.sizes:
        known = ", ".join("x".join(map(str, size)) for size in facts.shapes.sizes)
        yield f"pictures: are {width}x{height} pixels, the engines were built for {known}"
    if height == 0 or width == 0 or height % facts.size_multiple or width % facts.size_multiple:
        yield f"pictures: are {width}x{height} pixels, not multiples of {facts.size_multiple}"
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


def _recipe_faults(recipes: tuple[Terms, ...]) -> Iterator[str]:
    if not recipes:
        yield "seeds: has no candidates"
    for row, terms in enumerate(recipes):
        if len({seed for seed, _ in terms}) < len(terms):
            yield f"seeds: of candidate {row} repeat"
        norm = sum(coefficient**2 for _, coefficient in terms)
        if not abs(norm - 1.0) <= _NORM_TOLERANCE:  # NaN fails this too
            yield f"coefficients: squares of candidate {row} sum to {norm:g}, not 1"


def _latents_faults(request: EditRequest, facts: CheckpointFacts) -> Iterator[str]:
    if request.latents is None:
        if request.start > 0:
            yield "latents: are needed where start_step is above 0"
        return
    height, width = request.size
    tokens = (height // facts.size_multiple) * (width // facts.size_multiple)
    expected = (len(request.recipes), tokens, facts.packed_channels)
    if tuple(request.latents.shape) != expected:
        yield f"latents: have shape {tuple(request.latents.shape)}, not {expected}"
    elif not torch.isfinite(request.latents).all():
        yield "latents: are not finite"
