"""``python -m benchmarks.gpu``: what one denoising step of the full-size Qwen-Image-Edit-2511 costs on a GPU.

What is measured is the module that the exporter's ``torch`` target serves, in bfloat16 with norms in float32. The
architecture is that of the published checkpoint, 20 billion parameters, with random weights made on the device: speed
and memory do not depend on what the weights say. Measured are 512 and 1024 pixels squared, batches of 1 to 8, eager and
compiled, with two conditioning pictures of the result's size. Nothing is downloaded; within nine minutes it prints a
table last, and writes ``out/gpu/steps.json``.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import QwenImageTransformer2DModel
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from eacps.models.backbones.qwen_image_edit.rope import image_rope, text_rope
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from export.precision import Precision, at_precision

PIXELS_PER_TOKEN = 16  # the autoencoder's 8, and patches of 2
CONDITIONING_PICTURES = 2
TEXT_TOKENS = 512  # a prompt and two pictures as the text encoder sees them
WARM_UP, REPEATS = 2, 5
_MATRIX = 8192


@dataclass(frozen=True)
class Architecture:
    """Size of the transformer; the defaults are the published one's."""

    layers: int = 60
    heads: int = 24
    head_size: int = 128
    text_channels: int = 3584
    rope_axes: tuple[int, int, int] = (16, 56, 56)


@dataclass(frozen=True)
class Case:
    """What is measured: a square picture of ``side`` pixels, so many at once, compiled or not."""

    side: int
    batch: int
    compiled: bool


@dataclass(frozen=True)
class Measurement:
    """One case's figures.

    Attributes:
        step_s: Median seconds of one step; None where it did not fit into memory.
        tflops: Floating-point operations of a step, in 10^12.
        peak_share: Share of the matrix throughput that was measured on the same device.
        memory_gib: Most memory allocated; 0 on a CPU.
    """

    case: Case
    step_s: float | None
    tflops: float
    peak_share: float | None
    memory_gib: float


def build(architecture: Architecture, device: torch.device, dtype: torch.dtype) -> QwenImageTransformer2DModel:
    """Make the transformer on the device, with random weights in their final type: it is never held twice."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = QwenImageTransformer2DModel(
                num_layers=architecture.layers,
                num_attention_heads=architecture.heads,
                attention_head_dim=architecture.head_size,
                joint_attention_dim=architecture.text_channels,
                axes_dims_rope=architecture.rope_axes,
                zero_cond_t=True,
            )
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def served(model: QwenImageTransformer2DModel) -> torch.nn.Module:
    """Return the module that the torch target serves, over the model's own weights."""
    rounded = model.img_in.weight.dtype is torch.bfloat16
    graph = DenoiserGraph(model, fused=True)
    return at_precision(graph, Precision.BF16 if rounded else Precision.FP32).eval()


