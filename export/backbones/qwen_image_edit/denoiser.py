"""The denoiser as a network of the contract: its graph, and cases to compare it with diffusers' own forward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from diffusers import QwenImageTransformer2DModel
from torch import nn

from eacps.models.backbones.qwen_image_edit.contract import DENOISER
from eacps.tensors import ModelSpec
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of


@dataclass(frozen=True)
class DenoiserShape:
    """What varies from evaluation to evaluation.

    Args:
        batch: Candidates.
        text_tokens: Length of the padded text.
        grids: Packed height and width of the noisy latents, then of each conditioning picture.
        padding: Item k has ``k * padding`` masked text tokens.
    """

    batch: int
    text_tokens: int
    grids: tuple[tuple[int, int], ...]
    padding: int = 0

    def __str__(self) -> str:
        sizes = " ".join(f"{rows}x{columns}" for rows, columns in self.grids)
        return f"batch {self.batch}, {self.text_tokens} text tokens, grids {sizes}, padding {self.padding}"


# Batch, text length, resolution and number of pictures, with and without padded text.
SHAPES = (
    DenoiserShape(1, 17, ((8, 8), (8, 8), (8, 8))),
    DenoiserShape(3, 40, ((6, 4), (8, 8)), padding=7),
    DenoiserShape(2, 33, ((8, 8), (8, 8), (4, 6), (2, 2)), padding=2),
)


class DenoiserNetwork(TorchNetwork):
    """The exportable denoiser of a checkpoint.

    Args:
        transformer: In FP32.
        shapes: Of the parity cases.
    """

    spec: ModelSpec = DENOISER
    opset = 23  # the first with rotary embedding and RMS norm as operators
    code = (
        "export.backbones.qwen_image_edit.denoiser_graph",
        "export.backbones.qwen_image_edit.denoiser_block",
        "export.networks.attention",
    )

    def __init__(self, transformer: QwenImageTransformer2DModel, shapes: Sequence[DenoiserShape] = SHAPES) -> None:
        self.transformer, self.shapes = transformer.eval(), shapes

    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module to export."""
        return DenoiserGraph(self.transformer, fused=fused)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(DenoiserShape(2, 11, ((4, 4), (4, 4)), padding=1)).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own forward."""
        for shape in self.shapes:
            yield self._case(shape)

    @torch.no_grad()
    def _case(self, shape: DenoiserShape) -> ParityCase:
        shapes = [(1, *grid) for grid in shape.grids]
        inputs = self._inputs(shape)
        mask = inputs["encoder_hidden_states_mask"]
        velocity = self.transformer(
            hidden_states=torch.cat([inputs["latents"], inputs["picture_latents"]], dim=1),
            encoder_hidden_states=inputs["encoder_hidden_states"],
            # The pipeline leaves the mask out where all tokens count.
            encoder_hidden_states_mask=None if mask.all() else mask,
            timestep=inputs["timestep"][:, 0],
            img_shapes=[shapes] * shape.batch,
            return_dict=False,
        )[0]
        # The original also computes a velocity for the pictures, which the pipeline discards.
        return case_of(str(shape), inputs, {"velocity": velocity[:, : prod(shape.grids[0])]})

    def _inputs(self, shape: DenoiserShape) -> dict[str, torch.Tensor]:
        """Draw latents, embeddings and timesteps; make mask and tables as the original has them."""
        config, batch, text_tokens = self.transformer.config, shape.batch, shape.text_tokens
        generator = torch.Generator().manual_seed(batch * 1000 + text_tokens)
        mask = torch.ones(batch, text_tokens, dtype=torch.bool)
        for item in range(batch):
            mask[item, text_tokens - item * shape.padding :] = False
        tables = self.transformer.pos_embed([[(1, *grid) for grid in shape.grids]], max_txt_seq_len=text_tokens)
        img_rope, txt_rope = (torch.view_as_real(table).expand(batch, -1, -1, -1) for table in tables)
        result_tokens, *picture_tokens = map(prod, shape.grids)
        return {
            "latents": torch.randn(batch, result_tokens, config.in_channels, generator=generator),
            "picture_latents": torch.randn(batch, sum(picture_tokens), config.in_channels, generator=generator),
            "encoder_hidden_states": torch.randn(batch, text_tokens, config.joint_attention_dim, generator=generator),
            "encoder_hidden_states_mask": mask,
            "timestep": torch.rand(batch, 1, generator=generator),
            "img_rope": img_rope,
            "txt_rope": txt_rope,
        }
