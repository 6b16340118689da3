"""LoRA weights in the naming of Qwen-Image-Lightning, fused into a miniature."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from safetensors.torch import save_file

from eacps.models.facts import ScheduleFacts
from eacps.models.schedule import make_schedule
from export.lora import Lora, UnusableLora, schedule_named, scheduler_with
from export.networks.denoiser import DenoiserNetwork
from export.parity import relative_error
from export.precision import Precision
from export.studio_mini.architecture import build_transformer

RANK, ALPHA = 4, 2.0
MODULES = ("attn.to_q", "attn.to_out.0", "attn.add_q_proj")


def write_lora(path: Path, transformer: QwenImageTransformer2DModel, prefix: str = "") -> dict[str, torch.Tensor]:
    """Write random weights; return what each adds to its module's weight at scale 1."""
    generator, state, added = torch.Generator().manual_seed(1), {}, {}
    modules = dict(transformer.named_modules())
    for name in (f"transformer_blocks.{block}.{module}" for block in range(2) for module in MODULES):
        rows, columns = modules[name].weight.shape
        down = torch.randn(RANK, columns, generator=generator)
        up = torch.randn(rows, RANK, generator=generator)
        state |= {f"{prefix}{name}.lora_down.weight": down, f"{prefix}{name}.lora_up.weight": up}
        state[f"{prefix}{name}.alpha"] = torch.tensor(ALPHA)
        added[f"{name}.weight"] = up @ down * ALPHA / RANK
    save_file(state, path)
    return added


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_lora_is_added_to_the_weights(tmp_path: Path, scale: float) -> None:
    transformer = build_transformer(layers=2)
    before = {name: weight.detach().clone() for name, weight in transformer.named_parameters()}
    added = write_lora(tmp_path / "lora.safetensors", transformer)
    Lora(tmp_path / "lora.safetensors", scale).fuse_into(transformer)
    after = dict(transformer.named_parameters())
    assert after.keys() == before.keys()
    for name, weight in after.items():
        expected = before[name] + scale * added.get(name, torch.zeros(()))
        torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-5)


def test_what_is_exported_answers_as_the_fused_transformer(tmp_path: Path) -> None:
    plain, fused = build_transformer(layers=2), build_transformer(layers=2)
    write_lora(tmp_path / "lora.safetensors", fused)
    Lora(tmp_path / "lora.safetensors", 0.05).fuse_into(fused)
    case = next(DenoiserNetwork(fused).cases())
    answers = [DenoiserNetwork(one).runner(Precision.FP32)(case.inputs)["velocity"] for one in (fused, plain)]
    assert relative_error(answers[0], case.expected["velocity"]) < 1e-5
    assert relative_error(answers[1], case.expected["velocity"]) > 1e-2


def test_a_lora_of_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"down_blocks.0.to_q.lora_down.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(UnusableLora, match=r"other\.safetensors"):
        Lora(tmp_path / "other.safetensors").fuse_into(build_transformer(layers=1))


def test_lightnings_schedule_shifts_by_three_whatever_the_size() -> None:
    facts = ScheduleFacts.from_scheduler_config(dict(scheduler_with(schedule_named("lightning")).config))
    for tokens in (64, 4096, 8192):
        sigmas = make_schedule(facts, 8, tokens).sigmas[:-1]
        plain = torch.linspace(1.0, 1 / 8, 8)
        torch.testing.assert_close(sigmas, 3 * plain / (1 + 2 * plain))
    assert math.isclose(facts.max_shift, math.log(3))


def test_a_schedule_may_come_from_a_file(tmp_path: Path) -> None:
    FlowMatchEulerDiscreteScheduler(shift=2.5).save_pretrained(tmp_path)
    settings = schedule_named(str(tmp_path / "scheduler_config.json"))
    assert scheduler_with(settings).config.shift == 2.5
    with pytest.raises(ValueError, match="no schedule 'none'"):
        schedule_named("none")


def test_a_lora_that_fits_in_part_is_refused(tmp_path: Path) -> None:
    """Diffusers takes what fits and logs the rest: a file for more layers, or with a name misspelt."""
    write_lora(tmp_path / "lora.safetensors", build_transformer(layers=2))
    with pytest.raises(UnusableLora, match=r"6 weights that are not of this denoiser, such as .*blocks\.1"):
        Lora(tmp_path / "lora.safetensors").fuse_into(build_transformer(layers=1))
