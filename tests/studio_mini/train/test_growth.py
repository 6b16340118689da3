"""A grown denoiser answers as before, and its new layers learn."""

import pytest
import torch

from studio_mini.architecture import build_transformer
from studio_mini.train.flat_transformer import velocity
from studio_mini.train.growth import grown


def inputs() -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(3)
    noisy, shown, text = (
        torch.randn(2, count, width, generator=draw) for count, width in ((64, 64), (128, 64), (9, 128))
    )
    return noisy, shown, text, torch.ones(2, 9, dtype=torch.bool), torch.tensor([0.9, 0.3])


def test_new_layers_change_nothing_at_first() -> None:
    model = build_transformer(seed=1, layers=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    larger = grown(model, 5)
    assert len(larger.transformer_blocks) == larger.config.num_layers == 5
    with torch.no_grad():
        torch.testing.assert_close(velocity(larger, *inputs()), velocity(model, *inputs()), atol=1e-5, rtol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_new_layers_get_gradient() -> None:
    larger = grown(build_transformer(seed=1, layers=2), 4)
    velocity(larger, *inputs()).square().mean().backward()
    reached = [block.img_mlp.net[2].weight.grad for block in larger.transformer_blocks]
    assert all(gradient is not None and gradient.any() for gradient in reached)


def test_as_many_layers_are_the_same_weights_and_fewer_an_error() -> None:
    model = build_transformer(seed=1, layers=2)
    same = grown(model, 2).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="2 layers"):
        grown(model, 1)
