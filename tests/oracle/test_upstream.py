"""Watches a defect of diffusers that the oracle works around."""

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPlusPipeline
from PIL import Image

from export.backbones.qwen_image_edit.checkpoint import encode_prompt
from tests.models.studio import picture

UPSTREAM = "huggingface/diffusers#14194"


@torch.no_grad()
def test_diffusers_still_drops_the_type_of_picture_tokens(pipeline: QwenImageEditPlusPipeline) -> None:
    """When this fails, diffusers places picture tokens rightly: let the oracle encode its own prompts."""
    shown = [Image.fromarray(picture(1))]
    theirs, _ = pipeline.encode_prompt("make the person smile", image=shown)
    ours, _ = encode_prompt(pipeline, shown, "make the person smile")
    assert theirs.shape == ours.shape
    if np.allclose(theirs.numpy(), ours.numpy(), atol=1e-5):
        pytest.fail(f"{UPSTREAM} is mended: encode_prompt in export/checkpoint.py is no longer needed")
