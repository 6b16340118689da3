"""Stage 1 of training: the autoencoder, on every kind of picture the sampler will meet.

Clean pictures and bad priors are reconstructed under L1, the L1 of their gradients, and a small KL term. Most of the
time goes to crops of half the side (the network is convolutional but for one attention block), the last part to
whole pictures. The learning rate follows the clock, so a run of any length ends annealed; a stopped run goes on.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray
from torch import Tensor

from studio_mini.architecture import LATENT_DEPTH, PICTURE_SIZE, VAE_SCALE, build_vae
from studio_mini.train.flat_vae import FlatVae, write_back
from studio_mini.train.memory_format import channels_last
from studio_mini.train.report import Report
from studio_mini.world.pool import TaskPool, task_pool
from studio_mini.world.tasks import Split

log = logging.getLogger(__name__)

TRAIN_TASKS: Final = 1500
_VALID_TASKS: Final = 6
_WHOLE_SHARE: Final = 0.25  # of the time, at the end, on whole pictures
_KL_WEIGHT: Final = 2e-4
# A first run settled on two of the three color axes: encoder and decoder each waited for the other to begin with
# green against magenta, through thousands of steps. So the last latent channel is drawn to that axis, hard at first,
# and coarse colors count by themselves.
_ANCHOR_WEIGHT: Final = 0.2
_ANCHOR_GAIN: Final = 5.0
_COLOR_STEPS: Final = 500  # over which colors count up to 16 times as much as later
# Unit vectors in RGB: green against magenta, red against blue.
_OPPONENTS: Final = torch.tensor([[1.0, -2.0, 1.0], [1.0, 0.0, -1.0]]) / torch.tensor([[6.0], [2.0]]).sqrt()
_SAVE_EVERY_S: Final = 60.0


@dataclass(frozen=True)
class TrainingSettings:
    """How a run learns.

    Attributes:
        peak_rate: Largest learning rate.
        square_weight: Of the squared error, beside the absolute one's 1.
        noise: Standard deviation of the latents' noise, in units of the encoder's own.
        anchored: Whether colors count more at first, and the last latent channel is drawn to one of their axes.
    """

    peak_rate: float
    square_weight: float
    noise: float
    anchored: bool


FROM_NOTHING: Final = TrainingSettings(peak_rate=2.5e-3, square_weight=1.0, noise=1.0, anchored=True)
REFINEMENT: Final = TrainingSettings(peak_rate=1e-3, square_weight=12.0, noise=0.3, anchored=False)


@dataclass
class Progress:
    """What a stopped run needs to go on."""

    step: int = 0
    elapsed_s: float = 0.0


def run(build_dir: Path, checkpoint_dir: Path, *, minutes: float, seed: int) -> None:
    """Train for ``minutes`` in all (earlier, stopped runs included) and write ``checkpoint_dir/vae``.

    Afterwards ``build_dir/vae.done`` exists; the denoiser's stage starts from there. Figures go to the log.
    """
    torch.manual_seed(seed)
    flat = channels_last(FlatVae(build_vae(seed)))
    trainer = Trainer(flat, build_dir / "vae.pt", minutes * 60)
    pictures = _train(trainer, build_dir, seed, whole_share=_WHOLE_SHARE)
    deliver(trainer.averaged, pictures, checkpoint_dir / "vae")
    (build_dir / "vae.done").write_text(f"{trainer.progress.step} steps\n", encoding="utf-8")


def refine(build_dir: Path, checkpoint_dir: Path, *, minutes: float, seed: int) -> None:
    """Go on from ``checkpoint_dir/vae`` with the decoder alone, squared error first; latents made so far stay valid.

    The encoder is fixed and the latents' statistics stay as they are.
    """
    torch.manual_seed(seed)
    folder = checkpoint_dir / "vae"
    vae = AutoencoderKLQwenImage.from_pretrained(folder)
    statistics = vae.config.latents_mean, vae.config.latents_std
    flat = channels_last(FlatVae(vae))
    flat.encoder.requires_grad_(False)
    flat.quant_conv.requires_grad_(False)
    trainer = Trainer(flat, build_dir / "vae_refined.pt", minutes * 60, REFINEMENT)
    _train(trainer, build_dir, seed, whole_share=1.0)
    _write(trainer.averaged, folder, *statistics)
    (build_dir / "vae_refined.done").touch()


def _train(trainer: Trainer, build_dir: Path, seed: int, *, whole_share: float) -> NDArray[np.uint8]:
    """Step until the time is spent, the last ``whole_share`` of it on whole pictures; return the training pictures."""
    pictures = _pictures(task_pool(build_dir, TRAIN_TASKS))
    valid = _as_tensor(_pictures(task_pool(build_dir, _VALID_TASKS, split=Split.HELD_OUT)))
    rng = np.random.default_rng([seed, trainer.progress.step])
    last_save, quality = time.monotonic(), math.nan
    with Report("vae") as report:
        while trainer.share < 1:
            whole = trainer.share >= 1 - whole_share
            trainer.step(_batch(pictures, rng, *((PICTURE_SIZE, 3) if whole else (PICTURE_SIZE // 2, 8))))
            if time.monotonic() - last_save > _SAVE_EVERY_S or trainer.share >= 1:
                trainer.save()
                quality = psnr(trainer.averaged, valid)
                last_save = time.monotonic()
            note = f"loss {trainer.loss:.4f}, held-out PSNR {quality:.2f} dB"
            report.show(trainer.share, trainer.progress.step, note)
    return pictures


class Trainer:
    """Optimizer, averaged weights and schedule; its state lives in one file."""

    def __init__(
        self, flat: FlatVae, state_path: Path, total_s: float, settings: TrainingSettings = FROM_NOTHING
    ) -> None:
        self._flat, self._path, self._total_s, self._settings = flat, state_path, total_s, settings
        trained = [weight for weight in flat.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, lr=settings.peak_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.averaged = channels_last(FlatVae(build_vae())).eval().requires_grad_(False)
        self.averaged.load_state_dict(flat.state_dict())
        self.progress = Progress()
        self.loss = math.nan
        if state_path.exists():
            self._load()

    @property
    def share(self) -> float:
        """Share of the time that is spent, 0 to 1 and over."""
        return self.progress.elapsed_s / self._total_s

    def step(self, pictures: Tensor) -> None:
        """Take one step on ``pictures`` [B, 3, H, W] in [-1, 1]."""
        start = time.monotonic()
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.peak_rate * rate_share(self.progress.step, self.share)
        noise = torch.randn(len(pictures), LATENT_DEPTH, *(s // VAE_SCALE for s in pictures.shape[2:]))
        loss = reconstruction_loss(self._flat, pictures, self._settings.noise * noise, self._weights())
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._flat.parameters(), 1.0)
        self._optimizer.step()
        self._average()
        self.loss = loss.item() if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss.item()
        self.progress.step += 1
        self.progress.elapsed_s += time.monotonic() - start

    def _weights(self) -> Weights:
        if not self._settings.anchored:
            return Weights(square=self._settings.square_weight, colors=1.0, anchor=0.0)
        colors = color_weight(self.progress.step)
        return Weights(square=self._settings.square_weight, colors=colors, anchor=_ANCHOR_WEIGHT * colors)

    def _average(self) -> None:
        decay = min(0.998, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self._flat.parameters()), 1 - decay)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        partial = self._path.with_suffix(".partial")
        state = {
            "flat": self._flat.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "progress": (self.progress.step, self.progress.elapsed_s),
        }
        torch.save(state, partial)
        partial.rename(self._path)

    def _load(self) -> None:
        state = torch.load(self._path)
        self._flat.load_state_dict(state["flat"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(*state["progress"])


def rate_share(step: int, share: float) -> float:
    """Share of the peak rate: linear warm-up over 100 steps, then a cosine in time down to 2%."""
    return min(1.0, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, share))))


def color_weight(step: int) -> float:
    """16 at first, falling to 1."""
    return 1.0 + 15.0 * max(0.0, 1 - step / _COLOR_STEPS)


@dataclass(frozen=True)
class Weights:
    """Of the squared error, of coarse colors, and of the anchored latent channel; the absolute error counts 1."""

    square: float
    colors: float
    anchor: float


def reconstruction_loss(flat: FlatVae, pictures: Tensor, noise: Tensor, weights: Weights) -> Tensor:
    """Return the scalar loss of ``pictures`` [B, 3, H, W] under latent ``noise`` [B, 16, H/8, W/8]."""
    restored, mean, log_variance = flat(pictures, noise)
    error = restored - pictures
    # Differences of neighbors carry eyes, mouth and outlines, which plain L1 lets blur.
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    colors = F.avg_pool2d(error, VAE_SCALE).movedim(1, -1) @ _OPPONENTS.T
    anchor = mean[:, -1] - _ANCHOR_GAIN * (F.avg_pool2d(pictures, VAE_SCALE).movedim(1, -1) @ _OPPONENTS[0])
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return (
        error.abs().mean()
        + 0.5 * edges
        + weights.square * error.square().mean()
        + weights.colors * colors.abs().mean()
        + weights.anchor * anchor.abs().mean()
        + _KL_WEIGHT * kl
    )


@torch.no_grad()
def psnr(flat: FlatVae, pictures: Tensor) -> float:
    """Return the mean over pictures [B, 3, H, W] of the reconstruction's PSNR in dB, for 8-bit range."""
    values = []
    for part in pictures.split(16):
        mean, _ = flat.encode(part)
        restored = flat.decode(mean).clamp(-1, 1)
        values.append(10 * torch.log10(4 / (restored - part).square().mean(dim=(1, 2, 3))))
    return float(torch.cat(values).mean())


