"""The export as a whole: complete, replaceable only by success, and not repeated without need."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from eacps.errors import TritonUnavailable
from eacps.manifest import BrokenRepository, Manifest, digest_of, verify
from eacps.models.facts import ASSETS_FOLDER, JUDGE_HEAD_FILE, TOKENIZER_FILE, CheckpointFacts
from eacps.tensors import MODELS, Kind
from eacps.triton.embedded import EmbeddedTriton
from export import job
from export.checkpoint import CheckpointSettings
from export.job import origin_of
from export.models import IncompleteCheckpoint, PreparedCheckpoint
from export.networks import network
from export.parity import TOLERANCE
from export.plan import plan_of
from export.provenance import is_current
from export.repository import Progress, export_repository
from export.request import ExportRequest, gather
from export.sources import MissingSource
from export.workshop import InUse, NotARepository, open_workshop

ROOT = Path(__file__).resolve().parents[2]


def prepared(checkpoint: Path) -> PreparedCheckpoint:
    return PreparedCheckpoint(gather(ExportRequest(str(checkpoint))))


def request_of(checkpoint: Path) -> str:
    return gather(ExportRequest(str(checkpoint))).sha256()


def test_repository_is_complete(model_repository_dir: Path, checkpoint_dir: Path) -> None:
    for name, spec in MODELS.items():
        files = {path.name for path in (model_repository_dir / name / "1").iterdir()}
        assert (model_repository_dir / name / "config.pbtxt").is_file()
        assert "model.py" in files
        assert ("network.onnx" in files) == (spec.kind is Kind.NETWORK)
    for program in ("qwen_edit", "vlm_judge"):
        assets = model_repository_dir / program / "1" / ASSETS_FOLDER
        assert (assets / TOKENIZER_FILE).is_file()
        assert CheckpointFacts.read(assets).name == CheckpointSettings.read(checkpoint_dir).name
    head = np.load(model_repository_dir / "vlm_judge" / "1" / ASSETS_FOLDER / JUDGE_HEAD_FILE)
    assert head["yes"].shape == head["no"].shape == (128,)
    assert not np.array_equal(head["yes"], head["no"])
    assert np.load(model_repository_dir / "face_prior" / "1" / "emap.npy").shape == (512, 512)


def test_manifest_holds_the_figures_of_every_gate(model_repository_dir: Path) -> None:
    manifest = Manifest.read(model_repository_dir)
    assert manifest is not None
    for name, spec in MODELS.items():
        errors = [figure.error for figure in manifest.models[name].parity]
        assert bool(errors) == (spec.kind is Kind.NETWORK)
        assert all(0 <= error <= TOLERANCE for error in errors)


def test_graphs_hold_no_path_of_the_machine_that_wrote_them(model_repository_dir: Path) -> None:
    for graph in model_repository_dir.glob("*/1/network.onnx"):
        assert b"site-packages" not in graph.read_bytes()


def test_a_repository_is_current_until_something_changes(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_repository_dir, copy)
    request = request_of(checkpoint_dir)
    assert is_current(copy, request)
    assert not is_current(copy, gather(ExportRequest(str(checkpoint_dir), steps=5)).sha256())
    assert not is_current(tmp_path / "none", request)
    with (copy / "face_prior" / "1" / "emap.npy").open("ab") as file:
        file.write(b"x")
    assert not is_current(copy, request)


def test_a_current_repository_is_left_alone(model_repository_dir: Path, checkpoint_dir: Path) -> None:
    before = (model_repository_dir / "manifest.json").stat()
    done = run_export(checkpoint_dir, model_repository_dir)
    assert done.returncode == 0
    assert "is up to date" in done.stderr
    assert (model_repository_dir / "manifest.json").stat() == before


def test_a_changed_setting_costs_no_network(model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    changed, output = tmp_path / checkpoint_dir.name, tmp_path / "output"
    shutil.copytree(checkpoint_dir, changed)
    shutil.copytree(model_repository_dir, output)
    dataclasses.replace(CheckpointSettings.read(changed), default_steps=5).write(changed)
    steps: list[str] = []
    export_repository(prepared(changed), output, Progress(steps.append))
    assert {step for step in steps if step.startswith(("keep", "export"))} == {
        f"keep {name}" for name, spec in MODELS.items() if spec.kind is Kind.NETWORK
    }
    assert CheckpointFacts.read(output / "qwen_edit" / "1" / ASSETS_FOLDER).default_steps == 5
    assert is_current(output, request_of(changed))
    assert not list(tmp_path.glob(".output*")), "nothing is left of the workshop"


def test_a_failed_gate_exits_with_1_and_leaves_what_stood_there(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    """A recogniser whose batch is written inside it passes one face and fails three."""
    broken, output = tmp_path / "broken", tmp_path / "output"
    shutil.copytree(checkpoint_dir, broken)
    shutil.copytree(model_repository_dir, output)
    fix_batch(broken / "faces" / "recognizer.onnx")
    before = digest_of([output])
    done = run_export(broken, output)
    assert done.returncode == 1
    assert "export failed: face_recognizer: the graph refuses inputs 3x3x112x112" in " ".join(done.stderr.split())
    assert digest_of([output]) == before
    # What had passed by then is kept for the next try.
    assert {path.name for path in (tmp_path / ".output.partial" / "done").iterdir()} == {
        "face_detector",
        "face_detector.json",
    }


def test_an_incomplete_checkpoint_fails_before_anything_is_written(checkpoint_dir: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(checkpoint_dir, part)
    shutil.rmtree(part / "vae")
    with pytest.raises(IncompleteCheckpoint, match="lacks vae"):
        prepared(part)


def test_a_missing_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingSource, match="there is no checkpoint at"):
        gather(ExportRequest(str(tmp_path / "nowhere")))


def test_a_folder_of_something_else_is_not_replaced(checkpoint_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(NotARepository):
        export_repository(prepared(checkpoint_dir), tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_workshop_delivers_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "output"
    with open_workshop(output) as workshop:
        (workshop.stage / "manifest.json").write_text("first")
        assert not output.exists()
        workshop.deliver()
    with pytest.raises(FileNotFoundError), open_workshop(output) as workshop:
        (workshop.stage / "nowhere" / "c").write_text("half")
    assert (output / "manifest.json").read_text() == "first"
    with open_workshop(output) as workshop:
        (workshop.stage / "c").write_text("second")
        workshop.deliver()
    assert [path.name for path in output.iterdir()] == ["c"]
    assert [path.name for path in output.parent.iterdir()] == ["output"]


def test_two_exports_do_not_share_a_workshop(tmp_path: Path) -> None:
    with open_workshop(tmp_path / "output"), pytest.raises(InUse), open_workshop(tmp_path / "output"):
        pass


def test_being_stopped_between_the_renames_keeps_the_earlier_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    with open_workshop(output) as workshop:
        (workshop.stage / "manifest.json").write_text("first")
        workshop.deliver()
    rename = Path.rename

    def stopped_after(source: Path, target: Path) -> Path:
        moved = rename(source, target)
        if source == output:
            raise SystemExit(143)
        return moved

    monkeypatch.setattr(Path, "rename", stopped_after)
    with open_workshop(output) as workshop, pytest.raises(SystemExit):
        workshop.deliver()
    assert (output / "manifest.json").read_text() == "first"


def test_what_an_export_had_finished_when_it_was_stopped_is_not_made_again(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    shutil.copytree(model_repository_dir, output)

    def stop_at_programs(step: str) -> None:
        if step == "write programs":
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        export_repository(prepared(checkpoint_dir), output, Progress(stop_at_programs))
    shutil.rmtree(output)
    plan = plan_of(prepared(checkpoint_dir), output)
    assert all(line.stands for line in plan.lines)
    assert plan.whole.disk == 0
    steps: list[str] = []
    export_repository(prepared(checkpoint_dir), output, Progress(steps.append))
    assert not [step for step in steps if step.startswith("export")]
    assert is_current(output, request_of(checkpoint_dir))


def test_a_repository_without_its_manifest_or_with_another_file_is_not_served(
    model_repository_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_repository_dir, copy)
    manifest = Manifest.read(copy)
    assert manifest is not None
    assert verify(copy, manifest.build) == manifest
    with pytest.raises(BrokenRepository, match="of build 0123"):
        verify(copy, "0123")
    with (copy / "denoiser" / "1" / "network.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BrokenRepository, match="denoiser changed since the export"):
        verify(copy, manifest.build)
    (copy / "manifest.json").unlink()
    with pytest.raises(BrokenRepository, match="has no readable manifest"):
        verify(copy, manifest.build)


def test_triton_does_not_start_on_another_network_than_the_one_that_passed(
    model_repository_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_repository_dir, copy)
    with (copy / "vae_decoder" / "1" / "network.onnx.data").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(TritonUnavailable), EmbeddedTriton(copy, log_file=tmp_path / "triton.log"):
        pass
    assert "vae_decoder changed since the export" in (tmp_path / "triton.log").read_text(encoding="utf-8")


def test_a_repository_left_aside_by_a_kill_comes_back(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with open_workshop(output) as workshop:
        (workshop.stage / "manifest.json").write_text("first")
        workshop.deliver()
    (tmp_path / ".output.partial").mkdir()
    output.rename(tmp_path / ".output.partial" / "old")
    with open_workshop(output):
        assert (output / "manifest.json").read_text() == "first"


def test_weights_behind_a_link_count(checkpoint_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint_dir, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "vae").rename(tmp_path / "elsewhere")
    (tmp_path / "checkpoint" / "vae").symlink_to(tmp_path / "elsewhere")
    before = request_of(tmp_path / "checkpoint")
    with (tmp_path / "elsewhere" / "diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"x")
    assert request_of(tmp_path / "checkpoint") != before


def test_code_that_decides_a_network_makes_it_anew(
    checkpoint_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {one.spec.name: one for one in prepared(checkpoint_dir).jobs()}
    (tmp_path / "lora.py").write_text("# changed")
    before = {name: origin_of(one) for name, one in jobs.items()}
    found = network.sources_of

    def changed(of: type, *further: str) -> list[Path]:
        files = found(of, *further)
        return [tmp_path / "lora.py" if path.name == "lora.py" else path for path in files]

    monkeypatch.setattr(job, "sources_of", changed)
    assert [name for name, one in jobs.items() if origin_of(one) != before[name]] == ["denoiser"]
    code = {path.name for path in found(jobs["text_encoder"].network, *jobs["text_encoder"].code)}
    assert {"vision_tables.py", "onnx.py", "text_encoder.py"} <= code


def test_a_dry_run_prints_the_plan_and_writes_nothing(checkpoint_dir: Path, tmp_path: Path) -> None:
    done = run_export(checkpoint_dir, tmp_path / "output", "--dry-run", "--target", "tensorrt", "--size", "256x192")
    assert done.returncode == 0, done.stderr
    assert "denoiser" in done.stdout
    assert "bf16" in done.stdout
    assert "not on this machine" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "tensorrt"], 1, "TensorRT"),
        (["--size", "100x100"], 2, "multiples of 16"),
        (["--size", "big"], 2, "no size such as"),
        (["--precision", "bf16"], 2, "target embedded cannot serve bf16"),
        (["--pictures", "4"], 2, "takes 1 to 3 pictures"),
        (["--lora", "none.safetensors"], 2, "there is no file none.safetensors"),
        (["--schedule", "fast"], 2, "no schedule 'fast'"),
        (["--schedule", "none.json"], 2, "there is no file none.json"),
        (["--faces", "no/pack"], 2, "there is no face pack at no/pack"),
        (["--revision", "main"], 2, "has no revisions"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_written(
    checkpoint_dir: Path, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    done = run_export(checkpoint_dir, tmp_path / "output", *options)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def run_export(checkpoint: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export", "--checkpoint", str(checkpoint), "--output", str(output), *options]
    environment = os.environ | {"COLUMNS": "300", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def fix_batch(path: Path) -> None:
    """Reshape the graph's input to a batch of one on its way in."""
    model = onnx.load(path)
    entry = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["one_crop" if name == entry else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 112, 112]), "one_crop_shape"))
    model.graph.node.insert(0, onnx.helper.make_node("Reshape", [entry, "one_crop_shape"], ["one_crop"]))
    onnx.save(model, path)
