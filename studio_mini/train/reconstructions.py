"""Pictures as they look after the autoencoder: what every generated picture has been through.

Networks that only know drawings take the autoencoder's softness for a property of the person, or for damage.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray
from rich.progress import track

from studio_mini.measure.vae import reconstruct

EVERY: Final = 3
_BATCH: Final = 48


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """Every third picture of a list, through the autoencoder: ``pictures`` uint8 [ceil(N / 3), H, W, 3]."""

    pictures: NDArray[np.uint8]

    def get(self, index: int) -> NDArray[np.uint8] | None:
        """Return the reconstruction of picture ``index`` of the list, None where there is none."""
        place, rest = divmod(index, EVERY)
        return None if rest else np.array(self.pictures[place])


def reconstructions(build_dir: Path, name: str, pictures: NDArray[np.uint8], checkpoint: Path) -> Reconstructions:
    """Pass every third of ``pictures`` [N, H, W, 3] through the checkpoint's autoencoder, or open the result of before.

    Args:
        build_dir: Keeps the result under ``name`` and a digest of the autoencoder's weights.
        name: Of the list of pictures; another list needs another name.
        pictures: RGB.
        checkpoint: Holds ``vae``.
    """
    weights = (checkpoint / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
    path = build_dir / "reconstructions" / f"{name}_{hashlib.sha256(weights).hexdigest()[:12]}.npy"
    if not path.exists():
        vae = AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae").float().eval()
        chosen = range(0, len(pictures), EVERY)
        parts = [
            _through(vae, np.stack([pictures[k] for k in chosen[start : start + _BATCH]]))
            for start in track(range(0, len(chosen), _BATCH), "through the autoencoder")
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(parts))
        partial.replace(path)
    return Reconstructions(np.load(path, mmap_mode="r"))


@torch.no_grad()
def _through(vae: AutoencoderKLQwenImage, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return reconstruct(vae, pictures)
