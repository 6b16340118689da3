"""The trained twin is the real autoencoder, and training goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch

from studio_mini.architecture import build_vae
from studio_mini.train.flat_vae import FlatVae, write_back
from studio_mini.train.vae import Trainer, deliver, psnr, rate_share


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.no_grad()
def test_one_frame_meets_only_the_last_temporal_slice(pictures: torch.Tensor) -> None:
    vae, flat = build_vae(3), FlatVae(build_vae(3))
    latents = vae.encode(pictures[:, :, None]).latent_dist.mode()
    mean, _ = flat.encode(pictures)
    assert torch.allclose(latents[:, :, 0], mean, atol=1e-5)
    assert torch.allclose(vae.decode(latents).sample[:, :, 0], flat.decode(mean).clamp(-1, 1), atol=1e-5)


@torch.no_grad()
def test_weights_written_back_make_the_same_pictures(pictures: torch.Tensor) -> None:
    flat, vae = FlatVae(build_vae(4)), build_vae(5)
    write_back(flat, vae)
    restored = vae.decode(vae.encode(pictures[:, :, None]).latent_dist.mode()).sample[:, :, 0]
    assert torch.allclose(restored, flat.decode(flat.encode(pictures)[0]).clamp(-1, 1), atol=1e-5)


def test_trainer_goes_on_where_it_stopped(tmp_path: Path, pictures: torch.Tensor) -> None:
    first = Trainer(FlatVae(build_vae(0)), tmp_path / "state.pt", total_s=1e6)
    for _ in range(2):
        first.step(pictures)
    first.save()
    second = Trainer(FlatVae(build_vae(1)), tmp_path / "state.pt", total_s=1e6)
    assert second.progress == first.progress
    assert psnr(second.averaged, pictures) == pytest.approx(psnr(first.averaged, pictures))


def test_fixed_weights_stay_fixed(tmp_path: Path, pictures: torch.Tensor) -> None:
    flat = FlatVae(build_vae(0))
    flat.encoder.requires_grad_(False)
    before = flat.encoder.conv_in.weight.clone()
    decoded = flat.decoder.conv_out.weight.clone()
    Trainer(flat, tmp_path / "state.pt", total_s=1e6).step(pictures)
    assert torch.equal(flat.encoder.conv_in.weight, before)
    assert not torch.equal(flat.decoder.conv_out.weight, decoded)


def test_delivered_latents_are_described(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (6, 128, 128, 3), dtype=np.uint8)
    flat = FlatVae(build_vae(0)).eval()
    deliver(flat, drawn, tmp_path / "vae")
    vae = type(build_vae()).from_pretrained(tmp_path / "vae")
    assert len(vae.config.latents_mean) == len(vae.config.latents_std) == 16
    assert min(vae.config.latents_std) > 0


def test_learning_rate_warms_up_and_anneals() -> None:
    assert rate_share(0, 0.0) < rate_share(99, 0.0)
    assert rate_share(1000, 1.0) < 0.03 * rate_share(1000, 0.0)
