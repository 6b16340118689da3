"""Training that goes on from finished weights: what must stay stays, what it learns from is what it says."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from studio_mini import architecture
from studio_mini.architecture import build_processor, save_checkpoint
from studio_mini.tokenizer import train_tokenizer
from studio_mini.train import latent_cache, reconstructions, task_cache, vae, vlm
from studio_mini.train.__main__ import STAGES, WARM_STAGES, Stage, train
from studio_mini.train.artifacts import Artifacts
from studio_mini.train.task_cache import TaskSet, render_tasks
from studio_mini.train.training_data import Gallery, gallery, with_reconstructions
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


def test_drift_is_none_before_the_first_step_and_some_after(tasks: TaskSet) -> None:
    student, other = (vlm.Student(build_processor(train_tokenizer()), seed=seed) for seed in (0, 1))
    vlm.use_float32_attention(student.model)
    same = student.drift(student.model, tasks, np.random.default_rng(0))
    assert float(same.detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(student.drift(other.model, tasks, np.random.default_rng(0)).detach()) > 0.1


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
    assert list(STAGES) == ["vae", "vae_refined", "faces", "vlm", "judge", "denoiser", "own_states", "calibration"]
    assert set(WARM_STAGES) - {"swapper"} < set(STAGES)


def test_the_judge_is_refined_on_the_denoisers_faults_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (task_cache, latent_cache):
        monkeypatch.setattr(module, "SHARD", 3)
    for name, value in {"REFINE_TASKS": 3, "PAINTED_TASKS": 3, "STEPS": 2, "BATCH": 4}.items():
        monkeypatch.setattr(vlm, name, value)
    shown: list[float] = []
    real = vlm.with_artifacts

    def noted(pool: Gallery, painted: Artifacts, drawn: TaskSet) -> Gallery:
        shown.extend(painted.natural.tolist())
        return real(pool, painted, drawn)

    monkeypatch.setattr(vlm, "with_artifacts", noted)
    folder = shutil.copytree(SHIPPED, tmp_path / "checkpoint")
    vlm.refine(tmp_path / "build", folder, minutes=None, seed=0)
    assert len(shown) == 3
    before, after = (load_file(root / "text_encoder" / "model.safetensors") for root in (SHIPPED, folder))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name].float(), after[name].float()) for name in before)
