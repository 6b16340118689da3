"""The oracle: diffusers' own pipeline, told prompt embeddings with the right positions, and how near one must come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from eacps.models.mask import composite, feathered
from export.backbones.qwen_image_edit.checkpoint import encode_prompt

Picture = NDArray[np.uint8]
Callback = Callable[[Any, int, torch.Tensor, dict[str, Any]], dict[str, Any]]

MEAN_TOLERANCE = 0.1
MAX_TOLERANCE = 3


def reference_picture(
    pipeline: QwenImageEditPlusPipeline,
    pictures: Sequence[Picture],
    prompt: str,
    seed: int,
    *,
    steps: int = 8,
    negative_prompt: str | None = None,
    true_cfg_scale: float = 1.0,
    latents: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> Picture:
    """What the pipeline makes of the request, uint8 [H, W, 3]; from ``latents``, packed, if given."""
    shown = [Image.fromarray(picture) for picture in pictures]
    embeds, mask = encode_prompt(pipeline, shown, prompt)
    negative: dict[str, torch.Tensor] = {}
    if negative_prompt is not None:
        names = ("negative_prompt_embeds", "negative_prompt_embeds_mask")
        negative = dict(zip(names, encode_prompt(pipeline, shown, negative_prompt), strict=True))
    result = pipeline(
        image=shown,
        prompt_embeds=embeds,
        prompt_embeds_mask=mask,
        **negative,
        true_cfg_scale=true_cfg_scale,
        height=pictures[0].shape[0],
        width=pictures[0].shape[1],
        num_inference_steps=steps,
        generator=torch.Generator("cpu").manual_seed(seed),
        latents=latents,
        callback_on_step_end=callback,
    )
    return np.array(result.images[0])


@torch.no_grad()
def masked_reference(
    pipeline: QwenImageEditPlusPipeline, scene: Picture, mask: Picture, seed: int, **request: Any
) -> Picture:
    """The same with the design's blend in the step callback and the scene's own pixels outside the mask."""
    height, width = mask.shape
    frame = pipeline.image_processor.preprocess(Image.fromarray(scene), height, width).unsqueeze(2)
    noise, scene_latents = pipeline.prepare_latents(
        [frame], 1, 16, height, width, torch.float32, torch.device("cpu"), torch.Generator("cpu").manual_seed(seed)
    )
    cells = interpolate(torch.from_numpy((mask > 127).astype(np.float32))[None, None], size=(height // 8, width // 8))
    free = pipeline._pack_latents(cells.repeat(1, 16, 1, 1), 1, 16, height // 8, width // 8)

    def blend(pipe: Any, step: int, _timestep: torch.Tensor, values: dict[str, Any]) -> dict[str, Any]:
        timesteps = pipe.scheduler.timesteps
        if step == len(timesteps) - 1:
            return {}
        kept = pipe.scheduler.scale_noise(scene_latents, timesteps[step + 1].reshape(1), noise)
        return {"latents": (1 - free) * kept + free * values["latents"]}

    edited = reference_picture(pipeline, seed=seed, callback=blend, **request)
    return composite(scene, torch.from_numpy(edited)[None], feathered(mask))[0].numpy()


def difference(ours: Picture, theirs: Picture) -> tuple[float, int]:
    """Mean and maximum of the absolute difference, in steps of 1/255."""
    gap = np.abs(ours.astype(np.int32) - theirs.astype(np.int32))
    return float(gap.mean()), int(gap.max())


def assert_same_picture(ours: Picture, theirs: Picture) -> None:
    """Fail where the pictures are further apart than rounding."""
    mean, largest = difference(ours, theirs)
    assert mean <= MEAN_TOLERANCE, f"mean difference {mean:.3f}/255"
    assert largest <= MAX_TOLERANCE, f"largest difference {largest}/255"


def departs(ours: Picture, theirs: Picture) -> bool:
    """Whether `assert_same_picture` would fail."""
    mean, largest = difference(ours, theirs)
    return mean > MEAN_TOLERANCE or largest > MAX_TOLERANCE
