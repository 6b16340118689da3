"""A network made by a second process: the same figures, the same failures, and an end with the first."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest

from eacps.models.backbones.qwen_image_edit.contract import DENOISER
from eacps.models.onnx_network import NETWORK_FILE
from eacps.tensors import FACE_RECOGNIZER
from export.jobs import network_jobs
from export.making import NetworkBeside, ProcessDied, make_network, network_beside
from export.parity import ParityFailed
from export.prepared import prepare
from export.request import ExportRequest, Ingredients, gather
from export.targets import TARGETS
from export.targets.target import Bench
from tests.export.test_repository import fix_batch


@pytest.fixture
def ingredients(checkpoint_dir: Path) -> Ingredients:
    return gather(ExportRequest(str(checkpoint_dir)))


def test_it_writes_the_network_and_passes_on_the_figures(ingredients: Ingredients, tmp_path: Path) -> None:
    prepared = prepare(ingredients)
    job = next(job for job in network_jobs(prepared) if job.spec is FACE_RECOGNIZER)
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    with NetworkBeside(ingredients, FACE_RECOGNIZER.name, there, tmp_path) as beside:
        figures = make_network(job, prepared.target, Bench(here, tmp_path, tmp_path, ()))
        assert beside.figures() == figures
    assert (there / NETWORK_FILE).read_bytes() == (here / NETWORK_FILE).read_bytes()


def test_what_it_raises_is_raised_here(ingredients: Ingredients, tmp_path: Path) -> None:
    recognizer = tmp_path / "recognizer.onnx"
    recognizer.write_bytes((ingredients.source.folder / "faces" / "recognizer.onnx").read_bytes())
    fix_batch(recognizer)
    broken = dataclasses.replace(ingredients, verifier=recognizer)
    with (
        NetworkBeside(broken, "face_verifier", tmp_path, tmp_path) as beside,
        pytest.raises(ParityFailed, match="face_verifier: the graph refuses inputs 3x3x112x112"),
    ):
        beside.figures()


def test_a_process_that_dies_is_an_error(ingredients: Ingredients, tmp_path: Path) -> None:
    with NetworkBeside(ingredients, DENOISER.name, tmp_path, tmp_path) as beside:
        os.kill(beside.pid, signal.SIGKILL)
        with pytest.raises(ProcessDied, match="that made denoiser ended with exit code -9"):
            beside.figures()


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_it_leaves_nothing_outside_of_the_folder_that_it_writes_to(
    ingredients: Ingredients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "version").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with NetworkBeside(ingredients, DENOISER.name, tmp_path / "version", tmp_path) as beside:
        while not any((tmp_path / "version").iterdir()):
            os.kill(beside.pid, 0)
            time.sleep(0.02)
        if how == "killed":
            os.kill(beside.pid, signal.SIGKILL)
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name.startswith("tmp")]


def test_it_ends_with_its_context(ingredients: Ingredients, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), NetworkBeside(ingredients, DENOISER.name, tmp_path, tmp_path) as beside:
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(beside.pid, 0)


def test_the_largest_network_is_chosen_where_there_is_room(
    ingredients: Ingredients, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(ingredients)
    jobs = network_jobs(prepared)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("export.making.available_memory", lambda: 2**40)
    chosen = network_beside(jobs, prepared.target)
    assert chosen is not None
    assert chosen.spec is DENOISER
    assert network_beside(jobs[:1], prepared.target) is None
    assert network_beside(jobs, TARGETS["tensorrt"]) is None, "kernels are timed as engines are built"
    monkeypatch.setattr("export.making.available_memory", lambda: 2**30)
    assert network_beside(jobs, prepared.target) is None
    monkeypatch.setattr("export.making.available_memory", lambda: 2**40)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert network_beside(jobs, prepared.target) is None
