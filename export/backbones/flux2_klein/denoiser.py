"""The denoiser as a network of the contract: its graph, and cases to compare it with diffusers' own forward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from torch import nn

from eacps.models.backbones.flux2_klein.contract import DENOISER
from eacps.models.backbones.flux2_klein.rope import image_rope, text_rope
from eacps.tensors import ModelSpec
from export.backbones.flux2_klein.denoiser_graph import DenoiserGraph
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of


@dataclass(frozen=True)
class DenoiserShape:
    """What varies from evaluation to evaluation.

    Args:
        batch: Candidates.
        text_tokens: Length of the text.
        grids: Rows and columns in tokens of the result, then of each conditioning picture.
    """

    batch: int
    text_tokens: int
    grids: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        sizes = " ".join(f"{rows}x{columns}" for rows, columns in self.grids)
        return f"batch {self.batch}, {self.text_tokens} text tokens, grids {sizes}"


SHAPES = (
    DenoiserShape(1, 17, ((8, 8), (8, 8), (8, 8))),
    DenoiserShape(3, 40, ((6, 4), (8, 8))),
    DenoiserShape(2, 33, ((8, 8), (8, 8), (4, 6), (2, 2))),
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
        "export.backbones.flux2_klein.denoiser_graph",
        "export.networks.attention",
        "eacps.models.backbones.flux2_klein.rope",
    )

    def __init__(self, transformer: Flux2Transformer2DModel, shapes: Sequence[DenoiserShape] = SHAPES) -> None:
        self.transformer, self.shapes = transformer.eval(), shapes

    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module to export."""
        return DenoiserGraph(self.transformer, fused=fused)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(DenoiserShape(2, 11, ((4, 4), (4, 5)))).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own forward."""
        for shape in self.shapes:
            yield self._case(shape)

    @torch.no_grad()
    def _case(self, shape: DenoiserShape) -> ParityCase:
        inputs = self._inputs(shape)
        result, *pictures = shape.grids
        # The pipeline's own positions, of which the tables are ours.
        empty = [torch.zeros(1, 1, *grid) for grid in shape.grids]
        ids = [Flux2KleinPipeline._prepare_latent_ids(empty[0])[0]]
        if pictures:
            ids.append(Flux2KleinPipeline._prepare_image_ids(empty[1:])[0])
        velocity = self.transformer(
            hidden_states=torch.cat([inputs["latents"], inputs["picture_latents"]], dim=1),
            encoder_hidden_states=inputs["encoder_hidden_states"],
            timestep=inputs["timestep"][:, 0],
            img_ids=torch.cat(ids),
            txt_ids=Flux2KleinPipeline._prepare_text_ids(inputs["encoder_hidden_states"])[0],
            return_dict=False,
        )[0]
        return case_of(str(shape), inputs, {"velocity": velocity[:, : prod(result)]})

    def _inputs(self, shape: DenoiserShape) -> dict[str, torch.Tensor]:
        """Draw latents, embeddings and timesteps; the tables are those that the sampler makes."""
        config, batch, text_tokens = self.transformer.config, shape.batch, shape.text_tokens
        generator = torch.Generator().manual_seed(batch * 1000 + text_tokens)
        result, *pictures = shape.grids
        axes, theta = config.axes_dims_rope, config.rope_theta
        latents, seen = prod(result), sum(map(prod, pictures))
        return {
            "latents": torch.randn(batch, latents, config.in_channels, generator=generator),
            "picture_latents": torch.randn(batch, seen, config.in_channels, generator=generator),
            "encoder_hidden_states": torch.randn(batch, text_tokens, config.joint_attention_dim, generator=generator),
            "timestep": torch.rand(batch, 1, generator=generator),
            "img_rope": image_rope(result, pictures, axes, theta).expand(batch, -1, -1, -1),
            "txt_rope": text_rope(text_tokens, axes, theta).expand(batch, -1, -1, -1),
        }
