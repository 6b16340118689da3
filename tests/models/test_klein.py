"""FLUX.2 klein against diffusers' own pipelines, with the checkpoint's modules in place of Triton's networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from PIL import Image

from eacps.models.backbones.flux2_klein.pictures import MAX_AREA, seen_picture, seen_size
from eacps.models.checkpoint_config import Guidance
from eacps.models.failures import InvalidInput
from eacps.models.mask import composite, feathered
from eacps.models.networks import Network
from eacps.models.noise import eps
from eacps.models.request import EditRequest, parse_edit
from tests.models.klein import SIDE, STEPS, Klein
from tests.models.studio import picture
from tests.oracle.reference import assert_same_picture, departs

PROMPT = "make the person smile"
SHOWN = [picture(number, SIDE, SIDE) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def klein(klein_checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Klein:
    return Klein.of(klein_checkpoint_dir, tmp_path_factory.mktemp("assets") / "assets")


def one_seed(*seeds: int) -> tuple[tuple[tuple[int, float], ...], ...]:
    return tuple(((seed, 1.0),) for seed in seeds)


def request(**changed: Any) -> EditRequest:
    settings: dict[str, Any] = {
        "pictures": np.stack(SHOWN[:1]),
        "scene": None,
        "edit_mask": None,
        "prompt": PROMPT,
        "negative_prompt": None,
        "true_cfg_scale": 1.0,
        "recipes": one_seed(5),
        "steps": STEPS,
        "start": 0,
        "latents": None,
    }
    return EditRequest(**(settings | changed))


@pytest.mark.parametrize("pictures", [1, 2, 3])
async def test_a_picture_is_the_pipelines(klein: Klein, pictures: int) -> None:
    edited = await klein.editor().edit(request(pictures=np.stack(SHOWN[:pictures])))
    expected = klein.reference(SHOWN[:pictures], PROMPT, 5)
    assert_same_picture(edited.pictures[0].numpy(), expected)
    assert departs(edited.pictures[0].numpy(), klein.reference(SHOWN[:pictures], "look sad", 5))


async def test_every_input_of_the_denoiser_shows_in_the_picture(klein: Klein) -> None:
    """Or else the comparisons would not notice what is wrong with one."""
    sound, expected = klein.networks()["denoiser"], klein.reference(SHOWN[:2], PROMPT, 5)

    def altered(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Network:
        async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            return await sound({**inputs, name: change(inputs[name])})

        return call

    defects: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "picture_latents": torch.zeros_like,
        "encoder_hidden_states": lambda text: torch.roll(text, 1, 1),
        "timestep": lambda timestep: 0.9 * timestep,
        "img_rope": lambda rope: rope[:, :16].repeat(1, 3, 1, 1),
        "txt_rope": lambda rope: torch.roll(rope, 3, 1),
    }
    for name, change in defects.items():
        edited = await klein.editor(denoiser=altered(name, change)).edit(request(pictures=np.stack(SHOWN[:2])))
        assert departs(edited.pictures[0].numpy(), expected), name


async def test_batch_mates_change_nothing_and_large_batches_are_cut(klein: Klein) -> None:
    klein.calls.clear()
    editor = klein.editor()
    together = await editor.edit(request(recipes=one_seed(5, 6, 7, 8, 9)))
    assert klein.calls["denoiser"] == [4, 1] * STEPS
    assert klein.calls["text_encoder"] == [1]
    for row in (0, 4):
        assert_same_picture(together.pictures[row].numpy(), klein.reference(SHOWN[:1], PROMPT, 5 + row))


@pytest.mark.parametrize("reference", [False, True])
async def test_a_masked_picture_is_the_inpainting_pipelines(klein: Klein, reference: bool) -> None:
    scene, mask = picture(7, SIDE, SIDE), np.zeros((SIDE, SIDE), np.uint8)
    mask[9:50, 21:60] = 255
    shown = [scene, SHOWN[1]] if reference else [scene]
    edited = await klein.editor().edit(request(pictures=np.stack(shown), scene=scene, edit_mask=mask))
    theirs = klein.inpainted(scene, mask, PROMPT, 5, SHOWN[1] if reference else None)
    expected = composite(scene, torch.from_numpy(theirs)[None], feathered(mask))[0].numpy()
    assert_same_picture(edited.pictures[0].numpy(), expected)
    unmasked = await klein.editor().edit(request(pictures=np.stack(shown)))
    assert departs(edited.pictures[0].numpy()[mask > 0], unmasked.pictures[0].numpy()[mask > 0])


@pytest.mark.parametrize("masked", [False, True])
async def test_a_restart_keeps_something_of_its_picture_and_changes_the_rest(klein: Klein, masked: bool) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[9:50, 21:60] = 255
    kept = {"scene": SHOWN[2], "edit_mask": mask} if masked else {}
    editor = klein.editor()
    first = await editor.edit(request(**kept))
    near, far = [
        await editor.edit(request(recipes=one_seed(6), start=start, latents=first.latents, **kept))
        for start in (STEPS - 1, 1)
    ]
    other = await editor.edit(request(recipes=one_seed(6), **kept))
    apart = [(one.latents - first.latents).abs().mean() for one in (near, far, other)]
    assert 0 < apart[0] < apart[1] < apart[2]


async def test_a_base_checkpoint_is_guided_as_the_pipeline_does(klein: Klein) -> None:
    pipeline = klein.pipeline
    base = Klein(
        type(pipeline)(**pipeline.components, is_distilled=False),
        dataclasses.replace(klein.config, guidance=Guidance.TRUE_CFG),
        klein.assets,
        {},
    )
    base.pipeline.set_progress_bar_config(disable=True)
    edited = await base.editor().edit(request(negative_prompt=" ", true_cfg_scale=4.0))
    expected = base.reference(SHOWN[:1], PROMPT, 5, guidance_scale=4.0)
    assert_same_picture(edited.pictures[0].numpy(), expected)
    assert departs(expected, klein.reference(SHOWN[:1], PROMPT, 5))


def test_a_distilled_checkpoint_refuses_a_negative_prompt(klein: Klein) -> None:
    arrays = {
        "pictures": np.stack(SHOWN[:1]),
        "prompt": np.frombuffer(PROMPT.encode(), np.uint8),
        "negative_prompt": np.frombuffer(b"blurred", np.uint8),
        "true_cfg_scale": np.array([4.0], np.float32),
        "seeds": np.array([[5]], np.uint32),
        "coefficients": np.ones((1, 1), np.float32),
        **{name: np.array([value], np.int32) for name, value in (("steps", 4), ("start_step", 0))},
    }
    with pytest.raises(InvalidInput, match="negative_prompt: cannot guide this checkpoint"):
        parse_edit(arrays, klein.backbone())
    assert not parse_edit(arrays | {"true_cfg_scale": np.ones(1, np.float32)}, klein.backbone()).guided


async def test_a_prompt_that_the_pipeline_would_cut_is_refused(klein: Klein) -> None:
    with pytest.raises(InvalidInput, match="at most 48 fit"):
        await klein.editor().edit(request(prompt="smile " * 60))


def test_noise_and_schedule_are_the_pipelines(klein: Klein) -> None:
    generator = torch.Generator("cpu").manual_seed(4_000_000_000)
    theirs, _ = klein.pipeline.prepare_latents(1, 8, 96, 64, torch.float32, torch.device("cpu"), generator)
    assert torch.equal(eps(4_000_000_000, klein.config.noise_shape(96, 64)), theirs[0])
    for steps, tokens in ((1, 16), (4, 16), (4, 4096), (50, 4096), (30, 6000)):
        mu = compute_empirical_mu(tokens, steps)
        klein.pipeline.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        ours = klein.backbone().schedule(steps, tokens)
        torch.testing.assert_close(ours.sigmas, klein.pipeline.scheduler.sigmas, rtol=0, atol=2e-7)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (1024, 1024), (1248, 1040), (2000, 1500)])
def test_pictures_are_seen_as_the_pipeline_sees_them(height: int, width: int) -> None:
    shown, processor = picture(6, height, width), Flux2ImageProcessor(vae_scale_factor=16)
    theirs = Image.fromarray(shown)
    if height * width > MAX_AREA:
        theirs = processor._resize_to_target_area(theirs, MAX_AREA)
    rows, columns = seen_size(height, width, 16)
    assert (rows, columns) == (theirs.height // 16 * 16, theirs.width // 16 * 16)
    assert torch.equal(seen_picture(shown, 16), processor.preprocess(theirs, rows, columns, resize_mode="crop")[0])
