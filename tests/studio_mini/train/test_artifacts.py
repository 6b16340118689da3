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
    """A build folder with six tasks and their latents."""
    torch.set_num_threads(1)
    build = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        for module in (task_cache, latent_cache):
            patch.setattr(module, "SHARD", 6)
        task_cache.ensure_tasks(build, 6)
        store = latent_cache.LatentStore(build, CHECKPOINT, seed=0)
        store.grow(6)
        yield build, store.load(), task_cache.cached_tasks(build)


def test_restarts_keep_less_of_the_truth_the_noisier_they_start(world) -> None:
    _, examples, tasks = world
    encoders = latent_cache.Encoders(CHECKPOINT)
    model = artifacts.QwenImageTransformer2DModel.from_pretrained(CHECKPOINT, subfolder="transformer").float().eval()
    sigmas = artifacts.sampler_sigmas()
    errors = []
    for first in (7, 4, 0):
        latents = artifacts.paint(model, examples, np.arange(6), sigmas[first:], np.random.default_rng(0))
        errors.append(np.abs(encoders.pictures(latents).astype(float) - tasks.truth).mean())
    assert errors[0] < errors[1] < errors[2]


def test_painted_once_graded_and_kept(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, examples, tasks = world
    monkeypatch.setattr(artifacts, "BATCH", 1)
    painted = artifacts.artifacts(tmp_path, CHECKPOINT, examples, 6, seed=0)
    assert painted.pictures.shape == (6, 128, 128, 3)
    assert ((painted.natural >= 0) & (painted.natural < 1)).all()
    assert len(set(painted.natural.tolist())) > 2
    assert not (painted.shows_look & (painted.natural < 0.5)).any()
    monkeypatch.setattr(artifacts, "Encoders", None)
    assert np.array_equal(artifacts.artifacts(tmp_path, CHECKPOINT, examples, 6, seed=0).pictures, painted.pictures)
    pool = artifacts.with_artifacts(gallery(tasks), painted, tasks)
    assert len(pool) == 3 * 6 + 6
    example = draw_example(pool, 60, np.random.default_rng(0))
    hidden = example.weights[:, 0] == 0
    assert (example.weights[:, -1] == 1).all()
    assert hidden.any()
    assert set(example.answers[hidden][:, -1].tolist()) <= set(painted.natural.tolist())


def test_shaken_weights_are_as_far_away_as_stated() -> None:
    model = architecture.build_transformer(0, layers=1)
    other = artifacts.shaken(model, seed=1)
    name, weight = next((n, w) for n, w in model.named_parameters() if w.ndim == 2 and "transformer_blocks" in n)
    weight = weight.detach()
    moved = other.get_parameter(name).detach() - weight
    assert float(moved.std() / weight.std()) == pytest.approx(artifacts.SHAKEN_BY, rel=0.05)
