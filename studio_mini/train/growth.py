"""More layers for a finished denoiser: it goes on from what it knows, since new blocks change nothing at first.

A new block is a copy of the one before it whose output projections are zero (block expansion, Wu et al. 2024,
"LLaMA Pro"): tokens pass through unchanged until training moves the projections.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import QwenImageTransformer2DModel
from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformerBlock
from torch import nn


def grown(model: QwenImageTransformer2DModel, layers: int) -> QwenImageTransformer2DModel:
    """Return ``model`` with ``layers`` blocks, the new ones spread evenly; its answers stay the same.

    Args:
        model: Finished weights. Not modified.
        layers: Blocks of the result, at least as many as ``model`` has.

    Raises:
        ValueError: ``model`` has more blocks than ``layers``.
    """
    known = list(model.transformer_blocks)
    if layers < len(known):
        raise ValueError(f"a denoiser of {len(known)} layers cannot have {layers}")
    config = dict(model.config) | {"num_layers": layers}
    larger = QwenImageTransformer2DModel.from_config(config).to(model.device, model.dtype)
    others = {name: value for name, value in model.state_dict().items() if not name.startswith("transformer_blocks.")}
    larger.load_state_dict(others, strict=False)
    source = _sources(len(known), layers)
    for number, block in enumerate(larger.transformer_blocks):
        block.load_state_dict(known[source[number]].state_dict())
        if number > 0 and source[number] == source[number - 1]:
            _silence(block)
    return larger.train(model.training)


def _sources(known: int, layers: int) -> list[int]:
    """Number of the known block that each block of the result is a copy of; repeats are the new ones."""
    extra = np.linspace(0, known - 1, layers - known + 2)[1:-1].round().astype(int).tolist()
    return sorted([*range(known), *extra])


@torch.no_grad()
def _silence(block: QwenImageTransformerBlock) -> None:
    """Set the output projections to zero: attention and feed-forward of pictures and words."""
    outputs = (block.attn.to_out[0], block.attn.to_add_out, block.img_mlp.net[2], block.txt_mlp.net[2])
    for projection in outputs:
        nn.init.zeros_(projection.weight)
        nn.init.zeros_(projection.bias)
