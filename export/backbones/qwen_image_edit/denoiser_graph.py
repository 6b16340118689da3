"""The diffusion transformer of Qwen-Image-Edit, written for export.

``QwenImageTransformer2DModel`` computes the same, but rotates with complex numbers, which ONNX lacks, freezes the
pictures' sizes into its tables, and computes a velocity for the conditioning pictures, too, which nobody asks for.
Here rotary tables are inputs, so one graph serves every batch, text length, resolution and number of pictures.

In checkpoints with ``zero_cond_t`` (Edit-2511) pictures are modulated as at timestep 0: constants of the graph. In the
others (Edit-2509) they are modulated as the result is.
"""

from __future__ import annotations

import torch
from diffusers import QwenImageTransformer2DModel
from torch import nn

from export.backbones.qwen_image_edit.denoiser_block import (
    Block,
    JointSequence,
    LastBlock,
    Tokens,
    as_torch_norm,
    parts,
)
from export.networks.attention import Kernels, OnnxKernels, TorchKernels


class DenoiserGraph(nn.Module):
    """One velocity evaluation; arguments in the contract's order. The transformer itself is not changed.

    Args:
        transformer: Whose weights are used.
        fused: For torch itself rather than for a graph of ONNX; see `export.networks.attention`.

    Raises:
        ValueError: The transformer has inputs that the contract lacks.
    """

    def __init__(self, transformer: QwenImageTransformer2DModel, *, fused: bool = False) -> None:
        super().__init__()
        config = transformer.config
        if config.use_additional_t_cond or config.guidance_embeds:
            raise ValueError("guidance embeddings and additional time conditions are not part of the contract")
        kernels: Kernels = TorchKernels() if fused else OnnxKernels()
        self.image_in, self.text_in = transformer.img_in, transformer.txt_in
        self.text_norm = as_torch_norm(transformer.txt_norm)
        self.embed_timestep = transformer.time_text_embed
        *blocks, last = zip(transformer.transformer_blocks, picture_modulations(transformer), strict=True)
        self.blocks = nn.ModuleList(Block(*block, kernels) for block in blocks)
        self.last_block = LastBlock(*last, kernels)
        final = transformer.norm_out
        self.final_norm, self.final_modulate = final.norm, nn.Sequential(final.silu, final.linear)
        self.final_projection = transformer.proj_out

    def forward(
        self,
        latents: torch.Tensor,
        picture_latents: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_hidden_states_mask: torch.Tensor,
        timestep: torch.Tensor,
        img_rope: torch.Tensor,
        txt_rope: torch.Tensor,
    ) -> torch.Tensor:
        """Return the velocity of ``latents``, FP32 and of their shape; see ``DENOISER`` in the contract."""
        dtype = self.image_in.weight.dtype
        tokens = Tokens(
            text=self.text_in(self.text_norm(encoder_hidden_states.to(dtype))),
            result=self.image_in(latents.to(dtype)),
            pictures=self.image_in(picture_latents.to(dtype)),
        )
        conditioning = self.embed_timestep(timestep[:, 0].to(dtype), tokens.result)
        # Image tokens may all be attended to, so no row of scores is masked as a whole.
        keys = torch.cat([encoder_hidden_states_mask, torch.ones_like(img_rope[:, :, 0, 0], dtype=torch.bool)], dim=1)
        joint = JointSequence(
            rope=torch.cat([txt_rope, img_rope], dim=1),
            bias=torch.zeros_like(keys, dtype=dtype).masked_fill(~keys, float("-inf"))[:, None, None],
            text=tokens.text.shape[1],
            result=tokens.result.shape[1],
        )
        for block in self.blocks:
            tokens = block(tokens, conditioning, joint)
        result = self.last_block(tokens, conditioning, joint)
        scale, shift = parts(self.final_modulate(conditioning), 2)
        velocity: torch.Tensor = self.final_projection(self.final_norm(result) * (1 + scale) + shift)
        return velocity.float()


@torch.no_grad()
def picture_modulations(transformer: QwenImageTransformer2DModel) -> list[nn.Parameter | None]:
    """Compute how each block modulates the pictures with ``zero_cond_t``: as at timestep 0; else None."""
    blocks = transformer.transformer_blocks
    if not transformer.config.zero_cond_t:
        return [None] * len(blocks)
    zero = transformer.img_in.weight.new_zeros(1)
    conditioning = transformer.time_text_embed(zero, zero)
    return [nn.Parameter(block.img_mod(conditioning), requires_grad=False) for block in blocks]
