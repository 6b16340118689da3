"""The plan for a checkpoint of the published size, from its configuration alone: no weights are needed to tell."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from eacps.models.backbones.qwen_image_edit.contract import DENOISER, TEXT_ENCODER
from eacps.models.faces.program import FaceSettings
from eacps.tensors import FACE_EMBED, FACE_PRIOR, FACE_VERIFY, VAE_DECODER
from export.estimates import GIB, NotEnough, check_room, estimate, in_gib
from export.jobs import network_jobs
from export.plan import plan_of, print_plan
from export.serving import config_details
from export.targets import TargetUnavailable
from tests.export.full_size import planned


def test_engines_of_the_published_size(full_size: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    prepared = planned(full_size, checkpoint_dir / "faces", "tensorrt")
    jobs = {job.spec.name: job for job in network_jobs(prepared)}
    denoiser, text_encoder = jobs[DENOISER.name], jobs[TEXT_ENCODER.name]
    assert denoiser.weights == pytest.approx(20.4e9, rel=0.01)
    assert text_encoder.weights == pytest.approx(8.3e9, rel=0.02)
    assert (denoiser.precision, text_encoder.precision, jobs[VAE_DECODER.name].precision) == ("bf16", "bf16", "fp32")
    assert len(denoiser.profiles) == 24
    cost = estimate(denoiser, prepared.target)
    assert cost.disk == pytest.approx(38 * GIB, rel=0.01)
    assert cost.memory > 4 * denoiser.weights + 2 * denoiser.weights
    console = Console(record=True, width=160)
    print_plan(prepared, tmp_path / "output", console)
    shown = console.export_text()
    assert "20,430.4 M" in shown
    assert "sizes 1024x1024, 832x1248, 1248x832, 512x512; up to 3 pictures; batches up to 4" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("target", "canvas"), [("tensorrt", 640), ("onnxruntime", None)])
def test_faces_are_looked_for_at_insightfaces_sizes_whatever_the_target(
    full_size: Path, checkpoint_dir: Path, target: str, canvas: int | None
) -> None:
    prepared = planned(full_size, checkpoint_dir / "faces", target)
    for spec in (FACE_EMBED, FACE_VERIFY):
        settings = FaceSettings.from_parameters(config_details(prepared, spec).parameters)
        assert settings == FaceSettings((128, 640), detection_canvas=canvas)
    assert not config_details(prepared, FACE_PRIOR).parameters


def test_what_this_machine_cannot_hold_is_refused(full_size: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    plan = plan_of(planned(full_size, checkpoint_dir / "faces", "torch"), tmp_path / "output")
    whole = plan.whole
    with pytest.raises(NotEnough, match=r"needs .* GiB of disk at .*, where .* are free"):
        check_room(type(whole)(disk=2**60, scratch=0, memory=0, seconds=0.0), tmp_path)
    with pytest.raises(NotEnough, match=r"GiB of memory, where .* are available; --unchecked"):
        check_room(type(whole)(disk=0, scratch=0, memory=2**60, seconds=0.0), tmp_path)


def test_the_plan_counts_a_second_process(
    full_size: Path, checkpoint_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is room for both, the denoiser is made beside all others: more memory, less time."""
    plan = plan_of(planned(full_size, checkpoint_dir / "faces", "torch"), tmp_path / "output")
    denoiser, *others = (line.cost for line in reversed(plan.lines))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("export.making.available_memory", lambda: 2**40)
    assert plan.whole.memory == denoiser.memory + max(cost.memory for cost in others)
    assert plan.whole.seconds == pytest.approx(max(denoiser.seconds, sum(cost.seconds for cost in others)))
    assert plan.whole.disk == plan.least.disk == denoiser.disk + sum(cost.disk for cost in others)
    monkeypatch.setattr("export.making.available_memory", lambda: 2**30)
    assert plan.whole == plan.least
    assert plan.least.memory == denoiser.memory
    assert plan.least.seconds == pytest.approx(denoiser.seconds + sum(cost.seconds for cost in others))


def test_large_bf16_graphs_need_a_gpu_for_their_gate(full_size: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    plan = plan_of(planned(full_size, checkpoint_dir / "faces", "onnxruntime"), tmp_path / "output")
    with pytest.raises(TargetUnavailable, match="parity of text_encoder and denoiser in bf16 needs onnxruntime-gpu"):
        plan.check()


def test_a_checkpoint_of_another_pipeline_is_refused(full_size: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(full_size, other)
    (other / "model_index.json").write_text(json.dumps({"_class_name": "QwenImagePipeline"}))
    with pytest.raises(ValueError, match="is for QwenImagePipeline; served are QwenImageEditPipeline"):
        planned(other, checkpoint_dir / "faces", "tensorrt")


def test_a_small_size_is_in_mebibytes() -> None:
    assert [in_gib(size) for size in (3 * 2**20, 2**30, 93 * 2**30)] == ["3 MiB", "1.0 GiB", "93.0 GiB"]
