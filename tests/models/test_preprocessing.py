import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from eacps.models.backbones.qwen_image_edit.config import VisionConfig
from eacps.models.backbones.qwen_image_edit.preprocessing import condition_patches, fitted_size, vae_picture
from eacps.models.pixels import to_uint8
from tests.models.studio import picture

SIZES = [(128, 128), (96, 160), (208, 112), (64, 64), (720, 1280)]


def _processor(patch_size: int, bounds: tuple[int, int]) -> tuple[Qwen2VLImageProcessorPil, VisionConfig]:
    size = {"shortest_edge": bounds[0], "longest_edge": bounds[1]}
    theirs = Qwen2VLImageProcessorPil(patch_size=patch_size, merge_size=2, temporal_patch_size=2, size=size)
    ours = VisionConfig(
        patch_size=patch_size,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=tuple(theirs.image_mean),
        image_std=tuple(theirs.image_std),
        min_pixels=bounds[0],
        max_pixels=bounds[1],
        window_size=8 * patch_size,
        head_width=16,
        rope_theta=10000.0,
    )
    return theirs, ours


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("area", [128 * 128, 384 * 384])
@pytest.mark.parametrize(
    ("patch_size", "bounds"), [(16, (1024, 1 << 20)), (14, (56 * 56, 28 * 28 * 1280)), (14, (300_000, 400_000))]
)
def test_patches_are_those_of_the_library(
    height: int, width: int, area: int, patch_size: int, bounds: tuple[int, int]
) -> None:
    theirs, vision = _processor(patch_size, bounds)
    shown = picture(5, height, width)
    fitted_width, fitted_height = calculate_dimensions(area, width / height)
    fitted = VaeImageProcessor(vae_scale_factor=16).resize(Image.fromarray(shown), fitted_height, fitted_width)
    expected = theirs(images=[fitted], return_tensors="pt")
    ours = condition_patches(shown, area, vision)
    assert [1, ours.rows, ours.columns] == expected["image_grid_thw"][0].tolist()
    torch.testing.assert_close(ours.values, expected["pixel_values"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_vae_pictures_are_those_of_the_pipeline(height: int, width: int) -> None:
    shown = picture(6, height, width)
    size = fitted_size(256 * 256, height, width)
    assert size[::-1] == calculate_dimensions(256 * 256, width / height)
    theirs = VaeImageProcessor(vae_scale_factor=16).preprocess(Image.fromarray(shown), *size)
    assert torch.equal(vae_picture(shown, size), theirs[0])


def test_delivered_pixels_are_those_of_the_pipeline() -> None:
    decoded = torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(1))
    theirs = VaeImageProcessor().postprocess(decoded, output_type="pil")
    for ours, one in zip(to_uint8(decoded).numpy(), theirs, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(one))
