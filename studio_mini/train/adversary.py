"""An adversary of the denoiser: small networks that tell decoded pictures of its own from decoded truths.

Losses of pixels are content with smears; what a discriminator is not fooled by is a whole mouth and two eyes alike. The
truths go through the autoencoder as well, so that what it loses tells nothing. Each picture is compared with the truth
of the same task (a relativistic pairing, Jolicoeur-Martineau 2019), since tasks differ more than pictures of one do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from studio_mini.train.memory_format import channels_last

RATE = 4e-4
WIDTHS = (24, 48, 96, 96)


class Discriminator(nn.Module):
    """Logits of overlapping patches, 78 pixels wide, of pictures (batch, 3, H, W) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.stages = nn.ModuleList(spectral_norm(nn.Conv2d(one, other, 4, 2, 1)) for one, other in sizes)
        self.head = spectral_norm(nn.Conv2d(WIDTHS[-1], 1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits (batch, 1, H/16, W/16) and the activations of every stage."""
        x = pictures.contiguous(memory_format=torch.channels_last)
        activations = [x := F.leaky_relu(stage(x), 0.2) for stage in self.stages]
        return self.head(x).float(), activations


class Adversary(nn.Module):
    """One discriminator a view (aligned face, whole picture) with their optimizer.

    Args:
        views: Names of the views.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, views: tuple[str, ...], device: str) -> None:
        super().__init__()
        self.views = channels_last(nn.ModuleDict({name: Discriminator() for name in views})).to(device)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=RATE, betas=(0.0, 0.99))
        self.requires_grad_(False)

    def terms(self, made: dict[str, Tensor], truths: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what the denoiser pays, each a mean over views: for being told apart, and for other activations.

        Args:
            made: Its pictures by view, with gradient.
            truths: The decoded truths of the same tasks, seen alike.
        """
        losses, features = [], []
        for name, network in self.views.items():
            made_logits, made_activations = network(made[name])
            with torch.no_grad():
                true_logits, true_activations = network(truths[name])
            losses.append(F.softplus(true_logits - made_logits).mean())
            pairs = zip(made_activations[1:], true_activations[1:], strict=True)
            features += [F.l1_loss(one.float(), other.float()) / other.float().abs().mean() for one, other in pairs]
        return {"adversary": torch.stack(losses).mean(), "features": torch.stack(features).mean()}

    def learn(self, made: dict[str, Tensor], truths: dict[str, Tensor]) -> Tensor:
        """Take one step at telling ``made`` from ``truths``; return the loss before it, ln 2 where it cannot."""
        self.requires_grad_(True)
        losses = []
        for name, network in self.views.items():
            logits, _ = network(torch.cat([made[name].detach(), truths[name]]))
            made_logits, true_logits = logits.chunk(2)
            losses.append(F.softplus(made_logits - true_logits).mean())
        loss = torch.stack(losses).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.requires_grad_(False)
        return loss.detach()
