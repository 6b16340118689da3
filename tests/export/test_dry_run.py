"""``--dry-run`` refuses what the export refuses, in the same words, and needs no network for local files."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from transformers.utils.logging import is_progress_bar_enabled
from typer.testing import CliRunner

from export.__main__ import main
from export.inspection import check_output
from tests.export.hub import serving_hub

ROOT = Path(__file__).resolve().parents[2]
Break = Callable[[Path], object]
SCHEDULER = "scheduler/scheduler_config.json"


@pytest.fixture(scope="module")
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


def edit(name: str, **settings: object) -> Break:
    def apply(checkpoint: Path) -> None:
        file = checkpoint / name
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))

    return apply


def overwrite(name: str, text: str) -> Break:
    return lambda checkpoint: (checkpoint / name).write_text(text)


def spoil_weight(checkpoint: Path) -> None:
    file = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_in.bias"][0] = float("nan")
    save_file(weights, file)


def drop_weight(checkpoint: Path) -> None:
    file = checkpoint / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    del weights["lm_head.weight"]
    save_file(weights, file)


def half_a_lora(checkpoint: Path) -> None:
    save_file({"proj_out.lora_A.weight": torch.ones(1, 128)}, checkpoint.parent / "half.safetensors")


def nothing(_: Path) -> None:
    """Leave the checkpoint as it is."""


# What is wrong, options, exit code, message. `{tmp}` stands for the folder that holds checkpoint and output.
REFUSALS: dict[str, tuple[Break, list[str], int, str]] = {
    "a revision of a folder": (nothing, ["--revision", "main"], 2, "has no revisions"),
    "a size that is none": (nothing, ["--size", "big"], 2, "is no size such as"),
    "a size of nothing": (nothing, ["--size", "00x00"], 2, "multiples of 16: 0x0"),
    "a strip": (nothing, ["--size", "16x9600"], 2, "longer than 8 times their width: 16x9600"),
    "no checkpoint": (nothing, ["--checkpoint", ""], 2, "there is no checkpoint at an empty path"),
    "no faces": (nothing, ["--faces", ""], 2, "there is no face pack at an empty path"),
    "a schedule of another sampler": (
        lambda folder: (folder.parent / "ddim.json").write_text('{"_class_name": "DDIMScheduler"}'),
        ["--schedule", "{tmp}/ddim.json"],
        2,
        "is of DDIMScheduler; served is FlowMatchEulerDiscreteScheduler",
    ),
    "a size that does not fit": (nothing, ["--size", "100x100"], 2, "multiples of 16"),
    "a precision": (nothing, ["--precision", "bf16"], 2, "target embedded cannot serve bf16"),
    "a number of pictures": (nothing, ["--pictures", "4"], 2, "takes 1 to 3 pictures"),
    "a scale alone": (nothing, ["--lora-scale", "0.5"], 2, "--lora-scale needs a --lora"),
    "no such LoRA": (nothing, ["--lora", "none.safetensors"], 2, "there is no file none.safetensors"),
    "half a LoRA": (half_a_lora, ["--lora", "{tmp}/half.safetensors"], 1, "proj_out has no lora_B.weight"),
    "no such schedule": (nothing, ["--schedule", "fast"], 2, "no schedule 'fast'"),
    "no such schedule file": (nothing, ["--schedule", "none.json"], 2, "there is no file none.json"),
    "no such faces": (nothing, ["--faces", "no/pack"], 2, "there is no face pack at no/pack"),
    "no such swapper": (nothing, ["--swapper", "none.onnx"], 2, "there is no file none.onnx"),
    "no such verifier": (nothing, ["--verifier", "none.onnx"], 2, "there is no file none.onnx"),
    "a missing part": (lambda folder: shutil.rmtree(folder / "vae"), [], 1, "lacks vae"),
    "another pipeline": (edit("model_index.json", _class_name="FluxPipeline"), [], 1, "is for FluxPipeline"),
    "another class": (edit("vae/config.json", _class_name="AutoencoderKL"), [], 1, "is of AutoencoderKL"),
    "a sampler": (edit("scheduler/scheduler_config.json", use_karras_sigmas=True), [], 1, "use_karras_sigmas"),
    "another scheduler": (edit(SCHEDULER, _class_name="DDIMScheduler"), [], 1, "is of DDIMScheduler; served is Flow"),
    "a shift of letters": (edit(SCHEDULER, shift="x", max_shift=True), [], 1, "holds no usable shift, max_shift"),
    "a last level above 1": (edit(SCHEDULER, shift_terminal=2), [], 1, "holds no usable shift_terminal"),
    "a shift that is no number": (edit(SCHEDULER, max_shift=math.nan), [], 1, "holds no usable max_shift"),
    "a scheduler of braces": (overwrite(SCHEDULER, "{"), [], 1, "checkpoint/scheduler cannot be read"),
    "layers of letters": (
        edit("transformer/config.json", num_layers="many"),
        [],
        1,
        "transformer cannot be read: ",
    ),
    "a list for layers": (overwrite("transformer/config.json", "[]"), [], 1, "transformer/config.json cannot be read"),
    "channels of letters": (edit("vae/config.json", z_dim="x"), [], 1, "checkpoint/vae cannot be read"),
    "a broken tokenizer": (overwrite("processor/tokenizer.json", "{"), [], 1, "checkpoint/processor cannot be read"),
    "a broken preprocessor": (overwrite("processor/preprocessor_config.json", "{"), [], 1, "processor cannot be read"),
    "no tokenizer": (lambda folder: (folder / "processor" / "tokenizer.json").unlink(), [], 1, "lacks a tokenizer"),
    "another tokenizer": (
        edit("text_encoder/config.json", image_token_id=3),
        [],
        1,
        "the text encoder expects it as 3",
    ),
    "an area of letters": (edit("eacps.json", vae_image_area="big"), [], 1, "vae_image_area is out of range"),
    "an area below zero": (
        edit("eacps.json", vae_image_area=-5, default_steps=0),
        [],
        1,
        "default_steps, vae_image_area is out",
    ),
    "settings in a list": (overwrite("eacps.json", "[]"), [], 1, "eacps.json cannot be read"),
    "quantized": (edit("transformer/config.json", quantization_config={"quant_method": "gguf"}), [], 1, "gguf"),
    "a setting": (edit("eacps.json", tempo=1), [], 1, "eacps.json cannot be read"),
    "a missing tensor": (drop_weight, [], 1, "missing: lm_head.weight"),
    "a weight that is no number": (spoil_weight, [], 1, "holds NaN or infinity in decoder.conv_in.bias"),
    "a calibration": (
        lambda folder: (folder / "calibration.json").write_text("{"),
        [],
        1,
        "calibration.json cannot be",
    ),
    "a face network": (lambda folder: (folder / "faces" / "detector.onnx").write_bytes(b"no"), [], 1, "export failed"),
    "an output of something else": (
        lambda folder: (
            (folder.parent / "output").mkdir() or (folder.parent / "output" / "letter.txt").write_text("dear")
        ),
        [],
        1,
        "exists and is not an exported repository",
    ),
    "an output in the checkpoint": (
        nothing,
        ["--output", "{tmp}/checkpoint/out"],
        2,
        "of which the repository is made",
    ),
    "an output that leads to itself": (
        lambda folder: (folder.parent / "loop").symlink_to(folder.parent / "loop"),
        ["--output", "{tmp}/loop"],
        1,
        "loop",
    ),
    "an output that holds the checkpoint": (
        lambda folder: (folder.parent / "manifest.json").write_text('{"checkpoint": "", "target": "", "models": {}}'),
        ["--output", "{tmp}"],
        2,
        "holds {tmp}/checkpoint, of which",
    ),
    "an output of a web application": (
        lambda folder: (
            (folder.parent / "output").mkdir()
            or (folder.parent / "output" / "manifest.json").write_text('{"name": "a"}')
        ),
        ["--output", "{tmp}"],
        1,
        "exists and is not an exported repository",
    ),
    "an output of too long a name": (nothing, ["--output", "{tmp}/" + 247 * "n"], 1, "File name too long"),
    "an output in a file": (
        lambda folder: (folder.parent / "file").write_text(""),
        ["--output", "{tmp}/file/repository"],
        1,
        "is not a folder",
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_an_export_refuses_its_dry_run_refuses_in_the_same_words(
    command: typer.Typer, checkpoint_dir: Path, tmp_path: Path, kind: str
) -> None:
    how, options, code, message = REFUSALS[kind]
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_dir, checkpoint)
    how(checkpoint)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "output")]
    words += [option.format(tmp=tmp_path) for option in options]
    answers = [CliRunner().invoke(command, words + dry, env={"COLUMNS": "1000"}) for dry in ([], ["--dry-run"])]
    for answer in answers:
        assert answer.exit_code == code, answer.output
        assert message.format(tmp=tmp_path) in " ".join(answer.output.split())
    assert refusal(answers[0].output) == refusal(answers[1].output)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("cause", ["mounted", "protected"])
def test_an_output_that_cannot_be_moved_aside_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """As a volume of a container is, and a repository that was copied write-protected."""
    output = tmp_path / "output"
    (output / "denoiser").mkdir(parents=True)
    (output / "manifest.json").write_text('{"checkpoint": "", "target": "", "models": {}}')
    check_output(output)
    if cause == "mounted":
        monkeypatch.setattr(Path, "is_mount", lambda path: path == output)
    else:  # root may write everywhere
        allowed = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: path != str(output / "denoiser") and allowed(path, mode))
    with pytest.raises(OSError, match="cannot be replaced"):
        check_output(output)
    (tmp_path / "link").symlink_to(output)
    with pytest.raises(OSError, match="cannot be replaced"):
        check_output(tmp_path / "link")


def process_settings() -> tuple[object, ...]:
    """What an export changes in its process while it runs."""
    filters = logging.getLogger("torch.onnx._internal.exporter._registration").filters
    return signal.getsignal(signal.SIGTERM), list(filters), list(warnings.filters), is_progress_bar_enabled()


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--size", "100x100"], 2), (["--revision", "main"], 2)])
def test_the_process_is_left_as_it_was(
    command: typer.Typer, checkpoint_dir: Path, tmp_path: Path, options: list[str], code: int
) -> None:
    before = process_settings()
    words = ["--checkpoint", str(checkpoint_dir), "--output", str(tmp_path / "output"), "--dry-run", *options]
    assert CliRunner().invoke(command, words).exit_code == code
    assert process_settings() == before


def refusal(output: str) -> str:
    """The message, without what was shown of the progress before it."""
    return output[output.find("export failed:") :].strip()


# Ends the process at the first attempt to reach anything.
WITHOUT_NETWORK = """
import os, runpy, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        sys.stderr.write(f"network: {event} {arguments}")
        sys.stderr.flush()
        os._exit(99)
