"""How much of a picture, and of who is in it, survives the autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray

from studio_mini.faces.pack import FacePack
from studio_mini.measure.identity import cosine, embedding

_BATCH = 16


@dataclass(frozen=True)
class VaeFigures:
    """Of held-out pictures: mean PSNR in dB, and mean cosine of the recognizer's embeddings before and after."""

    psnr_db: float
    identity_cosine: float


@torch.no_grad()
def reconstruct(vae: AutoencoderKLQwenImage, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Send pictures uint8 [N, H, W, 3] through the autoencoder (the latents' mode) and back."""
    results = []
    for start in range(0, len(pictures), _BATCH):
        part = torch.from_numpy(np.array(pictures[start : start + _BATCH])).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = vae.encode(part[:, :, None].contiguous()).latent_dist.mode()
        results.append(vae.decode(latents).sample[:, :, 0])
    restored = (torch.cat(results).permute(0, 2, 3, 1) * 127.5 + 127.5).round().clamp(0, 255)
    return np.asarray(restored.to(torch.uint8).numpy())


def psnr_db(pictures: NDArray[np.uint8], restored: NDArray[np.uint8]) -> float:
    """Mean over pictures uint8 [N, H, W, 3] of the PSNR in dB."""
    error = np.square(pictures.astype(np.float64) - restored).mean(axis=(1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-9))))


def vae_figures(pack: FacePack | None, pictures: NDArray[np.uint8], restored: NDArray[np.uint8]) -> VaeFigures:
    """Measure clean pictures against their reconstructions, uint8 [N, 128, 128, 3]; cosine NaN without a pack."""
    if pack is None:
        return VaeFigures(psnr_db(pictures, restored), float("nan"))
    cosines = [
        cosine(embedding(pack, before), embedding(pack, after))
        for before, after in zip(pictures, restored, strict=True)
    ]
    return VaeFigures(psnr_db(pictures, restored), float(np.mean(cosines)))
