"""Stage ``own_states``: the denoiser goes on from its weights, paid for the pictures that its own sampler leads to.

Flow matching shows the denoiser noised truths only, and an identity loss there does nothing: the noised truth already
tells whose face it is. So trajectories of the sampler are kept (``sampler_states``), each training step takes some of
them a step on, and the pictures that they promise are decoded and looked at: by the recognizer (is it the character?),
by a network for looks (is the prompt followed?), and, at the lower noise levels, beside the truth, since a mouth in
pieces satisfies the first two: by pixels and edges, above all of eyes and mouth, and by an adversary that learns what
the denoiser gets wrong. Pixels count little, since they draw all seeds to one mean picture; flow matching goes on
beside it, so that seeds go on differing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from torch import Tensor, nn

from export.face_pack import RECOGNIZER_FILE
from studio_mini.architecture import DEFAULT_STEPS, DENOISER_LAYERS, LATENT_DEPTH, build_scheduler
from studio_mini.faces.onnx_files import read_recognizer
from studio_mini.train.adversary import Adversary
from studio_mini.train.denoiser import batch_loss
from studio_mini.train.face_targets import FaceTargets, TargetStore
from studio_mini.train.flat_transformer import velocity
from studio_mini.train.flat_vae import FlatVae
from studio_mini.train.growth import grown
from studio_mini.train.latent_cache import PARAPHRASES, Examples, LatentStore, unpack
from studio_mini.train.look_network import trained_look_network
from studio_mini.train.memory_format import channels_last
from studio_mini.train.optimizer import MuonAdamW
from studio_mini.train.pace import Pace, load_state, rate_scale, save_state
from studio_mini.train.picture_networks import LookNetwork, face_crops
from studio_mini.train.precision import autocast
from studio_mini.train.report import Report
from studio_mini.train.sampler_states import SamplerStates, Visit
from studio_mini.train.task_cache import SHARD, TaskSet, cached_tasks, ensure_tasks
from studio_mini.world.prompts import Accessory, Expression

TASKS = 2000
STEPS = 20_000
BATCH, FLOW_BATCH = 12, 12
SLOTS = 96
"""Trajectories that are under way."""
MUON_RATE, ADAM_RATE = 3.5e-4, 1.75e-4
WEIGHTS: Final = {"identity": 0.1, "look": 0.08, "drawing": 0.15, "adversary": 0.05, "features": 0.2}
ADVERSARY_WARMUP = 150
EDGE_WEIGHT, FEATURE_WEIGHT = 2.0, 6.0
DRAWN_BELOW = 0.76
"""Noise level below which a promised picture is also compared with the truth: above, seeds may still differ from it."""
AVERAGE_DECAY = 0.995
SNAPSHOT_EVERY_S = 300.0


def sampler_sigmas(steps: int = DEFAULT_STEPS) -> list[float]:
    """Return the noise levels at which the sampler asks the denoiser, from 1 downwards."""
    scheduler = build_scheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=scheduler.config.base_shift)
    return [float(sigma) for sigma in scheduler.sigmas[:-1]]


@dataclass(frozen=True, eq=False)
class Judges:
    """Frozen networks on one device; pictures are (batch, 3, 128, 128) in [-1, 1]."""

    decoder: FlatVae
    mean: Tensor
    std: Tensor
    recognizer: nn.Module
    look: LookNetwork

    def decode(self, latents: Tensor) -> Tensor:
        """Decode packed latents (batch, 64, 64)."""
        unpacked = unpack(latents.float()) * self.std + self.mean
        return self.decoder.decode(unpacked.contiguous(memory_format=torch.channels_last)).float()


def load_judges(checkpoint_dir: Path, look: LookNetwork, device: str) -> Judges:
    """Read the decoder and the recognizer of a checkpoint."""
    vae = AutoencoderKLQwenImage.from_pretrained(checkpoint_dir, subfolder="vae").float()
    mean, std = (
        torch.tensor(values, device=device).view(1, LATENT_DEPTH, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    flat = channels_last(FlatVae(vae))
    recognizer = read_recognizer(checkpoint_dir / "faces" / RECOGNIZER_FILE)
    for part in (flat, recognizer, look):
        part.to(device).eval().requires_grad_(False)
    return Judges(flat, mean, std, recognizer, look)


class Trainer:
    """Weights, their average, optimizer, trajectories, adversary and clock; resumes from one file, on any device.

    Args:
        state_path: The file.
        judges: Look at the pictures.
        minutes: Of the stage; None for no limit.
        seed: Of the batches.
        known: Finished weights to go on from.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        state_path: Path,
        judges: Judges,
        *,
        minutes: float | None,
        seed: int,
        known: QwenImageTransformer2DModel,
        device: str = "cpu",
    ) -> None:
        self._path, self._judges, self._seed, self._device = state_path, judges, seed, device
        self.model = known.float().to(device).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._optimizer = MuonAdamW(self.model, muon_rate=MUON_RATE, adam_rate=ADAM_RATE, weight_decay=0.01)
        self._states = SamplerStates(SLOTS, sampler_sigmas(), PARAPHRASES).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._adversary = Adversary(("face", "picture"), device)
        self.losses: dict[str, float] = {}
        state = load_state(state_path)
        self.step_number = 0 if state is None else state["step"]
        self.pace = Pace(STEPS, minutes, 0.0 if state is None else state["spent_s"])
        for name, part in self._parts().items():
            if state is not None:
                part.load_state_dict(state[name])

    def step(self, examples: Examples, targets: FaceTargets, tasks: TaskSet) -> None:
        """Take one step on batches that the step's number determines."""
        rng = np.random.default_rng([self._seed, 7, self.step_number])
        with autocast(self._device):
            flow = batch_loss(self.model, examples, rng, self._device, batch=FLOW_BATCH)
            terms = self._own_state_terms(examples, targets, tasks, rng)
        warm = min(1.0, self.step_number / ADVERSARY_WARMUP)
        weights = WEIGHTS | {"adversary": warm * WEIGHTS["adversary"], "features": warm * WEIGHTS["features"]}
        torch.stack([flow, *(weights[name] * terms[name] for name in weights if name in terms)]).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step(rate_scale(self.pace.progress(self.step_number), self.step_number, warmup=50))
        self._follow({"flow": flow, **terms})

    def save(self) -> None:
        """Write everything a later run needs."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        save_state(self._path, {"step": self.step_number, "spent_s": self.pace.elapsed_s, **parts})

    def deliver(self, folder: Path) -> None:
        """Save, and write the averaged weights as ``folder``/transformer, in float16 to keep it small."""
        self.save()
        copy.deepcopy(self.average).cpu().half().save_pretrained(folder / "transformer")

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer | MuonAdamW]:
        return {
            "model": self.model,
            "average": self.average,
            "optimizer": self._optimizer,
            "states": self._states,
            "adversary": self._adversary,
            "adversary_optimizer": self._adversary.optimizer,
        }

    def _follow(self, losses: dict[str, Tensor]) -> None:
        """Move the averages of weights and losses."""
        self.step_number += 1
        for name, value in losses.items():
            now = float(value.detach())
            self.losses[name] = self.losses.get(name, now) + (now - self.losses.get(name, now)) / 50
        decay = min(AVERAGE_DECAY, (1 + self.step_number) / (10 + self.step_number))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def _own_state_terms(
        self, examples: Examples, targets: FaceTargets, tasks: TaskSet, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Losses of pictures promised from states of the sampler's own, the character shown."""
        usable = np.flatnonzero(targets.found.numpy()[: len(examples)])
        visit = self._states.visit(BATCH, usable, rng)
        rows = visit.rows.cpu()
        moved = self._velocity(examples, visit)
        self._states.advance(visit, moved.detach())
        pictures = self._judges.decode(visit.state - visit.sigma[:, None, None] * moved)
        landmarks = targets.landmarks[rows]
        seen = self._judges.recognizer(face_crops(pictures, landmarks, rng)).float()
        expressions, accessories = self._judges.look(pictures)
        wanted = [tasks.looks[k] for k in rows]
        terms = {
            "identity": (1 - F.cosine_similarity(seen, targets.identity[rows].to(seen))).mean(),
            "look": F.cross_entropy(expressions, _numbers([look.expression for look in wanted], list(Expression), seen))
            + F.cross_entropy(accessories, _numbers([look.accessory for look in wanted], list(Accessory), seen)),
        }
        low = (visit.sigma < DRAWN_BELOW).nonzero()[:, 0]
        if len(low) > 0:
            truth = examples.truth[rows[low.cpu()]].to(self._device)
            terms |= self._beside_the_truth(pictures[low], truth, landmarks[low.cpu()], rng)
        return terms

    def _beside_the_truth(
        self, pictures: Tensor, truth: Tensor, landmarks: Tensor, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Losses of pictures (batch, 3, 128, 128) that packed latents ``truth`` answer; the adversary learns too."""
        with torch.no_grad():
            decoded = self._judges.decode(truth)
        seed = int(rng.integers(2**32))  # both faces are cut out alike
        made, true = (
            {"face": face_crops(shown, landmarks, np.random.default_rng(seed)), "picture": shown}
            for shown in (pictures, decoded)
        )
        terms = {"drawing": drawing_loss(pictures, decoded, landmarks)} | self._adversary.terms(made, true)
        return terms | {"told_apart": self._adversary.learn(made, true)}

    def _velocity(self, examples: Examples, visit: Visit) -> Tensor:
        """Ask the denoiser as the sampler does, character and prompt shown."""
        rows, texts = visit.rows.cpu(), visit.texts.cpu()
        length = examples.length_two[rows, texts].to(self._device)
        text = examples.text_two[rows, texts][:, : int(length.max())].float().to(self._device)
        mask = torch.arange(text.shape[1], device=self._device)[None] < length[:, None]
        shown = torch.cat([examples.prior[rows].float(), examples.character[rows].float()], dim=1).to(self._device)
        return velocity(self.model, visit.state, shown, text, mask, visit.sigma).float()


def drawing_loss(pictures: Tensor, truth: Tensor, landmarks: Tensor) -> Tensor:
    """Absolute difference of pixels and, counting more, of their differences to the next, the edges.

    Args:
        pictures, truth: (batch, 3, 128, 128) in [-1, 1].
        landmarks: (batch, 5, 2) in pixels; around eyes and mouth a pixel counts ``FEATURE_WEIGHT`` times more.
    """
    weight = _feature_weight(landmarks.to(pictures), pictures.shape[-1])
    difference = (pictures - truth).abs()
    rows, columns = ((pictures.diff(dim=axis) - truth.diff(dim=axis)).abs() for axis in (2, 3))
    edges = (rows * weight[:, :, 1:]).mean() + (columns * weight[..., 1:]).mean()
    return (difference * weight).mean() + EDGE_WEIGHT * edges


def _feature_weight(landmarks: Tensor, size: int) -> Tensor:
    """Weight of each pixel (batch, 1, size, size), mean 1: highest around eyes and mouth."""
    eyes, mouth = landmarks[:, :2], landmarks[:, 3:].mean(1, keepdim=True)
    centers = torch.cat([eyes, mouth], dim=1)
    apart = (eyes[:, 1] - eyes[:, 0]).norm(dim=-1)
    axis = torch.arange(size, device=landmarks.device)
    squared = (axis[None, None, :, None] - centers[:, :, 1, None, None]) ** 2
    squared = squared + (axis[None, None, None] - centers[:, :, 0, None, None]) ** 2
    near = torch.exp(-squared / (2 * (0.35 * apart[:, None, None, None]) ** 2)).sum(1, keepdim=True)
    weight = 1 + FEATURE_WEIGHT * near
    return weight / weight.mean(dim=(2, 3), keepdim=True)


def _numbers(values: Sequence[StrEnum], order: Sequence[StrEnum], like: Tensor) -> Tensor:
    return torch.tensor([order.index(value) for value in values], device=like.device)


def run(
    build_dir: Path,
    checkpoint_dir: Path,
    *,
    minutes: float | None,
    seed: int,
    device: str = "cpu",
    tasks: int | None = None,
) -> None:
    """Go on from the checkpoint's ``transformer/`` until the budget is used up; snapshots every few minutes.

    Args:
        build_dir: Holds rendered and encoded tasks, the state, and snapshots under ``own_states/``.
        checkpoint_dir: Its ``transformer/`` is read at the first start and written at the end.
        minutes: Of the stage; None for no limit.
        seed: Of the batches.
        device: ``cpu`` or ``cuda``.
        tasks: Training tasks, rendered and encoded first; ``TASKS`` by default.
    """
    tasks = tasks or TASKS
    ensure_tasks(build_dir, tasks)
    store = LatentStore(build_dir, checkpoint_dir, seed=seed)
    store.grow(tasks)
    examples = store.load()
    targets = TargetStore(build_dir, checkpoint_dir).load(-(-tasks // SHARD) * SHARD)
    drawn = cached_tasks(build_dir, limit=tasks)
    judges = load_judges(checkpoint_dir, trained_look_network(build_dir, device=device), device)
    known = QwenImageTransformer2DModel.from_pretrained(checkpoint_dir, subfolder="transformer")
    known = grown(known.float(), DENOISER_LAYERS)
    trainer = Trainer(build_dir / "own_states.pt", judges, minutes=minutes, seed=seed, known=known, device=device)
    snapshot_s = trainer.pace.elapsed_s
    with Report("own states") as report:
        while trainer.pace.progress(trainer.step_number) < 1:
            trainer.step(examples, targets, drawn)
            note = ", ".join(f"{name} {value:.3f}" for name, value in trainer.losses.items())
            report.show(trainer.pace.progress(trainer.step_number), trainer.step_number, note)
            if trainer.pace.elapsed_s - snapshot_s > SNAPSHOT_EVERY_S:
                trainer.deliver(build_dir / "own_states" / f"step_{trainer.step_number:06d}")
                snapshot_s = trainer.pace.elapsed_s
    trainer.deliver(checkpoint_dir)
    (build_dir / "own_states.done").touch()