def _pictures(pool: TaskPool) -> NDArray[np.uint8]:
    """All pictures of the tasks, uint8 [4 T, 128, 128, 3]; a quarter are bad priors."""
    return np.concatenate([pool.scenes, pool.characters, pool.priors, pool.truths])


def _as_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    scaled = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return scaled.contiguous(memory_format=torch.channels_last)


def _batch(pictures: NDArray[np.uint8], rng: np.random.Generator, side: int, count: int) -> Tensor:
    """Random crops, half of them mirrored; [count, 3, side, side] in [-1, 1]."""
    crops = []
    for k in rng.integers(len(pictures), size=count):
        x, y = rng.integers(PICTURE_SIZE - side + 1, size=2)
        crop = pictures[k, y : y + side, x : x + side]
        crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return _as_tensor(np.stack(crops))


@torch.no_grad()
def deliver(flat: FlatVae, pictures: NDArray[np.uint8], folder: Path) -> None:
    """Measure the latents' statistics over ``pictures`` and write the 3-D class; raises as ``_write`` does."""
    some = _as_tensor(pictures[:: max(1, len(pictures) // 400)])
    latents = torch.cat([flat.encode(part)[0] for part in some.split(16)])
    _write(flat, folder, latents.mean(dim=(0, 2, 3)).tolist(), latents.std(dim=(0, 2, 3)).tolist())


@torch.no_grad()
def _write(flat: FlatVae, folder: Path, latents_mean: list[float], latents_std: list[float]) -> None:
    """Write the 3-D class, having checked that it is the network that was trained.

    Raises:
        RuntimeError: It is not.
    """
    vae = build_vae()
    write_back(flat, vae)
    probe = torch.rand(2, 3, PICTURE_SIZE, PICTURE_SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    restored = vae.decode(vae.encode(probe[:, :, None]).latent_dist.mode()).sample[:, :, 0]
    difference = float((restored - flat.decode(flat.encode(probe)[0]).clamp(-1, 1)).abs().max())
    log.info("3-D class against the trained twin: maximum difference %.1e", difference)
    if difference > 1e-4:
        raise RuntimeError(f"the 3-D autoencoder differs from the trained twin by {difference:.1e}")
    vae.register_to_config(latents_mean=latents_mean, latents_std=latents_std)
    vae.save_pretrained(folder)


def main() -> None:
    """Train the autoencoder alone."""
    parser = argparse.ArgumentParser(description="Train studio-mini's autoencoder.")
    parser.add_argument("--build-dir", type=Path, default=Path(".build/studio_mini"))
    parser.add_argument("--checkpoint-dir", type=Path, default=Path("studio_mini/checkpoint"))
    parser.add_argument("--minutes", type=float, default=26.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--refine", action="store_true", help="train on with the decoder only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    stage = refine if arguments.refine else run
    stage(arguments.build_dir, arguments.checkpoint_dir, minutes=arguments.minutes, seed=arguments.seed)


if __name__ == "__main__":
    main()
