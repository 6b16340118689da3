"""Where the face is in each training truth, and whose it is: what a generated picture's identity is compared with.

The face pack finds both; the answers are kept beside the rendered shards under a digest of the pack's networks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.face_pack import DETECTOR_FILE, RECOGNIZER_FILE
from studio_mini.faces.pack import FacePack, load_pack
from studio_mini.train.pace import load_state, save_state
from studio_mini.train.task_cache import SHARD, cached_shard

_NAMES = ("found", "landmarks", "identity")


@dataclass(frozen=True, eq=False)
class FaceTargets:
    """One row a task, in the order of the shards.

    Attributes:
        found: Whether the pack finds a face in truth and character, bool (tasks,).
        landmarks: Of the truth's face in pixels, float32 (tasks, 5, 2).
        identity: Unit vectors halfway between the character's and the truth's embedding, float32 (tasks, 512).
    """

    found: Tensor
    landmarks: Tensor
    identity: Tensor


class TargetStore:
    """The targets of rendered shards, found once each."""

    def __init__(self, build_dir: Path, checkpoint_dir: Path) -> None:
        self._build_dir, self._faces = build_dir, checkpoint_dir / "faces"
        networks = b"".join((self._faces / name).read_bytes() for name in (DETECTOR_FILE, RECOGNIZER_FILE))
        self._folder = build_dir / "face_targets" / hashlib.sha256(networks).hexdigest()[:12]
        self._pack: FacePack | None = None

    def load(self, tasks: int) -> FaceTargets:
        """Return the targets of the first ``tasks`` tasks, whole shards; finds those that are not on disk yet."""
        shards = [self._shard(number) for number in range(-(-tasks // SHARD))]
        return FaceTargets(
            *(torch.cat([shard[name] for shard in shards]) for name in ("found", "landmarks", "identity"))
        )

    def _shard(self, number: int) -> dict[str, Tensor]:
        path = self._folder / f"shard_{number:04d}.pt"
        if (known := load_state(path)) is not None:
            return known
        self._pack = self._pack or load_pack(self._faces)
        tasks = cached_shard(self._build_dir, number)
        rows = [_target(self._pack, *pair) for pair in zip(tasks.truth, tasks.character, strict=True)]
        columns = zip(_NAMES, zip(*rows, strict=True), strict=True)
        shard = {name: torch.from_numpy(np.stack(column)) for name, column in columns}
        save_state(path, shard)
        return shard


def _target(
    pack: FacePack, truth: NDArray[np.uint8], character: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    shown, known = pack.faces(truth), pack.faces(character)
    if not (shown and known):
        return np.array(False), np.zeros((5, 2), np.float32), np.zeros(512, np.float32)
    middle = shown[0].normed_embedding + known[0].normed_embedding
    return np.array(True), shown[0].kps.astype(np.float32), (middle / np.linalg.norm(middle)).astype(np.float32)
