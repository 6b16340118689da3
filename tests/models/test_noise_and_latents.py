import math

import torch

from eacps.models.checkpoint_config import NoiseShape
from eacps.models.latents import pack, unpack
from eacps.models.noise import eps, recipe_noise
from tests.models.studio import Studio

SMALL = NoiseShape(4, 6, 6, 2)


def test_one_seed_is_the_noise_that_diffusers_draws(studio: Studio) -> None:
    generator = torch.Generator("cpu").manual_seed(4_000_000_000)
    theirs, _ = studio.pipeline.prepare_latents(
        None, 1, 16, 128, 192, torch.float32, torch.device("cpu"), generator, None
    )
    assert torch.equal(eps(4_000_000_000, NoiseShape(16, 16, 24, 2)), theirs[0])
    assert torch.equal(recipe_noise([[(4_000_000_000, 1.0)]], NoiseShape(16, 16, 24, 2)), theirs)


def test_a_recipe_sums_in_order_of_the_seeds_however_it_is_written() -> None:
    terms = [(9, 0.48), (2, -0.64), (700, 0.6)]
    by_hand = -0.64 * eps(2, SMALL) + 0.48 * eps(9, SMALL) + 0.6 * eps(700, SMALL)
    noise = recipe_noise([terms, [(0, 0.0), *reversed(terms)]], SMALL)
    assert torch.equal(noise[0], by_hand)
    assert torch.equal(noise[1], by_hand)


def test_a_unit_recipe_has_the_variance_of_one_draw() -> None:
    noise = recipe_noise([[(1, math.cos(0.6)), (2, math.sin(0.6))]], NoiseShape(16, 64, 64, 2))
    assert abs(noise.var().item() - 1.0) < 0.02


def test_packing_is_diffusers_and_undone(studio: Studio) -> None:
    latents = torch.randn(2, 16, 6, 10)
    theirs = studio.pipeline._pack_latents(latents, 2, 16, 6, 10)
    assert torch.equal(pack(latents, 2), theirs)
    assert torch.equal(unpack(theirs, 6, 10, 2), latents)