sys.addaudithook(refuse)
runpy.run_module("export", run_name="__main__", alter_sys=True)
"""


def test_a_dry_run_of_local_files_needs_no_network(checkpoint_dir: Path, tmp_path: Path) -> None:
    options = ["--checkpoint", str(checkpoint_dir), "--output", str(tmp_path / "output"), "--dry-run"]
    faces = ["--faces", str(checkpoint_dir / "faces"), "--verifier", str(checkpoint_dir / "faces" / "verifier.onnx")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *options, *faces],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "this machine suffices" in done.stdout


def readme_command() -> list[str]:
    """The export in the README, as it stands there."""
    (found,) = re.findall(r"^python -m export .*?(?<!\\)$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return shlex.split(found.replace("\\\n", " "))


def test_the_readmes_command_works_as_it_stands_there(
    full_size: Path,  # the fixture
    checkpoint_dir: Path,
    tmp_path: Path,
) -> None:
    """In a checkout, with the pack fetched and the swapper beside it; the hub is one on this machine."""
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    checkout.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".build", ".venv", "out"):
            (checkout / entry.name).symlink_to(entry)
    words = readme_command()
    pack = home / ".insightface" / "models" / words[words.index("--faces") + 1]
    shutil.copytree(checkpoint_dir / "faces", pack)
    shutil.copy(checkpoint_dir / "faces" / "swapper.onnx", checkout / words[words.index("--swapper") + 1])
    assert "--dry-run" in words
    with serving_hub(words[words.index("--checkpoint") + 1], full_size) as address:
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=checkout,
            env=os.environ
            | {"HOME": str(home), "HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "20,430.4 M" in done.stdout
    assert not (checkout / words[words.index("--output") + 1]).exists()
