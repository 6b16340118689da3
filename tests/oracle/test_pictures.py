"""Pictures of the sampler in a real Triton against diffusers' pipeline on the same checkpoint."""

import asyncio
import re
import urllib.request
from typing import Any

import numpy as np
import pytest
from diffusers import QwenImageEditPlusPipeline
from numpy.typing import NDArray

from eacps.errors import InvalidRequest
from eacps.models.checkpoint_config import NoiseShape
from eacps.models.noise import eps
from eacps.tensors import MAX_CONDITIONING_PICTURES
from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.gateway import TritonGateway
from eacps.triton.types import GenerateRequest
from tests.models.studio import picture
from tests.oracle.reference import assert_same_picture, departs, masked_reference, reference_picture

PROMPT = "make the person smile"
PRIOR, REFERENCE, FURTHER, SCENE = picture(1), picture(2), picture(3), picture(7)
STEPS = 4


def request(*seeds: int, pictures: int = 2, **changed: Any) -> GenerateRequest:
    settings: dict[str, Any] = {
        "pictures": np.stack([PRIOR, REFERENCE, FURTHER][:pictures]),
        "prompt": PROMPT,
        "seeds": np.array(seeds, np.uint32)[:, None],
        "coefficients": np.ones((len(seeds), 1), np.float32),
        "steps": STEPS,
    }
    return GenerateRequest(**(settings | changed))


def mask() -> NDArray[np.uint8]:
    white = np.zeros((128, 128), np.uint8)
    white[30:100, 41:97] = 255
    return white


@pytest.mark.parametrize("pictures", range(1, MAX_CONDITIONING_PICTURES + 1))
@pytest.mark.parametrize(("negative", "scale"), [(None, 1.0), (" ", 4.0)])
async def test_a_one_seed_recipe_makes_the_pipelines_picture(
    gateway: TritonGateway, pipeline: QwenImageEditPlusPipeline, pictures: int, negative: str | None, scale: float
) -> None:
    guidance = {"negative_prompt": negative, "true_cfg_scale": scale}
    made = await gateway.generate(request(5, pictures=pictures, **guidance))
    shown = [PRIOR, REFERENCE, FURTHER][:pictures]
    assert_same_picture(made.pictures[0], reference_picture(pipeline, shown, PROMPT, 5, steps=STEPS, **guidance))


async def test_a_masked_picture_is_the_pipelines_with_the_blend_in_its_callback(
    gateway: TritonGateway, pipeline: QwenImageEditPlusPipeline
) -> None:
    made = await gateway.generate(request(5, scene=SCENE, edit_mask=mask()))
    expected = masked_reference(pipeline, SCENE, mask(), 5, pictures=[PRIOR, REFERENCE], prompt=PROMPT, steps=STEPS)
    assert_same_picture(made.pictures[0], expected)
    np.testing.assert_array_equal(made.pictures[0][mask() == 0], SCENE[mask() == 0])


async def test_batch_mates_change_no_picture(gateway: TritonGateway) -> None:
    seeds = tuple(range(40, 60))  # more than one batch of the denoiser
    together = await gateway.generate(request(*seeds, steps=2))
    assert departs(together.pictures[0], together.pictures[17])
    for row in (0, 17):
        alone = await gateway.generate(request(seeds[row], steps=2))
        assert_same_picture(together.pictures[row], alone.pictures[0])
        np.testing.assert_allclose(together.latents[row], alone.latents[0], atol=1e-3)


async def test_a_recipe_of_many_seeds_is_their_weighted_sum(
    gateway: TritonGateway, pipeline: QwenImageEditPlusPipeline
) -> None:
    weights = {"seeds": np.array([[3, 9]], np.uint32), "coefficients": np.array([[0.6, 0.8]], np.float32)}
    made = await gateway.generate(request(5, **weights))
    noise = 0.6 * eps(3, NoiseShape(16, 16, 16, 2)) + 0.8 * eps(9, NoiseShape(16, 16, 16, 2))
    expected = reference_picture(pipeline, [PRIOR, REFERENCE], PROMPT, 5, steps=STEPS, latents=noise[None])
    assert_same_picture(made.pictures[0], expected)


async def test_a_fault_of_the_request_is_named(gateway: TritonGateway) -> None:
    with pytest.raises(InvalidRequest, match="steps: is 0"):
        await gateway.generate(request(5, steps=0))
    with pytest.raises(InvalidRequest, match="reserved mark"):
        await gateway.generate(request(5, prompt="two <|image_pad|>"))


async def test_searches_beside_one_another_share_the_denoisers_batches(
    gateway: TritonGateway, triton: EmbeddedTriton
) -> None:
    prompts = [PROMPT, "make the person look sad", "make the person smile.", PROMPT]
    alone = [await gateway.generate(request(seed, prompt=prompt)) for seed, prompt in enumerate(prompts)]
    before = denoiser_counts(triton)
    together = await asyncio.gather(
        *(gateway.generate(request(seed, prompt=prompt)) for seed, prompt in enumerate(prompts))
    )
    evaluations, executions = (now - then for now, then in zip(denoiser_counts(triton), before, strict=True))
    assert evaluations == STEPS * len(prompts)
    assert executions < evaluations
    for ours, theirs in zip(together, alone, strict=True):
        assert_same_picture(ours.pictures[0], theirs.pictures[0])


def denoiser_counts(triton: EmbeddedTriton) -> tuple[int, int]:
    """Rows the denoiser has evaluated, and the executions that took."""
    with urllib.request.urlopen(triton.metrics_url) as answer:
        metrics = answer.read().decode()
    names = ("nv_inference_count", "nv_inference_exec_count")
    found = [re.search(rf'^{name}{{model="denoiser",version="1"}} (\d+)', metrics, re.MULTILINE) for name in names]
    rows, executions = (int(match.group(1)) for match in found if match)
    return rows, executions
