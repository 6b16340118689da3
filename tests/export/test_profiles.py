"""Buckets and the profiles that engines are built with: of the published checkpoint's sizes, without its weights."""

from __future__ import annotations

import pytest

from eacps.models.backbones.qwen_image_edit.config import Config, VisionConfig
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, NETWORKS
from eacps.models.checkpoint_config import Guidance, ScheduleConfig, ServedShapes
from export.backbones.qwen_image_edit.shapes import QwenShapes
from export.buckets import Bucket, buckets_for
from export.profiles import FACE_NETWORKS, ProfileMaker

TEXT_CHANNELS = 3584
FULL_SIZE = buckets_for(1024, 3, picture_tokens=lambda _: 196)
CONFIG = Config(
    name="Qwen-Image-Edit-2511",
    version="1f",
    vae_scale=8,
    latent_depth=16,
    patch_size=2,
    guidance=Guidance.TRUE_CFG,
    condition_image_area=384 * 384,
    vae_image_area=1024 * 1024,
    default_steps=40,
    rope_axes=(16, 56, 56),
    rope_theta=10000,
    edit_template="{}",
    template_tokens=64,
    vision=VisionConfig(
        patch_size=14,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.3, 0.3, 0.3),
        min_pixels=3136,
        max_pixels=12845056,
        window_size=112,
        head_width=80,
        rope_theta=10000.0,
    ),
    schedule=ScheduleConfig(),
    shapes=ServedShapes(FULL_SIZE.sizes, FULL_SIZE.texts, FULL_SIZE.max_batch, fixed=True),
)
QWEN = QwenShapes(CONFIG, FULL_SIZE, TEXT_CHANNELS)
MAKER = ProfileMaker(QWEN, 640)


def test_the_denoiser_has_a_profile_for_each_bucket() -> None:
    profiles = MAKER.profiles(DENOISER)
    assert len(profiles) == len(list(FULL_SIZE)) == 24
    first = profiles[0]
    assert first.least["latents"] == first.least["picture_latents"] == (1, 4096, 64)
    assert first.largest["latents"] == (4, 4096, 64)
    assert first.least["img_rope"] == (1, 8192, 64, 2)
    assert first.least["txt_rope"] == (1, 320, 64, 2)


def test_a_small_result_sees_its_pictures_at_the_pipelines_own_area() -> None:
    shapes = QWEN.denoiser_shapes(Bucket((512, 512), 2, 512))
    assert shapes["latents"] == (32 * 32, 64)
    assert shapes["picture_latents"] == (2 * 64 * 64, 64)
    assert shapes["img_rope"] == (32 * 32 + 2 * 64 * 64, 64, 2)


@pytest.mark.parametrize("spec", [*FACE_NETWORKS, *NETWORKS], ids=lambda s: s.name)
def test_every_input_of_every_network_has_its_shapes(spec) -> None:  # type: ignore[no-untyped-def]
    for profile in MAKER.profiles(spec):
        for shapes in (profile.least, profile.usual, profile.largest):
            assert set(shapes) == {tensor.name for tensor in spec.inputs}
            for tensor in spec.inputs:
                axes = ("batch", *tensor.axes) if spec.max_batch_size else tensor.axes
                assert len(shapes[tensor.name]) == len(axes)
                fixed = [(got, axis) for got, axis in zip(shapes[tensor.name], axes, strict=True) if axis != got]
                assert all(isinstance(axis, str) for _, axis in fixed)
        for name, least in profile.least.items():
            for low, usual, high in zip(least, profile.usual[name], profile.largest[name], strict=True):
                assert low <= usual <= high


def test_texts_have_room_for_their_pictures_and_a_prompt() -> None:
    assert FULL_SIZE.texts == ((1, 320), (1, 832), (2, 512), (2, 1024), (3, 704), (3, 1216))


def test_buckets_follow_what_is_asked_for() -> None:
    assert (FULL_SIZE.sizes[0], FULL_SIZE.max_batch) == ((1024, 1024), 4)
    assert buckets_for(128, 3, picture_tokens=lambda _: 16).sizes == ((128, 128),)
    one = buckets_for(1024, 1, picture_tokens=lambda _: 1369)
    assert (one.max_pictures, one.texts) == (1, ((1, 1472), (1, 1984)))
    asked = buckets_for(1024, 3, sizes=((768, 512),), pictures=2, batch=1, picture_tokens=lambda size: size[0])
    assert (asked.max_batch, asked.texts[0]) == (1, (1, 896))
    with pytest.raises(ValueError, match="takes 1 to 3 pictures"):
        buckets_for(1024, 3, pictures=4, picture_tokens=lambda _: 196)
    with pytest.raises(ValueError, match="a batch is 1 to 16"):
        buckets_for(1024, 3, batch=17, picture_tokens=lambda _: 196)
