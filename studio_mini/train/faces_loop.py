"""A training loop that is bounded by time, keeps its state on disk, and takes up where it was stopped.

Time is the processor's, not the clock's: a busy machine trains later, not less.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from studio_mini.train.report import Report

SAVE_EVERY_S: Final = 45.0
WARM_UP: Final = 0.03  # part of the time in which the learning rate rises

log = logging.getLogger(__name__)


class TimedLoop:
    """Trains some networks for a number of minutes, counted through stops.

    Args:
        name: Of the stage, for the log.
        state_file: Where networks, optimizer, step and time spent are kept. Read if it exists.
        networks: By name; all their parameters are trained.
        minutes: Processor time of this process in all.
        peak_rate: AdamW's largest learning rate; it falls to zero as a cosine of the time.
    """

    def __init__(
        self, name: str, state_file: Path, networks: Mapping[str, nn.Module], *, minutes: float, peak_rate: float
    ) -> None:
        self._name, self._file, self._networks = name, state_file, networks
        self._limit_s, self._peak_rate = 60 * minutes, peak_rate
        parameters = [parameter for network in networks.values() for parameter in network.parameters()]
        self._parameters = parameters
        self._optimizer = torch.optim.AdamW(parameters, lr=peak_rate, weight_decay=0.02)
        self._step, self._spent_s, self._mean_loss = 0, 0.0, math.nan
        if state_file.exists():
            self._restore()

    @property
    def progress(self) -> float:
        """Part of the time that is spent, 0 to 1."""
        return min(1.0, self._spent_s / self._limit_s)

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the time is spent; saves now and then, and at the end."""
        last_save = time.monotonic()
        last = time.process_time()
        for network in self._networks.values():
            network.train()
        with Report(self._name) as report:
            while self._spent_s < self._limit_s:
                yield self._step
                self._step += 1
                now = time.process_time()
                self._spent_s, last = self._spent_s + now - last, now
                report.show(self.progress, self._step, f"loss {self._mean_loss:.4f}")
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    self._save()
                    last_save = time.monotonic()
        self._save()
        for network in self._networks.values():
            network.eval()

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizer against ``loss``."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 5.0)
        self._optimizer.step()
        value = loss.item()
        self._mean_loss = value if math.isnan(self._mean_loss) else 0.98 * self._mean_loss + 0.02 * value

    def _rate(self) -> float:
        if self.progress < WARM_UP:
            return self._peak_rate * max(0.02, self.progress / WARM_UP)
        return self._peak_rate * 0.5 * (1 + math.cos(math.pi * self.progress))

    def _save(self) -> None:
        state = {
            "networks": {name: network.state_dict() for name, network in self._networks.items()},
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "spent_s": self._spent_s,
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._file)

    def _restore(self) -> None:
        state = torch.load(self._file, weights_only=True)
        for name, network in self._networks.items():
            network.load_state_dict(state["networks"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._spent_s = state["step"], state["spent_s"]
        log.info("%s goes on at step %d, %.0f s", self._name, self._step, self._spent_s)
