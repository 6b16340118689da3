"""Muon for the matrices inside blocks, AdamW for everything else.

Muon (Jordan et al. 2024) steps along the orthogonalised momentum; on networks of this size it needs fewer steps than
AdamW for the same loss. Embeddings, input and output projections, biases and norms stay with AdamW, as its authors
advise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_BLOCKS = (".layers.", ".blocks.", "transformer_blocks.")


class MuonAdamW:
    """The two optimisers as one; rates are set before every step."""

    def __init__(self, module: nn.Module, *, muon_rate: float, adam_rate: float, weight_decay: float) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        inner = [p for name, p in named if p.ndim == 2 and any(block in name for block in _BLOCKS)]
        taken = {id(p) for p in inner}
        self._peaks = (muon_rate, adam_rate)
        self._muon = torch.optim.Muon(inner, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._adam = torch.optim.AdamW([p for _, p in named if id(p) not in taken], betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, scale: float) -> None:
        """Update all parameters at ``scale`` times the peak rates, then clear the gradients."""
        for optimizer, peak in zip((self._muon, self._adam), self._peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = scale * peak
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """State of both."""
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._muon.load_state_dict(state["muon"])
        self._adam.load_state_dict(state["adam"])
