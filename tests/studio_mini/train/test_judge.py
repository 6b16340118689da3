"""The judge's own stage: it learns from graded pictures, and leaves the text encoder as it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from export.backbones.qwen_image_edit.checkpoint import load_judge
from studio_mini import architecture
from studio_mini.train import artifacts, judge, latent_cache, task_cache
from studio_mini.train.artifacts import Artifacts

SHIPPED = Path(architecture.__file__).parent / "checkpoint"


def test_kinds_of_pictures_are_drawn_by_their_shares() -> None:
    natural = np.array([1.0, 1.0, 0.3, 0.2, 0.1], np.float32)
    known = Artifacts(np.zeros((5, 8, 8, 3), np.uint8), np.zeros(5, np.int64), natural, np.zeros(5, bool))
    shares = judge._shares(10, known)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[:10].sum() == pytest.approx(judge.GALLERY)
    assert shares[10:12].sum() == pytest.approx(judge.UNTOUCHED)
    assert len(set(shares[12:].tolist())) == 1


def test_the_stage_writes_a_judge_beside_the_text_encoder_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    for module in (task_cache, latent_cache):
        monkeypatch.setattr(module, "SHARD", 2)
    monkeypatch.setattr(artifacts, "DRAFTS", {1: 0.0})
    monkeypatch.setattr(artifacts, "sampler_sigmas", lambda steps=2: [1.0, 0.5][:steps])
    for name, value in {"TASKS": 2, "STEPS": 1, "PICTURES": 4}.items():
        monkeypatch.setattr(judge, name, value)
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "checkpoint", ignore=shutil.ignore_patterns("judge")))
    judge.run(tmp_path / "build", folder, minutes=None, seed=0)
    first = load_file(folder / "judge" / "model.safetensors")
    text = load_file(folder / "text_encoder" / "model.safetensors")
    assert first.keys() == text.keys()
    assert {weight.dtype for weight in first.values()} == {torch.float16}
    visual = [name for name in text if name.startswith("visual")]
    assert any(not torch.equal(first[name], text[name].half()) for name in visual)
    assert (folder / "text_encoder" / "model.safetensors").read_bytes() == (
        SHIPPED / "text_encoder" / "model.safetensors"
    ).read_bytes()
    assert load_judge(folder).dtype == torch.float32
    monkeypatch.setattr(judge, "STEPS", 2)
    monkeypatch.setattr(artifacts, "paint", None)  # what was painted is kept
    judge.run(tmp_path / "build", folder, minutes=None, seed=0)
    second = load_file(folder / "judge" / "model.safetensors")
    assert any(not torch.equal(first[name], second[name]) for name in first)
