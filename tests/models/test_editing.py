"""The sampler against diffusers' pipeline, with the checkpoint's modules in place of Triton's networks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from eacps.models.backbones.qwen_image_edit.contract import DENOISER
from eacps.models.failures import InvalidInput, SamplingCancelled
from eacps.models.networks import Network
from eacps.models.request import EditRequest
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from studio_mini.architecture import build_transformer
from tests.models.studio import Studio, picture
from tests.oracle.reference import assert_same_picture, departs, masked_reference, reference_picture

PROMPT = "make the person smile"
SCENE, PRIOR, REFERENCE = picture(7), picture(1), picture(2)
Change = Callable[[torch.Tensor], torch.Tensor]


def one_seed(*seeds: int) -> tuple[tuple[tuple[int, float], ...], ...]:
    return tuple(((seed, 1.0),) for seed in seeds)


def request(**changed: Any) -> EditRequest:
    settings: dict[str, Any] = {
        "pictures": np.stack([PRIOR, REFERENCE]),
        "scene": None,
        "edit_mask": None,
        "prompt": PROMPT,
        "negative_prompt": None,
        "true_cfg_scale": 1.0,
        "recipes": one_seed(5),
        "steps": 8,
        "start": 0,
        "latents": None,
    }
    return EditRequest(**(settings | changed))


def mask() -> np.ndarray:
    white = np.zeros((128, 128), np.uint8)
    white[30:100, 41:97] = 255
    return white


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize(("negative", "scale"), [(None, 1.0), (" ", 4.0), ("blurred", 1.0)])
async def test_a_picture_is_the_pipelines(studio: Studio, pictures: int, negative: str | None, scale: float) -> None:
    shown = [PRIOR, REFERENCE][:pictures]
    edited = await studio.editor().edit(
        request(pictures=np.stack(shown), negative_prompt=negative, true_cfg_scale=scale)
    )
    expected = reference_picture(studio.pipeline, shown, PROMPT, 5, negative_prompt=negative, true_cfg_scale=scale)
    assert_same_picture(edited.pictures[0].numpy(), expected)


async def test_a_picture_of_another_size_than_its_conditioning_is_the_pipelines(studio: Studio) -> None:
    shown = [picture(1, 192, 192), picture(2, 192, 192)]
    edited = await studio.editor().edit(request(pictures=np.stack(shown), steps=5))
    assert_same_picture(edited.pictures[0].numpy(), reference_picture(studio.pipeline, shown, PROMPT, 5, steps=5))


@pytest.mark.parametrize(("negative", "scale"), [(None, 1.0), (" ", 3.0)])
async def test_a_masked_picture_is_the_pipelines_with_the_blend_in_its_callback(
    studio: Studio, negative: str | None, scale: float
) -> None:
    settings = {"negative_prompt": negative, "true_cfg_scale": scale}
    edited = await studio.editor().edit(request(scene=SCENE, edit_mask=mask(), **settings))
    expected = masked_reference(
        studio.pipeline, SCENE, mask(), 5, pictures=[PRIOR, REFERENCE], prompt=PROMPT, **settings
    )
    ours = edited.pictures[0].numpy()
    assert_same_picture(ours, expected)
    np.testing.assert_array_equal(ours[mask() == 0], SCENE[mask() == 0])
    unmasked = await studio.editor().edit(request(**settings))
    inside = mask() == 255
    assert departs(ours[inside], unmasked.pictures[0].numpy()[inside])


def _altered(network: Network, name: str, change: Change) -> Network:
    async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return await network({**inputs, name: change(inputs[name])})

    return call


DEFECTS: dict[str, tuple[str, str, Change]] = {
    "conditioning pictures are not seen": ("denoiser", "picture_latents", torch.zeros_like),
    "picture positions are those of text": (
        "text_encoder",
        "position_ids",
        lambda ids: torch.arange(ids.shape[-1]).expand_as(ids),
    ),
    "conditioning pictures stand at the result's place": (
        "denoiser",
        "img_rope",
        lambda rope: rope[:, :64].repeat(1, 3, 1, 1),
    ),
    "text positions are off by one": ("denoiser", "txt_rope", lambda rope: torch.roll(rope, 1, 1)),
    "padding is attended to": ("denoiser", "encoder_hidden_states_mask", torch.ones_like),
    "timesteps are off by a hundredth": ("denoiser", "timestep", lambda timestep: 1.01 * timestep),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_the_comparison_would_notice(studio: Studio, defect: str) -> None:
    network, name, change = DEFECTS[defect]
    sound = studio.networks()[network]
    edited = await studio.editor(**{network: _altered(sound, name, change)}).edit(request())
    expected = reference_picture(studio.pipeline, [PRIOR, REFERENCE], PROMPT, 5)
    assert departs(edited.pictures[0].numpy(), expected)


async def test_the_comparison_would_notice_that_zero_cond_t_is_ignored(studio: Studio) -> None:
    transformer = studio.pipeline.transformer
    switched_off = build_transformer(zero_cond_t=False)
    switched_off.load_state_dict(transformer.state_dict())
    module = DenoiserGraph(switched_off)

    async def denoise(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return module(*(inputs[tensor.name] for tensor in DENOISER.inputs))

    edited = await studio.editor(denoiser=denoise).edit(request())
    assert transformer.config.zero_cond_t
    assert departs(edited.pictures[0].numpy(), reference_picture(studio.pipeline, [PRIOR, REFERENCE], PROMPT, 5))


async def test_batch_mates_change_nothing_and_large_batches_are_cut(studio: Studio) -> None:
    seeds = tuple(range(100, 121))
    guided = {"negative_prompt": "blurred", "true_cfg_scale": 2.0, "steps": 2}
    editor = studio.editor()
    studio.calls.clear()
    together = await editor.edit(request(recipes=one_seed(*seeds), **guided))
    assert studio.calls["denoiser"] == [16, 5, 16, 5] * 2
    assert studio.calls["vae_decoder"] == [16, 5]
    for row in (15, 16):
        alone = await editor.edit(request(recipes=one_seed(seeds[row]), **guided))
        assert_same_picture(together.pictures[row].numpy(), alone.pictures[0].numpy())
        torch.testing.assert_close(together.latents[row], alone.latents[0], rtol=0, atol=1e-3)
    assert departs(together.pictures[0].numpy(), together.pictures[1].numpy())


async def test_both_branches_of_guidance_have_one_shape(studio: Studio) -> None:
    shapes = []

    async def denoise(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        shapes.append([tuple(inputs[spec.name].shape) for spec in DENOISER.inputs])
        return inputs["latents"]

    long = "make the person smile, " * 6
    await studio.editor(denoiser=denoise).edit(request(prompt=long, negative_prompt=" ", true_cfg_scale=2.0, steps=1))
    assert len(shapes) == 2
    assert shapes[0] == shapes[1]


async def test_a_restart_keeps_something_of_its_picture_and_changes_the_rest(studio: Studio) -> None:
    editor = studio.editor()
    first = await editor.edit(request())
    near, far = [
        await editor.edit(request(recipes=one_seed(6), start=start, latents=first.latents)) for start in (7, 2)
    ]
    other = await editor.edit(request(recipes=one_seed(6)))
    apart = [(one.latents - first.latents).abs().mean() for one in (near, far, other)]
    assert 0 < apart[0] < apart[1] < apart[2]


async def test_conditioning_is_computed_once_for_all_seeds_and_searches(studio: Studio) -> None:
    editor = studio.editor()
    studio.calls.clear()
    for seed in (5, 6):
        await editor.edit(request(recipes=one_seed(seed), steps=1))
    assert studio.calls["text_encoder"] == [1]
    assert studio.calls["vae_encoder"] == [1, 1]
    await editor.edit(request(prompt="make the person look sad", steps=1))
    assert studio.calls["text_encoder"] == [1, 1]
    assert studio.calls["vae_encoder"] == [1, 1]


async def test_a_caller_who_goes_away_stops_the_next_step(studio: Studio) -> None:
    studio.calls.clear()
    with pytest.raises(SamplingCancelled, match="cancelled at step 2 of 8"):
        await studio.editor().edit(request(), lambda: len(studio.calls.get("denoiser", [])) == 2)
    assert studio.calls["denoiser"] == [1, 1]
    assert "vae_decoder" not in studio.calls


async def test_a_prompt_longer_than_the_pipeline_takes_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidInput, match="tokens"):
        await studio.editor().edit(request(prompt="smile " * 2000))
