"""Contract 1 at the sampler: from recipes to noise.

``eps(seed)`` is what diffusers' ``prepare_latents`` draws for ``torch.Generator("cpu").manual_seed(seed)``, so the
recipe of one seed starts from the noise a plain user of diffusers gets for that seed. It is drawn on the CPU whatever
the device of the networks, for generators of other devices draw otherwise.
"""

from collections.abc import Iterable

import torch

from eacps.models.checkpoint_config import NoiseShape
from eacps.models.latents import pack

NOISE_VERSION = "torch-cpu-packed-1"


def eps(seed: int, shape: NoiseShape) -> torch.Tensor:
    """Draw the packed noise of one seed.

    Args:
        seed: In [0, 2**32).
        shape: Of the noise.

    Returns:
        FP32 [tokens, channels].
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    # Some pipelines keep a frame axis ahead of the channels; the order of the values is the same.
    drawn = torch.randn((1, shape.depth, shape.height, shape.width), generator=generator, dtype=torch.float32)
    return pack(drawn, shape.patch)[0]


def recipe_noise(recipes: Iterable[Iterable[tuple[int, float]]], shape: NoiseShape) -> torch.Tensor:
    """Add up each recipe's noise, ``z = sum of c_i eps(s_i)``, in FP32 and in ascending order of the seeds.

    Args:
        recipes: For each candidate its (seed, coefficient) terms; terms of coefficient 0 are padding.
        shape: As for `eps`.

    Returns:
        FP32 [N, tokens, channels].
    """
    drawn: dict[int, torch.Tensor] = {}  # siblings share seeds
    fields = []
    for recipe in recipes:
        total = torch.zeros(shape.tokens, shape.channels)
        for seed, coefficient in sorted(term for term in recipe if term[1] != 0.0):
            if seed not in drawn:
                drawn[seed] = eps(seed, shape)
            total = total + coefficient * drawn[seed]
        fields.append(total)
    return torch.stack(fields)
