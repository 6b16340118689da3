"""The plan for a checkpoint of the published size, from its configuration alone: no weights are needed to tell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from rich.console import Console
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from eacps.tensors import DENOISER, TEXT_ENCODER, VAE_DECODER
from export.estimates import GIB, NotEnough, check_room, estimate
from export.models import PreparedCheckpoint
from export.plan import plan_of, print_plan
from export.request import ExportRequest, gather
from export.targets import TargetUnavailable

TEXT = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
}
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "window_size": 112,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


@pytest.fixture(scope="module")
def full_size(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configurations of the published sizes; tokenizer and faces are studio-mini's."""
    folder = tmp_path_factory.mktemp("full") / "Qwen-Image-Edit-2511"
    folder.mkdir()
    with torch.device("meta"):
        QwenImageTransformer2DModel(zero_cond_t=True).save_config(folder / "transformer")
        AutoencoderKLQwenImage().save_config(folder / "vae")
    Qwen2_5_VLConfig(text_config=TEXT, vision_config=VISION).save_pretrained(folder / "text_encoder")
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    shutil.copytree(checkpoint_dir / "processor", folder / "processor")
    Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 12845056}).save_pretrained(
        folder / "processor"
    )
    shutil.copy(checkpoint_dir / "model_index.json", folder)
    return folder


def planned(folder: Path, faces: Path, target: str) -> PreparedCheckpoint:
    return PreparedCheckpoint(gather(ExportRequest(str(folder), target=target, faces=str(faces)), weights=False))


def test_engines_of_the_published_size(full_size: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    prepared = planned(full_size, checkpoint_dir / "faces", "tensorrt")
    jobs = {job.spec.name: job for job in prepared.jobs()}
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
    told = console.export_text()
    assert "20,430.4 M" in told
    assert "sizes 1024x1024, 832x1248, 1248x832, 512x512; up to 3 pictures; batches up to 4" in told
    assert list(tmp_path.iterdir()) == []


def test_what_this_machine_cannot_hold_is_refused(full_size: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    plan = plan_of(planned(full_size, checkpoint_dir / "faces", "torch"), tmp_path / "output")
    whole = plan.whole
    with pytest.raises(NotEnough, match=r"needs .* GiB of disk at .*, where .* are free"):
        check_room(type(whole)(disk=2**60, scratch=0, memory=0, seconds=0.0), tmp_path)
    with pytest.raises(NotEnough, match=r"GiB of memory, where .* are available; --unchecked"):
        check_room(type(whole)(disk=0, scratch=0, memory=2**60, seconds=0.0), tmp_path)


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
