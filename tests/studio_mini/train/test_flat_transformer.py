"""The denoiser's training forward pass computes what the original model computes."""

import pytest
import torch

from studio_mini import architecture
from studio_mini.train.flat_transformer import velocity


@torch.no_grad()
@pytest.mark.parametrize("pictures", [1, 2])
def test_velocity_is_the_original_models(pictures: int) -> None:
    torch.set_num_threads(1)
    model = architecture.build_transformer(seed=2, layers=2)
    draw = torch.Generator().manual_seed(0)
    noisy = torch.randn(3, 64, 64, generator=draw)
    conditioning = torch.randn(3, 64 * pictures, 64, generator=draw)
    text = torch.randn(3, 9, architecture.TEXT_CHANNELS, generator=draw)
    mask = torch.arange(9)[None] < torch.tensor([[9], [5], [7]])
    sigma = torch.tensor([1.0, 0.4, 0.02])
    expected = model(
        hidden_states=torch.cat([noisy, conditioning], dim=1),
        encoder_hidden_states=text,
        encoder_hidden_states_mask=mask,
        timestep=sigma,
        img_shapes=[[(1, 8, 8)] * (1 + pictures)] * 3,
        return_dict=False,
    )[0][:, :64]
    torch.testing.assert_close(velocity(model, noisy, conditioning, text, mask, sigma), expected, atol=2e-5, rtol=1e-4)
