"""The export as a whole: complete, replaceable only by success, and not repeated without need."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import psutil
import pytest
from onnx import numpy_helper

from eacps.errors import TritonUnavailable
from eacps.manifest import BrokenRepository, Manifest, ParityFigure, digest_of, verify
from eacps.models.backbones import read_config
from eacps.models.backbones.qwen_image_edit.config import JUDGE_HEAD_FILE
from eacps.models.checkpoint_config import ASSETS_FOLDER, TOKENIZER_FILE
from eacps.tensors import FACE_RECOGNIZER, Kind
from eacps.triton.embedded import EmbeddedTriton
from export import jobs, making
from export.backbones.qwen_image_edit.checkpoint import CheckpointSettings
from export.jobs import network_jobs, origin_of
from export.lock import InUse
from export.networks import network
from export.networks.network import Network
from export.parity import TOLERANCE, ParityFailed, open_session
from export.plan import plan_of
from export.prepared import IncompleteCheckpoint, PreparedCheckpoint, prepare
from export.provenance import is_current
from export.repository import Progress, export_repository, noting_network
from export.request import ExportRequest, gather
from export.sources import MissingSource
from export.staging import NotARepository, lock_of, open_staging_area, staging_area_of
from export.terminal import message_of
from tests.conftest import STUDIO_MODELS
from tests.export.commands import ROOT, run_export, start_export
from tests.export.test_lock import holder

FIRST, SECOND = (json.dumps({"checkpoint": name, "target": "", "models": {}}) for name in ("first", "second"))
"""Manifests, as far as they tell a repository from another folder."""


def prepared(checkpoint: Path) -> PreparedCheckpoint:
    return prepare(gather(ExportRequest(str(checkpoint))))


def request_of(checkpoint: Path) -> str:
    return gather(ExportRequest(str(checkpoint))).sha256()


def test_repository_is_complete(model_repository_dir: Path, checkpoint_dir: Path) -> None:
    for name, spec in STUDIO_MODELS.items():
        files = {path.name for path in (model_repository_dir / name / "1").iterdir()}
        assert (model_repository_dir / name / "config.pbtxt").is_file()
        assert "model.py" in files
        assert ("network.onnx" in files) == (spec.kind is Kind.NETWORK)
    for program in ("sampler", "vlm_judge"):
        assets = model_repository_dir / program / "1" / ASSETS_FOLDER
        assert (assets / TOKENIZER_FILE).is_file()
        assert read_config(assets).name == CheckpointSettings.read(checkpoint_dir).name
    head = np.load(model_repository_dir / "vlm_judge" / "1" / ASSETS_FOLDER / JUDGE_HEAD_FILE)
    assert head["yes"].shape == head["no"].shape == (128,)
    assert not np.array_equal(head["yes"], head["no"])
    assert np.load(model_repository_dir / "face_prior" / "1" / "emap.npy").shape == (512, 512)


def test_manifest_holds_the_figures_of_every_gate(model_repository_dir: Path) -> None:
    manifest = Manifest.read(model_repository_dir)
    assert manifest is not None
    for name, spec in STUDIO_MODELS.items():
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
    after = (model_repository_dir / "manifest.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_setting_costs_no_network(model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    changed, output = tmp_path / checkpoint_dir.name, tmp_path / "output"
    shutil.copytree(checkpoint_dir, changed)
    shutil.copytree(model_repository_dir, output)
    dataclasses.replace(CheckpointSettings.read(changed), default_steps=5).write(changed)
    steps: list[str] = []
    export_repository(prepared(changed), output, Progress(steps.append))
    assert {step for step in steps if step.startswith(("keep", "export"))} == {
        f"keep {name}" for name, spec in STUDIO_MODELS.items() if spec.kind is Kind.NETWORK
    }
    assert read_config(output / "sampler" / "1" / ASSETS_FOLDER).default_steps == 5
    assert is_current(output, request_of(changed))
    assert not list(tmp_path.glob(".output*")), "nothing is left of the staging"


def test_a_failed_gate_leaves_what_stood_there(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    shutil.copytree(model_repository_dir, output)
    manifest = Manifest.read(output)
    assert manifest is not None
    # So that nothing is taken over from there.
    stale = {name: dataclasses.replace(record, origin="stale") for name, record in manifest.models.items()}
    dataclasses.replace(manifest, models=stale).write(output)
    before = digest_of([output])

    def gate(network: Network, *_: object) -> list[ParityFigure]:
        if network.spec is FACE_RECOGNIZER:
            raise ParityFailed("face_recognizer departs")
        return []

    monkeypatch.setattr(making, "check_parity", gate)
    with pytest.raises(ParityFailed, match="face_recognizer departs"):
        export_repository(prepared(checkpoint_dir), output)
    assert digest_of([output]) == before
    # What had passed by then is kept for the next try.
    assert {path.name for path in (tmp_path / ".output.partial" / "done").iterdir()} == {
        "face_detector",
        "face_detector.json",
    }


def test_a_file_that_cannot_play_its_role_exits_with_1_before_anything_is_written(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    """A recognizer whose batch is written inside it passes one face and fails three."""
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint_dir, broken)
    fix_batch(broken / "faces" / "recognizer.onnx")
    done = run_export(broken, tmp_path / "output")
    assert done.returncode == 1
    assert "recognizer.onnx cannot serve as face recognizer: its batch size is written inside the graph" in " ".join(
        done.stderr.split()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


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


@pytest.mark.parametrize("manifest", ['{"name": "a web application", "icons": []}', "[]", "no JSON"])
def test_a_folder_with_another_manifest_is_not_replaced(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(NotARepository, match="is not an exported repository"):
        open_staging_area(tmp_path).__enter__()
    assert (tmp_path / "manifest.json").read_text() == manifest


def test_a_staging_area_delivers_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "output"
    with open_staging_area(output) as staging:
        (staging.stage / "manifest.json").write_text(FIRST)
        assert not output.exists()
        staging.deliver()
    with pytest.raises(FileNotFoundError), open_staging_area(output) as staging:
        (staging.stage / "nowhere" / "c").write_text("half")
    assert (output / "manifest.json").read_text() == FIRST
    with open_staging_area(output) as staging:
        (staging.stage / "c").write_text("second")
        staging.deliver()
    assert [path.name for path in output.iterdir()] == ["c"]
    assert [path.name for path in output.parent.iterdir()] == ["output"]


def test_two_exports_do_not_share_a_staging_area(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    same = tmp_path / "link" / "output"
    with open_staging_area(tmp_path / "output"), pytest.raises(InUse, match=r"export to .* is under way"):
        open_staging_area(same).__enter__()
    with open_staging_area(same) as staging:
        staging.deliver()
        # Delivering removes the staging area; the lock is still held.
        with pytest.raises(InUse), open_staging_area(tmp_path / "output"):
            pass


def test_of_two_exports_at_once_the_second_waits_and_takes_the_firsts(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    """A third holds the lock until both wait; it is killed in the middle of its work."""
    changed, output = tmp_path / "studio", tmp_path / "output"
    shutil.copytree(checkpoint_dir, changed)
    shutil.copytree(model_repository_dir, output)
    dataclasses.replace(CheckpointSettings.read(changed), default_steps=5).write(changed)
    with holder(lock_of(output)) as killed:
        refused = run_export(changed, output, "--wait", "0")
        assert refused.returncode == 1
        assert f"export failed: another export to {output} is under way" in refused.stderr
        assert f"another export to {output} is under way" in run_export(changed, output, "--dry-run").stdout
        both = [start_export(changed, output, "--wait", "240") for _ in range(2)]
        for one in both:
            assert "is under way; waiting for it, 240 s at most" in next(iter(one.stderr))
        killed.kill()
        said = [one.communicate(timeout=240)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum(f"wrote {output} in" in text for text in said) == 1
    assert sum(f"{output} is up to date" in text for text in said) == 1
    assert is_current(output, request_of(changed))
    assert not list(tmp_path.glob(".output*"))


def test_an_export_that_is_killed_costs_neither_the_earlier_repository_nor_the_next_export(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    """Two networks are made, one of them by a second process, which ends with the first."""
    changed, output, made = tmp_path / "studio", tmp_path / "output", ("face_detector", "face_recognizer")
    shutil.copytree(checkpoint_dir, changed)
    dataclasses.replace(CheckpointSettings.read(changed), default_steps=5).write(changed)
    shutil.copytree(model_repository_dir, output)
    manifest = Manifest.read(output)
    assert manifest is not None
    stale = {name: dataclasses.replace(manifest.models[name], origin="stale") for name in made}
    dataclasses.replace(manifest, models={**manifest.models, **stale}).write(output)
    before = digest_of([output])
    with start_export(changed, output) as process:
        while not all((staging_area_of(output) / "new" / name).exists() for name in made):
            assert process.poll() is None
            time.sleep(0.005)
        second = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert second
    assert psutil.wait_procs(second, timeout=240)[1] == []
    assert digest_of([output]) == before
    earlier = Manifest.read(output)
    assert earlier is not None
    assert verify(output, earlier.build) == earlier, "it can be served meanwhile"
    steps: list[str] = []
    export_repository(prepared(changed), output, Progress(steps.append))
    assert {step for step in steps if step.startswith("export")} <= {f"export {name}" for name in made}
    assert is_current(output, request_of(changed))
    assert not list(tmp_path.glob(".output*")), "nothing is left of either export"
    assert not second_links(output)


# Makes a repository of a network of the earlier one, one that was kept, and one made now, and stops at a move.
DELIVERY = """
import os, sys
from pathlib import Path
from eacps.manifest import MANIFEST_FILE, ModelRecord
from export.staging import alone_at, staged

