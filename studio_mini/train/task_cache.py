"""Rendered tasks on disk, so that every stage reads the same pictures and none waits for the renderer twice.

A shard holds ``SHARD`` tasks of the training split: tasks ``k * SHARD`` and following, so shards can be added at any
time and an interrupted run leaves only whole ones. Held-out tasks are few and are rendered where they are needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from studio_mini.world.prompts import Accessory, Edit, Expression, Look
from studio_mini.world.tasks import Split, Task, task

SHARD = 250
PICTURES = ("scene", "character", "prior", "truth")


@dataclass(frozen=True, eq=False)
class TaskSet:
    """Tasks as arrays. Pictures are uint8 (tasks, 128, 128, 3), in the order of ``looks`` and ``edits``."""

    scene: NDArray[np.uint8]
    character: NDArray[np.uint8]
    prior: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    scene_looks: list[Look]
    looks: list[Look]
    edits: list[Edit]

    def __len__(self) -> int:
        return len(self.edits)

    def every(self, step: int) -> TaskSet:
        """Return every ``step``-th task."""
        arrays = {name: getattr(self, name)[::step] for name in PICTURES}
        return TaskSet(
            **arrays, scene_looks=self.scene_looks[::step], looks=self.looks[::step], edits=self.edits[::step]
        )


def render_tasks(seeds: range, split: Split) -> TaskSet:
    """Draw the tasks numbered ``seeds``."""
    return _pack([task(seed, split) for seed in seeds])


def ensure_tasks(build_dir: Path, count: int, split: Split = Split.TRAIN) -> None:
    """Render shards until ``count`` tasks of ``split`` are on disk."""
    folder = _folder(build_dir, split)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [k for k in range(-(-count // SHARD)) if not _shard_path(folder, k).exists()]
    for k in track(missing, description=f"rendering {split.name.lower()} tasks"):
        tasks = render_tasks(range(k * SHARD, (k + 1) * SHARD), split)
        _write_shard(_shard_path(folder, k), tasks)


def cached_tasks(build_dir: Path, split: Split = Split.TRAIN, limit: int | None = None) -> TaskSet:
    """Load the whole shards on disk, the first ``limit`` tasks of them at most.

    Raises:
        FileNotFoundError: No shard has been rendered.
    """
    paths = sorted(_folder(build_dir, split).glob("shard_*.npz"))
    if not paths:
        raise FileNotFoundError(f"no rendered tasks under {_folder(build_dir, split)}")
    if limit is not None:
        paths = paths[: -(-limit // SHARD)]
    return _joined([_read_shard(path) for path in paths])


def cached_shard(build_dir: Path, number: int, split: Split = Split.TRAIN) -> TaskSet:
    """Load one shard, tasks ``number * SHARD`` and following."""
    return _read_shard(_shard_path(_folder(build_dir, split), number))


def _folder(build_dir: Path, split: Split) -> Path:
    return build_dir / "tasks" / split.name.lower()


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:04d}.npz"


def _pack(tasks: list[Task]) -> TaskSet:
    return TaskSet(
        scene=np.stack([t.scene.picture for t in tasks]),
        character=np.stack([t.character.picture for t in tasks]),
        prior=np.stack([t.prior for t in tasks]),
        truth=np.stack([t.truth.picture for t in tasks]),
        scene_looks=[t.scene_look for t in tasks],
        looks=[t.look for t in tasks],
        edits=[t.edit for t in tasks],
    )


def _write_shard(path: Path, tasks: TaskSet) -> None:
    """Write beside the final name first, so that a reader never sees half a shard."""
    words = {
        "scene_looks": [[look.expression, look.accessory] for look in tasks.scene_looks],
        "looks": [[look.expression, look.accessory] for look in tasks.looks],
        "edits": [[edit.expression, edit.accessory] for edit in tasks.edits],
    }
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, words=json.dumps(words), **{name: getattr(tasks, name) for name in PICTURES})
    partial.rename(path)


def _read_shard(path: Path) -> TaskSet:
    with np.load(path) as stored:
        words = json.loads(str(stored["words"]))
        return TaskSet(
            **{name: stored[name] for name in PICTURES},
            scene_looks=[Look(Expression(e), Accessory(a)) for e, a in words["scene_looks"]],
            looks=[Look(Expression(e), Accessory(a)) for e, a in words["looks"]],
            edits=[Edit(e and Expression(e), a and Accessory(a)) for e, a in words["edits"]],
        )


def _joined(shards: list[TaskSet]) -> TaskSet:
    return TaskSet(
        **{name: np.concatenate([getattr(shard, name) for shard in shards]) for name in PICTURES},
        scene_looks=[look for shard in shards for look in shard.scene_looks],
        looks=[look for shard in shards for look in shard.looks],
        edits=[edit for shard in shards for edit in shard.edits],
    )