def inputs(model: QwenImageTransformer2DModel, side: int, batch: int) -> tuple[torch.Tensor, ...]:
    """Return the inputs of one step in the contract's order."""
    device, config, rope = model.img_in.weight.device, model.config, model.pos_embed
    grids = [(side // PIXELS_PER_TOKEN,) * 2] * (1 + CONDITIONING_PICTURES)
    tokens = grids[0][0] ** 2
    image = image_rope(grids, rope.axes_dim, rope.theta).to(device)
    text = text_rope(TEXT_TOKENS, grids, rope.axes_dim, rope.theta).to(device)
    return (
        torch.randn(batch, tokens, config.in_channels, device=device),
        torch.randn(batch, CONDITIONING_PICTURES * tokens, config.in_channels, device=device),
        torch.randn(batch, TEXT_TOKENS, config.joint_attention_dim, device=device),
        torch.ones(batch, TEXT_TOKENS, dtype=torch.bool, device=device),
        torch.full((batch, 1), 0.5, device=device),
        image.expand(batch, -1, -1, -1),
        text.expand(batch, -1, -1, -1),
    )


def median_s(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Return the median seconds of ``work``, warmed up, the device's queue included."""
    times = []
    for number in range(WARM_UP + repeats):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        if number >= WARM_UP:
            times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


def matrix_tflops(device: torch.device, dtype: torch.dtype, size: int = _MATRIX) -> float:
    """Measure the device's matrix throughput, in 10^12 operations a second: what a step is held against."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / median_s(lambda: a @ b, device) / 1e12


def measure(model: QwenImageTransformer2DModel, case: Case, device: torch.device, peak_tflops: float) -> Measurement:
    """Measure one case; running out of memory is a result."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        with torch.inference_mode():
            given, module = inputs(model, case.side, case.batch), served(model)
            with FlopCounterMode(display=False) as counter:
                module(*given)
            tflops = counter.get_total_flops() / 1e12
            step = torch.compile(module) if case.compiled else module
            step_s = median_s(lambda: step(*given), device)
    except torch.OutOfMemoryError:
        return Measurement(case, None, 0.0, None, _memory_gib(device))
    finally:
        torch.compiler.reset()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return Measurement(case, step_s, tflops, tflops / step_s / peak_tflops, _memory_gib(device))


def cases(sides: list[int], batches: list[int]) -> Iterator[Case]:
    """Yield all cases, the small ones first, eager before compiled."""
    for compiled in (False, True):
        for side in sides:
            for batch in batches:
                yield Case(side, batch, compiled)


def report(measurements: list[Measurement], machine: dict[str, Any], console: Console) -> None:
    """Print the table."""
    weights, peak = machine["parameters_1e9"], machine["matrix_tflops"]
    table = Table(title=f"{machine['device']}, matrices {peak:.0f} TFLOP/s, {weights:.1f}e9 weights")
    for column in ("pixels", "batch", "", "s a step", "s a picture and step", "TFLOP/s", "of the matrices'", "GiB"):
        table.add_column(column, justify="right")
    for one in measurements:
        case, kind = one.case, "compiled" if one.case.compiled else "eager"
        figures = ["out of memory", "", "", ""]
        if one.step_s is not None and one.peak_share is not None:
            figures = [
                f"{one.step_s:.3f}",
                f"{one.step_s / case.batch:.3f}",
                f"{one.tflops / one.step_s:.0f}",
                f"{one.peak_share:.0%}",
            ]
        table.add_row(f"{case.side} x {case.side}", str(case.batch), kind, *figures, f"{one.memory_gib:.1f}")
    console.print(table)


def run(
    architecture: Architecture, device: torch.device, wanted: list[Case], *, minutes: float, out: Path, console: Console
) -> list[Measurement]:
    """Measure until all is measured or the time is up, and write what there is after every case."""
    end = time.monotonic() + 60 * minutes
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    peak = matrix_tflops(device, dtype, _MATRIX if device.type == "cuda" else 256)
    model = build(architecture, device, dtype)
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "matrix_tflops": peak,
        "parameters_1e9": sum(weight.numel() for weight in model.parameters()) / 1e9,
    }
    found: list[Measurement] = []
    out.mkdir(parents=True, exist_ok=True)
    for case in wanted:
        if time.monotonic() > end:
            console.print(f"time is up: {len(wanted) - len(found)} cases were not measured")
            break
        found.append(measure(model, case, device, peak))
        console.print(f"{case}: {found[-1].step_s} s", highlight=False)
        rows = [asdict(one) for one in found]
        (out / "steps.json").write_text(json.dumps({**machine, "measurements": rows}, indent=2) + "\n")
    report(found, machine, console)
    return found


def main() -> int:
    """Run the command; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description="Measure a denoising step of full-size Qwen-Image-Edit on a GPU.")
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024], help="of the square picture, pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--minutes", type=float, default=9.0, help="after which no further case begins")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    if not torch.cuda.is_available():
        console.print("this machine has no GPU that torch can use", style="bold red")
        return 2
    wanted = list(cases(arguments.sides, arguments.batches))
    device = torch.device("cuda")
    run(Architecture(), device, wanted, minutes=arguments.minutes, out=arguments.out, console=console)
    return 0


def _memory_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
