"""Rotation and attention, each written for what runs it: torch itself, or a graph of ONNX operators."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch.onnx import ops


class Kernels(Protocol):
    """The two operations whose best form depends on what runs them."""

    def rotate(self, x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
        """Rotate pairs of neighboring channels, in FP32, by the angles of their token's position.

        Args:
            x: Queries or keys (batch, heads, tokens, head width).
            rope: (cos, sin) of every pair of channels (batch, tokens, head width / 2, 2).

        Returns:
            Like ``x``.
        """
        ...

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Attend, with scores scaled by the square root of the head width.

        Args:
            query: (batch, heads, queries, head width).
            key, value: (batch, heads, keys, head width).
            bias: Added to the scores (batch, 1, 1, keys): 0, or -inf for a masked key; no row masks all of them.
                None masks none.

        Returns:
            (batch, heads, queries, head width).
        """
        ...


class TorchKernels:
    """See `Kernels`; attention never holds all scores at once: 12,000 tokens have gigabytes of them."""

    def rotate(self, x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
        cos, sin = rope[:, None, :, :, 0], rope[:, None, :, :, 1]
        real, imaginary = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        rotated = torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)
        return rotated.flatten(-2).type_as(x)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


class OnnxKernels:
    """See `Kernels`; standard operators only, which every runtime has.

    Attention is written out. ONNX's own operator gains ONNX Runtime 2 to 5% on a CPU, but wants the bias repeated for
    every query, which costs an engine hundreds of megabytes; TensorRT fuses the product, softmax and product again.
    """

    def rotate(self, x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
        rotated: torch.Tensor = ops.rotary_embedding(x.float(), rope[..., 0], rope[..., 1], interleaved=True)
        return rotated.type_as(x)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(2, 3)
        if bias is not None:
            scores = scores + bias
        return torch.softmax(scores, dim=-1) @ value
