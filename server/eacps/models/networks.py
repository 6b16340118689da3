"""The four networks as the models' code sees them: asynchronous functions over torch tensors.

Inside Triton each is a call to the model of that name (`bls.py`); in tests they are the checkpoint's own modules.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

# Inputs by name, batch axis first, as in `eacps.tensors`; gives the network's only output.
Network = Callable[[Mapping[str, torch.Tensor]], Awaitable[torch.Tensor]]


@dataclass(frozen=True)
class Networks:
    """What an edit needs: ``tensors.DENOISER``, ``TEXT_ENCODER``, ``VAE_ENCODER`` and ``VAE_DECODER``."""

    denoise: Network
    encode_text: Network
    encode_vae: Network
    decode_vae: Network


def chunks(count: int, size: int) -> Sequence[slice]:
    """Cut ``count`` rows into runs of at most ``size``."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
