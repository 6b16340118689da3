"""The denoiser's stage: a loss that counts what it should, and training that resumes as if never stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import QwenImageTransformer2DModel

from studio_mini import architecture
from studio_mini.train import denoiser
from studio_mini.train.latent_cache import Examples


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(denoiser, "BATCH", 4)
    monkeypatch.setattr(denoiser, "build_transformer", lambda seed: architecture.build_transformer(seed, layers=1))


@pytest.fixture(scope="module")
def examples() -> Examples:
    draw = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw).half()

    return Examples(
        truth=noise(6, 64, 64),
        prior=noise(6, 64, 64),
        character=noise(6, 64, 64),
        text_one=noise(6, 3, 12, 128),
        text_two=noise(6, 3, 20, 128),
        length_one=torch.full((6, 3), 11),
        length_two=torch.full((6, 3), 19),
    )


def test_stopping_and_resuming_changes_nothing(tmp_path: Path, examples: Examples) -> None:
    whole = denoiser.Trainer(tmp_path / "whole.pt", minutes=None, seed=1)
    for _ in range(4):
        whole.step(examples)
    first = denoiser.Trainer(tmp_path / "parts.pt", minutes=None, seed=1)
    for _ in range(2):
        first.step(examples)
    first.save()
    second = denoiser.Trainer(tmp_path / "parts.pt", minutes=None, seed=1)
    for _ in range(2):
        second.step(examples)
    assert second.step_number == whole.step_number == 4
    for one, other in ((whole.model, second.model), (whole.average, second.average)):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_training_lowers_the_loss(tmp_path: Path, examples: Examples) -> None:
    trainer = denoiser.Trainer(tmp_path / "state.pt", minutes=None, seed=0)
    model = trainer.model
    before = np.mean([float(denoiser.batch_loss(model, examples, np.random.default_rng(k)).detach()) for k in range(4)])
    for _ in range(40):
        trainer.step(examples)
    after = np.mean([float(denoiser.batch_loss(model, examples, np.random.default_rng(k)).detach()) for k in range(4)])
    assert after < before


def test_padding_of_prompts_does_not_matter(examples: Examples) -> None:
    model = architecture.build_transformer(0, layers=1)
    padded = Examples(
        **{**vars(examples), "text_one": examples.text_one.clone(), "text_two": examples.text_two.clone()}
    )
    padded.text_one[:, :, 11:] = 7.0
    padded.text_two[:, :, 19:] = 7.0
    one = denoiser.batch_loss(model, examples, np.random.default_rng(2))
    other = denoiser.batch_loss(model, padded, np.random.default_rng(2))
    assert torch.equal(one, other)


def test_delivered_weights_are_the_average(tmp_path: Path, examples: Examples) -> None:
    trainer = denoiser.Trainer(tmp_path / "state.pt", minutes=None, seed=0)
    trainer.step(examples)
    trainer.deliver(tmp_path)
    loaded = QwenImageTransformer2DModel.from_pretrained(tmp_path / "transformer", torch_dtype=torch.float32)
    for name, weight in trainer.average.named_parameters():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(loaded.get_parameter(name), weight, atol=1e-3, rtol=1e-3)
