"""In which precision a network computes: FP32, or BF16 with every normalization in FP32.

FP16 is not offered: the transformer's activations exceed its range. A strongly typed engine computes as its graph is
typed, so the types are made here, once, for every target.
"""

from __future__ import annotations

import copy
from enum import StrEnum
from typing import TypeVar

import torch
from diffusers.models.normalization import RMSNorm
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, RMSNorm, Qwen2_5_VLRMSNorm, Qwen3RMSNorm)

_Module = TypeVar("_Module", bound=nn.Module)


class Precision(StrEnum):
    """Precision of a network's weights and activations; its inputs and outputs are FP32 always."""

    FP32 = "fp32"
    BF16 = "bf16"


class Float32Norm(nn.Module):
    """A normalization computed in FP32 whatever comes in."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize and return to the precision of ``x``."""
        normalized: torch.Tensor = self.norm(x.float())
        return normalized.to(x.dtype)


def at_precision(module: _Module, precision: Precision) -> _Module:
    """Return ``module`` itself for FP32, else a copy with BF16 weights whose norms compute in FP32."""
    if precision is Precision.FP32:
        return module
    # Copied weight by weight in the new type: the FP32 weights are not held twice.
    weights = {id(weight): weight.to(torch.bfloat16) for weight in module.parameters()}
    for norm in _norms(module):
        weights |= {id(weight): weight.float() for weight in norm.parameters()}
    memo: dict[int, object] = {}
    for weight in module.parameters():
        made = weights[id(weight)]
        memo[id(weight)] = weight if made is weight else nn.Parameter(made.detach(), requires_grad=False)
    rounded = copy.deepcopy(module, memo=memo)
    for parent in list(rounded.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, NORMS) and not isinstance(parent, Float32Norm):
                setattr(parent, name, Float32Norm(child))
    return rounded


def _norms(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, NORMS)]
