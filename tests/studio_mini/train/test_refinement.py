"""Training that goes on from finished weights: what must stay stays, what it learns from is what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from studio_mini import architecture
from studio_mini.architecture import save_checkpoint
from studio_mini.train import reconstructions, vae
from studio_mini.train.__main__ import STAGES, WARM_STAGES, Stage, train
from studio_mini.train.task_cache import TaskSet, render_tasks
from studio_mini.train.training_data import gallery, with_reconstructions
from studio_mini.world.tasks import Split

SHIPPED = Path(architecture.__file__).parent / "checkpoint"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, seed=2)
    return folder


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return render_tasks(range(3), Split.HELD_OUT)


def test_refining_the_decoder_leaves_every_latent_valid(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae, "TRAIN_TASKS", 2)
    monkeypatch.setattr(vae, "_VALID_TASKS", 1)
    file = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    config = (checkpoint / "vae" / "config.json").read_text(encoding="utf-8")
    before = load_file(file)
    vae.refine(tmp_path, checkpoint, minutes=0.02, seed=0)
    after = load_file(file)
    # Temporal taps, which no picture meets, become zero.
    now = {name: weight[:, :, -1] if weight.ndim == 5 else weight for name, weight in after.items()}
    then = {name: weight[:, :, -1] if weight.ndim == 5 else weight for name, weight in before.items()}
    moved = {name.split(".")[0] for name in then if "time_conv" not in name and not torch.equal(then[name], now[name])}
    assert "decoder" in moved
    assert not moved & {"encoder", "quant_conv"}
    assert (checkpoint / "vae" / "config.json").read_text(encoding="utf-8") == config
    assert (tmp_path / "vae_refined.done").exists()


def test_reconstructions_are_every_third_picture_and_kept(checkpoint: Path, tasks: TaskSet, tmp_path: Path) -> None:
    pool = gallery(tasks, tasks.every(3))
    seen = reconstructions.reconstructions(tmp_path, "some", pool.pictures, checkpoint)
    assert seen.pictures.shape == (4, 128, 128, 3)
    assert seen.get(1) is None
    assert np.array_equal(seen.get(3), seen.pictures[1])
    assert len(list((tmp_path / "reconstructions").iterdir())) == 1
    whole = with_reconstructions(pool, seen)
    assert len(whole) == len(pool) + 4
    assert whole.natural[len(pool) :].tolist() == pool.natural[::3].tolist()
    assert whole.looks[len(pool) + 1] == pool.looks[3]


def test_stages_run_once_in_order(tmp_path: Path) -> None:
    ran: list[tuple[str, float]] = []

    def stage(name: str) -> Stage:
        return Stage(lambda _build, _checkpoint, *, minutes, seed: ran.append((name, minutes)), 10)

    stages = {name: stage(name) for name in ("first", "second")}
    for _ in range(2):
        train(stages, tmp_path / "build", tmp_path / "checkpoint", seed=0, minutes_scale=0.5)
    assert ran == [("first", 5.0), ("second", 5.0)]


def test_every_part_of_the_checkpoint_has_a_stage() -> None:
    assert list(STAGES) == ["vae", "vae_refined", "faces", "vlm", "denoiser", "own_states", "judge", "calibration"]
    assert set(WARM_STAGES) - {"swapper"} < set(STAGES)
