"""The cache holds what the pipeline would compute."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.backbones.qwen_image_edit.checkpoint import encode_prompt, load_pipeline
from studio_mini import architecture
from studio_mini.measure.identity import drawn_swap
from studio_mini.train import latent_cache, task_cache
from studio_mini.train.latent_cache import DROPPED_PROMPT, Encoders, pack, unpack
from studio_mini.train.swapped import with_swapped_priors
from studio_mini.world.tasks import Split

SHIPPED_FACES = Path(architecture.__file__).parent / "checkpoint" / "faces"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    return _untrained(folder, seed=5)


def _untrained(folder: Path, *, seed: int) -> Path:
    """Write fresh networks beside the shipped face pack."""
    architecture.save_checkpoint(folder, seed=seed)
    shutil.copytree(SHIPPED_FACES, folder / "faces")
    return folder


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)


def test_packing_is_the_pipelines() -> None:
    latents = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(pack(latents)), latents)
    pipeline_packed = architecture.QwenImageEditPlusPipeline._pack_latents(latents[:, None], 2, 16, 16, 16)
    assert torch.equal(pack(latents), pipeline_packed)


@torch.no_grad()
def test_latents_and_texts_are_the_pipelines(checkpoint: Path, pictures: np.ndarray) -> None:
    pipeline, encoders = load_pipeline(checkpoint), Encoders(checkpoint)
    shown = [Image.fromarray(p) for p in pictures]
    scaled = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2)[:, :, None].float() / 127.5 - 1
    theirs = pipeline._encode_vae_image(scaled, torch.Generator())
    torch.testing.assert_close(encoders.latents(pictures[:1]), pack(theirs[:, :, 0]), atol=1e-4, rtol=1e-3)
    prompts = ["make the person smile", "Wearing a hat.", DROPPED_PROMPT]
    for count in (1, 2):
        texts, lengths = encoders.texts([p[None] for p in pictures[:count]], [[p] for p in prompts])
        for slot, prompt in enumerate(prompts):
            expected, _ = encode_prompt(pipeline, shown[:count], prompt)
            assert int(lengths[0, slot]) == expected.shape[1]
            torch.testing.assert_close(texts[0, slot, : expected.shape[1]], expected[0], atol=1e-4, rtol=1e-3)


def test_store_grows_and_knows_its_encoders(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_cache, "SHARD", 2)
    monkeypatch.setattr(latent_cache, "SHARD", 2)
    task_cache.ensure_tasks(tmp_path, 4)
    store = latent_cache.LatentStore(tmp_path, checkpoint, seed=0)
    store.grow(2)
    assert len(store.load()) == 2
    store.grow(4)
    examples = store.load()
    assert len(examples) == 4
    fresh = Encoders(checkpoint).latents(task_cache.cached_shard(tmp_path, 1).truth)
    torch.testing.assert_close(examples.truth[2:].float(), fresh, atol=5e-3, rtol=1e-2)
    other = _untrained(tmp_path / "other", seed=6)
    with pytest.raises(FileNotFoundError):
        latent_cache.LatentStore(tmp_path, other, seed=0).load()


def test_every_second_shard_shows_what_the_face_pack_makes(checkpoint: Path, tmp_path: Path) -> None:
    tasks, encoders = task_cache.render_tasks(range(3), Split.TRAIN), Encoders(checkpoint)
    swapped = with_swapped_priors(tasks, encoders.pack)
    assert np.array_equal(swapped.scene, tasks.scene)
    expected = drawn_swap(encoders.pack, tasks.scene[0], tasks.character[0])
    assert expected is not None
    assert np.array_equal(swapped.prior[0], expected)
    assert not np.array_equal(swapped.prior[0], tasks.prior[0])
