"""What the judge is shown of the denoiser's faults: graded, true to its grade, kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

from studio_mini import architecture
from studio_mini.train import artifacts, latent_cache, task_cache
from studio_mini.train.training_data import draw_example, gallery

CHECKPOINT = Path(architecture.__file__).parent / "checkpoint"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    """Six tasks and what painters need of them."""
    torch.set_num_threads(1)
    build = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        for module in (task_cache, latent_cache):
            patch.setattr(module, "SHARD", 6)
        task_cache.ensure_tasks(build, 6)
        store = latent_cache.LatentStore(build, CHECKPOINT, seed=0)
        store.grow(6)
        yield artifacts.Studies(task_cache.cached_tasks(build), store.load())


def test_restarts_keep_less_of_the_truth_the_noisier_they_start(world) -> None:
    examples, tasks = world.examples, world.tasks
    encoders = latent_cache.Encoders(CHECKPOINT)
    model = artifacts.QwenImageTransformer2DModel.from_pretrained(CHECKPOINT, subfolder="transformer").float().eval()
    sigmas = artifacts.sampler_sigmas()
    errors = []
    for first in (7, 4, 0):
        latents = artifacts.paint(model, examples, np.arange(6), sigmas[first:], np.random.default_rng(0))
        errors.append(np.abs(encoders.pictures(latents).astype(float) - tasks.truth).mean())
    assert errors[0] < errors[1] < errors[2]


def test_painted_once_graded_and_kept(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "BATCH", 2)
    tasks, counts = world.tasks, {"faulty": 6, "untouched": 3, "seed": 0}
    painted = artifacts.artifacts(tmp_path, CHECKPOINT, world, [CHECKPOINT], **counts)
    assert painted.pictures.shape == (3 + 6, 128, 128, 3)
    assert (painted.natural[:3] == 1).all()
    assert painted.shows_look[:3].all()
    assert np.abs(painted.pictures[:3].astype(float) - tasks.truth[:3]).mean() < 10
    assert ((painted.natural[3:] >= 0) & (painted.natural[3:] < 1)).all()
    assert len(set(painted.natural[3:].tolist())) > 1
    assert not (painted.shows_look & (painted.natural < 0.5)).any()
    monkeypatch.setattr(artifacts, "paint", None)
    again = artifacts.artifacts(tmp_path, CHECKPOINT, world, [CHECKPOINT], **counts)
    assert np.array_equal(again.pictures, painted.pictures)
    pool = artifacts.with_artifacts(gallery(tasks), painted, tasks)
    assert len(pool) == 3 * 6 + len(painted.natural)
    example = draw_example(pool, 60, np.random.default_rng(0))
    hidden = example.weights[:, 0] == 0
    assert (example.weights[:, -1] == 1).all()
    assert hidden.any()
    assert set(example.answers[hidden][:, -1].tolist()) <= set(painted.natural.tolist())


def test_each_painter_begins_with_other_tasks(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts.Painter, "restart", lambda *_: np.zeros((2, 128, 128, 3), np.uint8))
    monkeypatch.setattr(artifacts, "KINDS", ("whole",))
    monkeypatch.setattr(artifacts, "BATCH", 2)
    other = tmp_path / "other"
    architecture.build_transformer(0, layers=1).save_pretrained(other / "transformer")
    folders = [CHECKPOINT, other]
    painted = artifacts.artifacts(tmp_path, CHECKPOINT, world, folders, faulty=2, untouched=0, seed=0)
    assert painted.tasks.tolist() == [0, 1, 2, 3]
    assert len(list((tmp_path / "painted").iterdir())) == 2


@pytest.mark.parametrize("by", artifacts.SHAKEN)
def test_shaken_weights_are_as_far_away_as_stated(by: float) -> None:
    model = architecture.build_transformer(0, layers=1)
    other = artifacts.shaken(model, by, seed=1)
    name, weight = next((n, w) for n, w in model.named_parameters() if w.ndim == 2 and "transformer_blocks" in n)
    weight = weight.detach()
    moved = other.get_parameter(name).detach() - weight
    assert float(moved.std() / weight.std()) == pytest.approx(by, rel=0.05)
