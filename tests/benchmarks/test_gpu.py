"""The GPU benchmark, on a miniature of the architecture and without a GPU: what it counts and what it writes."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import gpu
from benchmarks.gpu import Architecture, Case, build, cases, inputs, measure, run, served
from eacps.models.backbones.qwen_image_edit.contract import DENOISER

CPU = torch.device("cpu")
TINY = Architecture(layers=2, heads=2, head_size=16, text_channels=24, rope_axes=(4, 6, 6))


def test_the_default_is_the_published_architecture() -> None:
    with torch.device("meta"):
        model = gpu.QwenImageTransformer2DModel(zero_cond_t=True)
    published, ours = model.config, Architecture()
    assert (published.num_layers, published.num_attention_heads) == (ours.layers, ours.heads)
    assert (published.attention_head_dim, published.joint_attention_dim) == (ours.head_size, ours.text_channels)
    assert tuple(published.axes_dims_rope) == ours.rope_axes
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(20.4e9, rel=0.01)


def test_a_step_counts_tokens_of_result_and_conditioning() -> None:
    given = dict(
        zip((tensor.name for tensor in DENOISER.inputs), inputs(build(TINY, CPU, torch.float32), 64, 3), strict=True)
    )
    assert given["latents"].shape == (3, 16, 64)
    assert given["picture_latents"].shape == (3, 2 * 16, 64)
    assert given["img_rope"].shape == (3, 3 * 16, 8, 2)


def test_weights_are_made_in_their_final_type() -> None:
    model = build(TINY, CPU, torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() is torch.float32
    with torch.inference_mode():
        velocity = served(model)(*inputs(model, 64, 1))
    assert velocity.dtype is torch.float32
    assert velocity.isfinite().all()
    pointers = {weight.data_ptr() for weight in model.parameters() if weight.ndim == 2}
    assert pointers <= {weight.data_ptr() for weight in served(model).parameters()}, "weights are not held twice"


def test_operations_are_those_of_the_layers_and_grow_with_the_batch() -> None:
    model = build(TINY, CPU, torch.float32)
    one, two = (measure(model, Case(64, batch, compiled=False), CPU, peak_tflops=1.0) for batch in (1, 2))
    assert two.tflops == pytest.approx(2 * one.tflops, rel=0.05)
    weights = sum(weight.numel() for name, weight in model.named_parameters() if "blocks" in name and "img_mlp" in name)
    assert one.tflops * 1e12 > 2 * 48 * weights, "every image token passes the image stream's layers"
    assert one.step_s is not None
    assert one.peak_share == pytest.approx(one.tflops / one.step_s)


def test_what_was_measured_is_written_and_printed(tmp_path: Path) -> None:
    console = Console(record=True, width=140)
    found = run(TINY, CPU, list(cases([64], [1, 2]))[:2], minutes=5, out=tmp_path, console=console)
    written = json.loads((tmp_path / "steps.json").read_text())
    assert [one["case"]["batch"] for one in written["measurements"]] == [1, 2]
    assert written["measurements"][0]["step_s"] == found[0].step_s
    assert "64 x 64" in console.export_text()


def test_when_time_is_up_it_says_what_is_missing(tmp_path: Path) -> None:
    console = Console(record=True, width=140)
    assert run(TINY, CPU, list(cases([64], [1, 2])), minutes=-1, out=tmp_path, console=console) == []
    assert "4 cases were not measured" in console.export_text()


def test_running_out_of_memory_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> dict[str, object]:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(gpu, "inputs", full)
    measured = measure(build(TINY, CPU, torch.float32), Case(64, 1, compiled=False), CPU, peak_tflops=1.0)
    assert measured.step_s is None
