"""The judge's own stage: it learns from graded pictures, ranks seeds, and leaves the text encoder as it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from export.backbones.qwen_image_edit.checkpoint import load_judge
from studio_mini import architecture
from studio_mini.train import artifacts, face_targets, judge, latent_cache, task_cache
from studio_mini.train.artifacts import Artifacts

SHIPPED = Path(architecture.__file__).parent / "checkpoint"


def painted(natural: list[float], seeds_of: list[int]) -> Artifacts:
    count = len(natural)
    pictures = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    shown = np.maximum(np.array(seeds_of), 0)
    return Artifacts(pictures, shown, np.array(natural, np.float32), np.zeros(count, bool), np.array(seeds_of))


def test_seeds_of_a_task_come_together_with_their_grades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "vary", lambda pictures, _rng, soften: pictures)
    known = painted([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [-1, *[5] * 4, *[6] * 4])
    pictures, natural = judge.SeedGroups(known).draw(6, np.random.default_rng(1))
    assert pictures.shape == (6, 4, 8, 8, 3)
    rows = {1: [0.1, 0.2, 0.3, 0.4], 5: [0.5, 0.6, 0.7, 0.8]}
    for shown, grades in zip(pictures, natural, strict=True):
        first = 1 if float(grades[0]) < 0.3 else 5
        assert grades.tolist() == pytest.approx(rows[first])
        assert np.array_equal(shown, known.pictures[first : first + 4])


def test_kinds_of_pictures_are_drawn_by_their_shares() -> None:
    known = painted([1.0, 1.0, 0.3, 0.2, 0.1], [-1, -1, -1, -1, -1])
    shares = judge._shares(10, known)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[:10].sum() == pytest.approx(judge.GALLERY)
    assert shares[10:12].sum() == pytest.approx(judge.UNTOUCHED)
    assert len(set(shares[12:].tolist())) == 1


def test_the_loss_is_least_where_log_odds_are_those_of_the_grades() -> None:
    natural = torch.tensor([[0.2, 0.4, 0.5, 0.6]])
    right = natural.logit().clone().requires_grad_()
    judge.seeds_loss(right, natural).backward()
    assert right.grad is not None
    torch.testing.assert_close(right.grad, torch.zeros_like(right), atol=1e-6, rtol=0)
    assert judge.seeds_loss(right.flip(1), natural) > judge.seeds_loss(right + 0.2, natural)


def test_the_stage_writes_a_judge_beside_the_text_encoder_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    for module in (task_cache, latent_cache, face_targets):
        monkeypatch.setattr(module, "SHARD", 2)
    monkeypatch.setattr(artifacts, "DRAFTS", {1: 0.0})
    monkeypatch.setattr(artifacts, "sampler_sigmas", lambda steps=2: [1.0, 0.5][:steps])
    for name, value in {"TASKS": 2, "STEPS": 1, "PICTURES": 4, "GROUPS": 1}.items():
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