output, moves, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def stop_after(move):
    def moved(source, target):
        global moves
        result = move(source, target)
        moves -= delivering
        if moves == 0 and delivering:
            if how == "killed":
                os._exit(9)
            raise SystemExit(143)
        return result
    return moved

delivering = False
Path.rename, Path.replace = stop_after(Path.rename), stop_after(Path.replace)
with alone_at(output) as resolved, staged(resolved) as staging:
    earlier = output / "earlier"
    for name, found in (("earlier", earlier), ("kept", output.parent / ".output.partial" / "done" / "kept")):
        if found.exists():
            staging.take_over(found, staging.stage / name / "1")
    made = staging.stage / "made" / "1"
    made.mkdir(parents=True)
    (made / "weights").write_text("made")
    staging.keep("made", ModelRecord("digest"))
    (staging.stage / MANIFEST_FILE).write_text(sys.argv[4])
    delivering = True
    staging.deliver()
"""


def second_links(folder: Path) -> list[Path]:
    """Files that have two names, or are links: onnx and onnx_ir refuse weights in them."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return [path for path in files if path.is_symlink() or path.stat().st_nlink > 1]


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_delivery_that_ends_at_any_move_leaves_a_whole_repository(tmp_path: Path, how: str, earlier: bool) -> None:
    moves = 0
    for moves in range(1, 9):
        output = tmp_path / f"{moves}" / "output"
        kept = output.parent / ".output.partial" / "done" / "kept" / "1"
        kept.mkdir(parents=True)
        (kept / "weights").write_text("kept")
        if earlier:
            (output / "earlier" / "1").mkdir(parents=True)
            (output / "earlier" / "1" / "weights").write_text("earlier")
            (output / "manifest.json").write_text(FIRST)
        command = [sys.executable, "-c", DELIVERY, str(output), str(moves), how, SECOND]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == 0:
            break
        assert done.returncode == {"killed": 9, "stopped": 143}[how], done.stderr
        if how == "stopped":
            assert (output / "manifest.json").read_text() == SECOND
        with open_staging_area(output):
            pass
        assert (output / "manifest.json").read_text() == SECOND
        networks = ["earlier", "kept", "made"] if earlier else ["kept", "made"]
        assert [(output / name / "1" / "weights").read_text() for name in networks] == networks
        assert not second_links(output)
    assert moves == (6 if earlier else 4), "every move was tried"


