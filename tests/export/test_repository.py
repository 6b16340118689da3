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

from eacps.models.facts import ASSETS_FOLDER, JUDGE_HEAD_FILE, TOKENIZER_FILE, CheckpointFacts
from eacps.tensors import MODELS, Kind
from export.manifest import Manifest, digest_of, is_current
from export.models import IncompleteCheckpoint, check_complete
from export.parity import TOLERANCE
from export.repository import NotARepository, export_repository, staged
from export.targets import EMBEDDED

ROOT = Path(__file__).resolve().parents[2]


def test_repository_is_complete(model_repository_dir: Path, checkpoint_dir: Path) -> None:
    for name, spec in MODELS.items():
        files = {path.name for path in (model_repository_dir / name / "1").iterdir()}
        assert (model_repository_dir / name / "config.pbtxt").is_file()
        assert "model.py" in files
        assert ("network.onnx" in files) == (spec.kind is Kind.NETWORK)
    for program in ("qwen_edit", "vlm_judge"):
        assets = model_repository_dir / program / "1" / ASSETS_FOLDER
        assert (assets / TOKENIZER_FILE).is_file()
        assert CheckpointFacts.read(assets).name == check_complete(checkpoint_dir).name
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
    for network in model_repository_dir.glob("*/1/network.onnx"):
        assert b"site-packages" not in network.read_bytes()


def test_a_repository_is_current_until_something_changes(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_repository_dir, copy)
    assert is_current(copy, checkpoint_dir, EMBEDDED.name)
    assert not is_current(copy, checkpoint_dir, "other")
    assert not is_current(tmp_path / "none", checkpoint_dir, EMBEDDED.name)
    with (copy / "face_prior" / "1" / "emap.npy").open("ab") as file:
        file.write(b"x")
    assert not is_current(copy, checkpoint_dir, EMBEDDED.name)


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
    dataclasses.replace(check_complete(changed), default_steps=5).write(changed)
    steps: list[str] = []
    export_repository(changed, EMBEDDED, output, steps.append)
    assert {step for step in steps if step.startswith(("keep", "export"))} == {
        f"keep {name}" for name, spec in MODELS.items() if spec.kind is Kind.NETWORK
    }
    assert CheckpointFacts.read(output / "qwen_edit" / "1" / ASSETS_FOLDER).default_steps == 5
    assert is_current(output, changed, EMBEDDED.name)


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
    assert {path.name for path in tmp_path.iterdir()} == {"broken", "output"}


def test_an_incomplete_checkpoint_fails_before_anything_is_written(checkpoint_dir: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(checkpoint_dir, part)
    shutil.rmtree(part / "vae")
    (part / "faces" / "swapper.onnx").unlink()
    with pytest.raises(IncompleteCheckpoint, match=r"lacks vae, faces/swapper\.onnx"):
        export_repository(part, EMBEDDED, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_a_missing_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCheckpoint, match="there is no checkpoint at"):
        export_repository(tmp_path / "nowhere", EMBEDDED, tmp_path / "output")


def test_a_folder_of_something_else_is_not_replaced(checkpoint_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(NotARepository):
        export_repository(checkpoint_dir, EMBEDDED, tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_staging_replaces_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "output"
    with staged(output) as stage:
        (stage / "a").write_text("first")
        assert not output.exists()
    with pytest.raises(FileNotFoundError), staged(output) as stage:
        (stage / "nowhere" / "c").write_text("half")
    assert [path.name for path in output.parent.iterdir()] == ["output"]
    assert (output / "a").read_text() == "first"
    with staged(output) as stage:
        (stage / "c").write_text("second")
    assert [path.name for path in output.iterdir()] == ["c"]
    assert [path.name for path in output.parent.iterdir()] == ["output"]


def test_being_stopped_between_the_renames_keeps_the_earlier_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    with staged(output) as stage:
        (stage / "a").write_text("first")
    rename = Path.rename

    def stopped_after(source: Path, target: Path) -> Path:
        moved = rename(source, target)
        if source == output:
            raise SystemExit(143)
        return moved

    monkeypatch.setattr(Path, "rename", stopped_after)
    with pytest.raises(SystemExit), staged(output) as stage:
        (stage / "a").write_text("second")
    assert (output / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def run_export(checkpoint: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export", "--checkpoint", str(checkpoint), "--output", str(output)]
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
