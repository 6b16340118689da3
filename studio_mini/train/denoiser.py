"""Stage ``denoiser``: flow matching on cached latents, conditioned as the pipeline conditions.

The noisy tokens come first, then the prior's, then (most of the time) the character's; conditioning tokens are
modulated at time 0, as in Edit-2511. The prompt is dropped one time in ten, for classifier-free guidance. Half of the
tasks show a drawn prior, half what the finished face pack makes of the same scene and character. Delivered are averaged
weights.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageTransformer2DModel
from torch import Tensor, nn

from studio_mini.architecture import DENOISER_LAYERS, LATENT_TOKENS, TOKEN_GRID, build_transformer
from studio_mini.train.flat_transformer import velocity
from studio_mini.train.growth import grown
from studio_mini.train.latent_cache import PARAPHRASES, Examples, LatentStore
from studio_mini.train.optimizer import MuonAdamW
from studio_mini.train.pace import Pace, load_state, rate_scale, save_state
from studio_mini.train.precision import autocast
from studio_mini.train.report import Report
from studio_mini.train.task_cache import SHARD, ensure_tasks

TASKS = 8000
FIRST_TASKS = 1500
"""Tasks drawn and encoded before the first step; the others join one shard at a time, every ``GROW_EVERY`` steps."""
GROW_EVERY = 100
STEPS = 16_000
BATCH = 24
MUON_RATE, ADAM_RATE = 3e-3, 1.5e-3
CHARACTER_SHARE = 0.6
DROP_SHARE = 0.1
AVERAGE_DECAY = 0.999
DELIVER_EVERY_S = 240.0
WARM_RATE = 0.4
"""Share of the rates when training goes on from finished weights."""


class Trainer:
    """Weights, their average, optimizer and clock; resumes from one file.

    Args:
        state_path: The file.
        minutes: Of the stage; None for no limit.
        seed: Of weights and batches.
        warm: Finished weights to go on from; None starts from nothing.
        device: ``cpu`` or ``cuda``; a state written on one is read on the other.
    """

    def __init__(
        self,
        state_path: Path,
        *,
        minutes: float | None,
        seed: int,
        warm: QwenImageTransformer2DModel | None = None,
        device: str = "cpu",
    ) -> None:
        self._path, self._seed, self._device = state_path, seed, device
        self.model = (build_transformer(seed) if warm is None else warm).to(device).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        scale = 1.0 if warm is None else WARM_RATE
        self._optimizer = MuonAdamW(
            self.model, muon_rate=scale * MUON_RATE, adam_rate=scale * ADAM_RATE, weight_decay=0.02
        )
        state = load_state(state_path)
        self.step_number = 0 if state is None else state["step"]
        self.pace = Pace(STEPS, minutes, 0.0 if state is None else state["spent_s"])
        self.loss = 1.0 if state is None else state["loss"]
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])

    @property
    def progress(self) -> float:
        """Share of the budget that is used up, 0 to 1 and over."""
        return self.pace.progress(self.step_number)

    @property
    def finished(self) -> bool:
        """Whether the budget is used up."""
        return self.progress >= 1

    def step(self, examples: Examples) -> None:
        """Take one step on a batch that the step's number determines."""
        rng = np.random.default_rng([self._seed, self.step_number])
        with autocast(self._device):
            loss = batch_loss(self.model, examples, rng, self._device)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step(rate_scale(self.progress, self.step_number, warmup=200))
        self.step_number += 1
        self.loss += (float(loss.detach()) - self.loss) / min(self.step_number, 200)
        decay = min(AVERAGE_DECAY, (1 + self.step_number) / (10 + self.step_number))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def save(self) -> None:
        """Write everything a later run needs."""
        save_state(
            self._path,
            {
                "step": self.step_number,
                "spent_s": self.pace.elapsed_s,
                "loss": self.loss,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def deliver(self, checkpoint_dir: Path) -> None:
        """Save, and write the averaged weights as the checkpoint's ``transformer/``, in float16 to keep it small."""
        self.save()
        copy.deepcopy(self.average).cpu().half().save_pretrained(checkpoint_dir / "transformer")


def run(
    build_dir: Path,
    checkpoint_dir: Path,
    *,
    minutes: float | None,
    seed: int,
    warm: bool = False,
    device: str = "cpu",
) -> None:
    """Train, or go on training, until the budget is used up; ``transformer/`` is refreshed every few minutes.

    Args:
        build_dir: Holds rendered and encoded tasks, and the state.
        checkpoint_dir: Its frozen stages and face pack condition; its ``transformer/`` is written.
        minutes: Of the stage, encoding included; None for no limit.
        seed: Of weights and batches.
        warm: Whether to go on from the checkpoint's own ``transformer/``, with as many layers as a new one has.
        device: ``cpu`` or ``cuda``; pictures are drawn and encoded on the CPU all the same.
    """
    store = LatentStore(build_dir, checkpoint_dir, seed=seed)
    ensure_tasks(build_dir, ready := FIRST_TASKS)
    store.grow(ready)
    examples = store.load()
    known = QwenImageTransformer2DModel.from_pretrained(checkpoint_dir, subfolder="transformer") if warm else None
    warm_from = known and grown(known.float(), DENOISER_LAYERS)
    trainer = Trainer(build_dir / "denoiser.pt", minutes=minutes, seed=seed, warm=warm_from, device=device)
    delivered_s = trainer.pace.elapsed_s
    with Report("denoiser") as report:
        while not trainer.finished:
            trainer.step(examples)
            report.show(trainer.progress, trainer.step_number, f"loss {trainer.loss:.4f}")
            if trainer.step_number % GROW_EVERY == 0 and ready < TASKS:
                ensure_tasks(build_dir, ready := min(TASKS, ready + SHARD))
                store.grow(ready)
                examples = store.load()
            if trainer.pace.elapsed_s - delivered_s > DELIVER_EVERY_S:
                trainer.deliver(checkpoint_dir)
                delivered_s = trainer.pace.elapsed_s
    trainer.deliver(checkpoint_dir)
    (build_dir / "denoiser.done").touch()


def batch_loss(
    model: QwenImageTransformer2DModel,
    examples: Examples,
    rng: np.random.Generator,
    device: str = "cpu",
    *,
    batch: int | None = None,
) -> Tensor:
    """Flow-matching loss of one batch: squared error of the velocity ``noise - truth``, the face counting double."""
    batch = batch or BATCH
    chosen = torch.from_numpy(rng.integers(len(examples), size=batch))
    text_number = torch.from_numpy(
        np.where(rng.random(batch) < DROP_SHARE, PARAPHRASES, rng.integers(PARAPHRASES, size=batch))
    )
    truth, prior = examples.truth[chosen].float(), examples.prior[chosen].float()
    if rng.random() < CHARACTER_SHARE:
        conditioning = torch.cat([prior, examples.character[chosen].float()], dim=1)
        texts, lengths = examples.text_two, examples.length_two
    else:
        conditioning, texts, lengths = prior, examples.text_one, examples.length_one
    length = lengths[chosen, text_number]
    text = texts[chosen, text_number][:, : int(length.max())].float()
    text_mask = torch.arange(text.shape[1])[None] < length[:, None]
    noise = torch.from_numpy(rng.standard_normal(truth.shape, dtype=np.float32))
    sigma = _noise_levels(rng, batch)
    noisy = torch.lerp(truth, noise, sigma[:, None, None])
    inputs = (part.to(device) for part in (noisy, conditioning, text, text_mask, sigma))
    error = (velocity(model, *inputs).float() - (noise - truth).to(device)).square().mean(-1)
    return (error * _FACE_WEIGHT.to(device)).mean()


def _noise_levels(rng: np.random.Generator, batch: int) -> Tensor:
    """Logit-normal (Esser et al. 2024), moved up as the sampler's steps are, with a uniform tenth for the ends."""
    logit = rng.normal(0.4, 1.1, batch)
    sigma = np.where(rng.random(batch) < 0.1, rng.uniform(0.0, 1.0, batch), 1 / (1 + np.exp(-logit)))
    return torch.from_numpy(np.maximum(sigma, 1e-3)).float()


def _face_weight() -> Tensor:
    """Weight of each token, (64,), mean 1: twice as much in the middle, where the face is, as at the border."""
    axis = (torch.arange(TOKEN_GRID) + 0.5) / TOKEN_GRID - 0.5
    squared = axis[:, None] ** 2 + axis[None] ** 2
    weight = (1 + torch.exp(-squared / (2 * 0.25**2))).reshape(LATENT_TOKENS)
    return weight / weight.mean()


_FACE_WEIGHT = _face_weight()