def test_what_an_export_had_finished_when_it_was_stopped_is_not_made_again(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    output, manifest = tmp_path / "output", Manifest.read(model_repository_dir)
    assert manifest is not None
    networks = {name: record for name, record in manifest.models.items() if record.origin}
    with open_staging_area(output) as staging:
        for name, record in networks.items():
            shutil.copytree(model_repository_dir / name, staging.stage / name)
            staging.keep(name, record)
    plan = plan_of(prepared(checkpoint_dir), output)
    assert all(line.finished for line in plan.lines)
    assert plan.whole.disk == 0
    steps: list[str] = []
    export_repository(prepared(checkpoint_dir), output, Progress(steps.append))
    assert not [step for step in steps if step.startswith("export")]
    assert is_current(output, request_of(checkpoint_dir))
    assert not second_links(output)


def test_during_an_export_the_earlier_repository_can_be_read_by_all(
    model_repository_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    """When the programs are written, all networks have been taken over."""
    output = tmp_path / "output"
    shutil.copytree(model_repository_dir, output)
    with pytest.raises(SystemExit):
        export_repository(prepared(checkpoint_dir), output, Progress(partial(stop_at_programs, output)))
    manifest = Manifest.read(output)
    assert manifest is not None
    assert verify(output, manifest.build) == manifest


def stop_at_programs(output: Path, step: str) -> None:
    if step != "write programs":
        return
    assert not second_links(output)
    graph = output / "vae_decoder" / "1" / "network.onnx"
    onnx.load(graph)
    model = onnx_ir.load(graph)
    assert all(weight.const_value.numpy().size for weight in model.graph.initializers.values())
    open_session(graph)
    raise SystemExit(143)


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
    with open_staging_area(output) as staging:
        (staging.stage / "manifest.json").write_text(FIRST)
        staging.deliver()
    (tmp_path / ".output.partial").mkdir()
    output.rename(tmp_path / ".output.partial" / "old")
    with open_staging_area(output):
        assert (output / "manifest.json").read_text() == FIRST


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
    made = {one.spec.name: one for one in network_jobs(prepared(checkpoint_dir))}
    (tmp_path / "lora.py").write_text("# changed")
    before = {name: origin_of(one) for name, one in made.items()}
    found = network.sources_of

    def changed(of: type, *further: str) -> list[Path]:
        files = found(of, *further)
        return [tmp_path / "lora.py" if path.name == "lora.py" else path for path in files]

    monkeypatch.setattr(jobs, "sources_of", changed)
    assert [name for name, one in made.items() if origin_of(one) != before[name]] == ["denoiser"]
    code = {path.name for path in found(made["text_encoder"].network, *made["text_encoder"].code)}
    assert {"vision_tables.py", "onnx.py", "text_encoder.py"} <= code


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("problem writing element 7 to file"), "problem writing element 7 to file (network: denoiser)"),
        (FileNotFoundError(2, "No such file", "a.onnx"), "[Errno 2] No such file: 'a.onnx'"),
        (ValueError("no"), "no"),
    ],
)
def test_an_error_that_names_no_file_names_its_network(error: Exception, message: str) -> None:
    """numpy, writing to a full disk, does not say where."""
    with pytest.raises(type(error)) as raised, noting_network("denoiser"):
        raise error
    assert message_of(raised.value) == message


def test_a_dry_run_prints_the_plan_and_writes_nothing(checkpoint_dir: Path, tmp_path: Path) -> None:
    done = run_export(checkpoint_dir, tmp_path / "output", "--dry-run", "--target", "tensorrt", "--size", "256x192")
    assert done.returncode == 0, done.stderr
    assert "denoiser" in done.stdout
    assert "bf16" in done.stdout
    assert "not on this machine" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_this_machine_cannot_build_is_refused(checkpoint_dir: Path, tmp_path: Path) -> None:
    done = run_export(checkpoint_dir, tmp_path / "output", "--target", "tensorrt")
    assert done.returncode == 1
    assert "TensorRT" in done.stderr
    assert list(tmp_path.iterdir()) == []


def fix_batch(path: Path) -> None:
    """Reshape the graph's input to a batch of one on its way in."""
    model = onnx.load(path)
    entry = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["one_crop" if name == entry else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 112, 112]), "one_crop_shape"))
    model.graph.node.insert(0, onnx.helper.make_node("Reshape", [entry, "one_crop_shape"], ["one_crop"]))
    onnx.save(model, path)
