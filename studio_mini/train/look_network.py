"""Trains the small network that tells the denoiser what it sees in a picture: expression and accessory.

It is not the judge: what the judge then sees in edited pictures stays a measurement.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studio_mini.train.pace import load_state, save_state
from studio_mini.train.picture_networks import LookNetwork
from studio_mini.train.precision import autocast
from studio_mini.train.task_cache import cached_tasks
from studio_mini.train.training_data import vary
from studio_mini.world.prompts import Accessory, Expression

STEPS = 400
BATCH = 32
RATE = 2e-3

log = logging.getLogger(__name__)


def trained_look_network(build_dir: Path, *, device: str = "cpu", steps: int | None = None) -> LookNetwork:
    """Return the network trained on the scenes and truths of every rendered task; trains once and keeps it.

    Args:
        build_dir: Holds rendered tasks; keeps the network as ``look_network.pt``.
        device: ``cpu`` or ``cuda``.
        steps: Of training; ``STEPS`` by default.
    """
    steps = STEPS if steps is None else steps
    path = build_dir / "look_network.pt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LookNetwork().to(device)
    if (known := load_state(path)) is not None:
        network.load_state_dict(known["network"])
        return network.eval()
    tasks = cached_tasks(build_dir)
    pictures = np.concatenate([tasks.scene, tasks.truth])
    looks = [*tasks.scene_looks, *tasks.looks]
    expressions = torch.tensor([list(Expression).index(look.expression) for look in looks])
    accessories = torch.tensor([list(Accessory).index(look.accessory) for look in looks])
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        rng = np.random.default_rng([11, step])
        chosen = rng.integers(len(looks), size=BATCH)
        with autocast(device):
            seen = network(_shown(pictures[chosen], rng).to(device))
        right = (expressions[chosen].to(device), accessories[chosen].to(device))
        loss = torch.stack(
            [F.cross_entropy(*pair, label_smoothing=0.05) for pair in zip(seen, right, strict=True)]
        ).sum()
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0:
            log.info("look network %d of %d, loss %.3f", step, steps, float(loss.detach()))
    save_state(path, {"network": network.cpu().state_dict()})
    return network.to(device).eval()


def _shown(pictures: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Spoil uint8 pictures a little, move them by some pixels: (batch, 3, 128, 128) in [-1, 1]."""
    varied = vary(torch.from_numpy(pictures), rng).permute(0, 3, 1, 2).float() / 127.5 - 1
    shift = tuple(int(value) for value in rng.integers(-4, 5, 2))
    grain = torch.from_numpy(rng.standard_normal(varied.shape, dtype=np.float32))
    return varied.roll(shift, dims=(2, 3)) + 0.05 * float(rng.random()) * grain
