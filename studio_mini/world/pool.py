"""Rendering in bulk: many faces or tasks by several processes, kept on disk and mapped into memory.

A pool is a folder of ``.npy`` files plus a JSON of prompts, named after everything it depends on; a finished one is
opened, an unfinished one is made anew.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio_mini.world import tasks
from studio_mini.world.prompts import Accessory, Edit, Expression, Look
from studio_mini.world.tasks import Split

_CHUNK = 64
_SOURCES = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class FacePool:
    """``F`` faces, shots of one person in a row.

    Attributes:
        pictures: uint8 [F, 128, 128, 3], RGB.
        boxes: float32 [F, 4]; landmarks: float32 [F, 5, 2]; pixels, as in ``RenderedFace``.
        people: int64 [F], person numbers within the split.
        looks: F looks.
    """

    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    people: NDArray[np.int64]
    looks: list[Look]


@dataclass(frozen=True, eq=False)
class TaskPool:
    """``T`` tasks: pictures uint8 [T, 128, 128, 3], prompts, edits and the truths' looks."""

    scenes: NDArray[np.uint8]
    characters: NDArray[np.uint8]
    priors: NDArray[np.uint8]
    truths: NDArray[np.uint8]
    prompts: list[str]
    edits: list[Edit]
    looks: list[Look]


def face_pool(
    build_dir: Path, people: int, shots: int, *, split: Split = Split.TRAIN, first: int = 0, workers: int = 2
) -> FacePool:
    """Return ``shots`` pictures of each of ``people`` people from number ``first`` on, rendering them if need be.

    The first shot of each person is neutral and bare; the others have any look.
    """
    numbers = [(int(split), first + p, s) for p in range(people) for s in range(shots)]
    folder = build_dir / f"faces_{split.name.lower()}_{first}_{people}x{shots}_{_source_hash()}"
    arrays, notes = _opened(folder, numbers, _render_face, workers)
    looks = [Look(Expression(e), Accessory(a)) for e, a in notes]
    owners = np.array([p for _, p, _ in numbers])
    return FacePool(arrays["picture"], arrays["box"], arrays["landmarks"], owners, looks)


def task_pool(build_dir: Path, count: int, *, split: Split = Split.TRAIN, first: int = 0, workers: int = 2) -> TaskPool:
    """Return tasks ``first`` to ``first + count - 1`` of ``split``, rendering them if need be."""
    numbers = [(int(split), first + k, 0) for k in range(count)]
    folder = build_dir / f"tasks_{split.name.lower()}_{first}_{count}_{_source_hash()}"
    arrays, notes = _opened(folder, numbers, _render_task, workers)
    return TaskPool(
        scenes=arrays["scene"],
        characters=arrays["character"],
        priors=arrays["prior"],
        truths=arrays["truth"],
        prompts=[note[0] for note in notes],
        edits=[
            Edit(Expression(expression) if expression else None, Accessory(accessory) if accessory else None)
            for _, (expression, accessory), *_ in notes
        ],
        looks=[Look(Expression(note[2][0]), Accessory(note[2][1])) for note in notes],
    )


Rendered = tuple[dict[str, NDArray[Any]], Any]


def _render_face(number: tuple[int, int, int]) -> Rendered:
    split, index, shot = number
    face, look = tasks.face(index, shot, Split(split), None if shot else Look())
    return {"picture": face.picture, "box": face.box, "landmarks": face.landmarks}, (look.expression, look.accessory)


def _render_task(number: tuple[int, int, int]) -> Rendered:
    split, seed, _ = number
    task = tasks.task(seed, Split(split))
    pictures = {
        "scene": task.scene.picture,
        "character": task.character.picture,
        "prior": task.prior,
        "truth": task.truth.picture,
    }
    edit = (task.edit.expression, task.edit.accessory)
    return pictures, (task.prompt, edit, (task.look.expression, task.look.accessory))


def _source_hash() -> str:
    """A short hash of the world's source: a changed renderer never meets an old pool."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _opened(
    folder: Path, numbers: list[tuple[int, int, int]], render: Callable[[tuple[int, int, int]], Rendered], workers: int
) -> tuple[dict[str, NDArray[Any]], list[Any]]:
    if not (folder / "notes.json").exists():
        _make(folder, numbers, render, workers)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    return arrays, json.loads((folder / "notes.json").read_text())


def _make(
    folder: Path, numbers: list[tuple[int, int, int]], render: Callable[[tuple[int, int, int]], Rendered], workers: int
) -> None:
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    outputs: dict[str, NDArray[Any]] = {}
    notes = []
    for k, (arrays, note) in enumerate(_rendered(numbers, render, workers)):
        for name, array in arrays.items():
            if name not in outputs:
                outputs[name] = np.lib.format.open_memmap(
                    partial / f"{name}.npy", mode="w+", dtype=array.dtype, shape=(len(numbers), *array.shape)
                )
            outputs[name][k] = array
        notes.append(note)
    for output in outputs.values():
        output.flush()  # type: ignore[attr-defined]  # a memmap
    (partial / "notes.json").write_text(json.dumps(notes))
    try:
        partial.rename(folder)
    except OSError:  # another process finished the same pool first; its files are the same
        if not (folder / "notes.json").exists():
            raise
        shutil.rmtree(partial)


def _rendered(
    numbers: list[tuple[int, int, int]], render: Callable[[tuple[int, int, int]], Rendered], workers: int
) -> Iterator[Rendered]:
    if workers < 2:
        yield from map(render, numbers)
        return
    # Forked children of a process that runs threads (torch) may hang: they are spawned.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(render, numbers, chunksize=_CHUNK)
