"""Paths with all that a shell, a URL or a configuration could take for something else, wherever a path is taken."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from safetensors.torch import load_file, save_file
from sqlalchemy import make_url, text
from tritonclient.grpc.model_config_pb2 import ModelConfig

from eacps.assembly.preflight import check_folder
from eacps.cli.files import write_file
from eacps.durable import Database, open_store, sqlite_url
from eacps.errors import InvalidRequest, TritonNotInstalled
from eacps.manifest import digest_of
from eacps.settings import Settings
from eacps.tensors import SAMPLER
from eacps.triton import installation, launch
from eacps.triton.embedded import EmbeddedTriton
from export.config import ConfigDetails, render_config
from export.staging import open_staging_area
from export.targets import EMBEDDED
from export.weight_files import find_weight_files
from tests.export.commands import run_export
from tests.triton.test_embedded import ECHO, write_model

ROOT = Path(__file__).resolve().parents[1]
SMILE = ROOT / "studio_mini" / "samples" / "smile"
# A folder cannot hold a colon in some of these places (search paths), and no slash anywhere.
TERRIBLE = 'it\'s "so" $(touch pwned) `touch pwned`; touch pwned & <ü 雪> #1 ?a=b&c %41%2F [0] {x} * ! \\n ~'
NAMES = {
    "spaces": "a  b ",
    "quote": "it's",
    "double quote": 'the "best"',
    "percent": "100%25 %41",
    "question mark": "a?mode=memory",
    "hash": "a#b",
    "substitution": "$(touch pwned) ${HOME} $HOME",
    "backticks": "`touch pwned`",
    "semicolon": "a; touch pwned",
    "ampersand": "a & touch pwned",
    "umlauts": "größe",
    "another script": "雪の日",
    "brackets": "[bold] a [0]",
    "backslash": "a\\nb\\",
    "newline": "a\nb",
    "all at once": TERRIBLE,
}
every_name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())


@pytest.fixture
def folder(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of that name, alone where it is; what a shell makes in its working directory is noticed."""
    (tmp_path / name).mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    yield tmp_path / name
    assert {path.name for path in tmp_path.iterdir()} == {name, "cwd"}
    assert list(tmp_path.rglob("pwned")) == []


@every_name
def test_a_database_is_the_file_that_was_named(folder: Path) -> None:
    file = folder / "searches.sqlite"
    database = Database(sqlite_url(file))
    try:
        assert database.file == str(file)
        with database.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
    finally:
        database.close()
    assert file.is_file()
    assert make_url(sqlite_url(file)).database == str(file)


@every_name
async def test_pictures_are_kept_in_the_folder_that_was_named(folder: Path) -> None:
    store = open_store(str(folder / "artifacts"))
    await store.put({"ab/cd": b"picture"})
    assert (folder / "artifacts" / "ab" / "cd").read_bytes() == b"picture"


@every_name
def test_settings_hold_the_folders_that_were_named(folder: Path) -> None:
    environment = {"EACPS_DATA": str(folder), "EACPS_ARTIFACTS": str(folder), "EACPS_API_KEYS": str(folder / "keys ")}
    settings = Settings.from_environment(environment)
    assert settings.store is not None
    assert (settings.store.folder, settings.store.artifacts) == (folder, str(folder))
    assert settings.api_keys == folder / "keys "


def test_a_folder_is_no_url_and_a_name_need_not_be_text(tmp_path: Path) -> None:
    named = os.fsdecode(b"%s/a://b\xff " % os.fsencode(tmp_path))
    settings = Settings.from_environment({"EACPS_ARTIFACTS": named})
    assert settings.store is not None
    assert settings.store.artifacts == named
    open_store(named)
    assert Path(named).is_dir()


def test_a_result_may_have_the_longest_name_there_is(tmp_path: Path) -> None:
    file = tmp_path / (251 * "n" + ".png")
    write_file(file, b"picture")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"picture"]


def test_a_data_folder_that_no_database_address_can_hold_is_refused_by_name(tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"a\xff")
    with pytest.raises(InvalidRequest, match="its path is not valid UTF-8"):
        check_folder(named)
    assert not named.exists()


def test_a_file_whose_name_is_no_text_counts_in_a_digest(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff")).write_bytes(b"1")
    named = digest_of([tmp_path])
    (tmp_path / os.fsdecode(b"a\xff")).rename(tmp_path / os.fsdecode(b"a\xfe"))
    assert digest_of([tmp_path]) != named


@every_name
def test_scratch_has_a_plain_path_whatever_the_temporary_folder_is_called(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for preferred in (None, folder):
        scratch = launch.make_scratch(preferred)
        try:
            assert installation.PLAIN_PATH.fullmatch(str(scratch))
        finally:
            scratch.rmdir()


def test_scratch_is_made_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.make_scratch(tmp_path).parent == tmp_path
    monkeypatch.setattr(installation, "PLAIN_FOLDERS", ())
    with pytest.raises(TritonNotInstalled, match="has a plain path"):
        launch.make_scratch(tmp_path / "no such folder")


@every_name
def test_a_configuration_holds_the_name_as_it_is(name: str) -> None:
    config = render_config(SAMPLER, EMBEDDED.where, ConfigDetails({"checkpoint": name}))
    assert text_format.Parse(config, ModelConfig()).parameters["checkpoint"].string_value == name


@every_name
def test_a_repository_is_delivered_to_the_folder_that_was_named(folder: Path) -> None:
    output = folder / folder.name
    with open_staging_area(output) as staging:
        (staging.stage / "manifest.json").write_text("{}")
        staging.deliver()
    assert (output / "manifest.json").read_text() == "{}"
    assert list(folder.iterdir()) == [output]


@every_name
def test_weights_are_found(folder: Path, checkpoint_dir: Path) -> None:
    part = folder / "vae"
    part.mkdir()
    weights = load_file(checkpoint_dir / "vae" / "diffusion_pytorch_model.safetensors")
    save_file(weights, part / "diffusion_pytorch_model.safetensors")
    assert find_weight_files(part, "diffusion_pytorch_model").tensors.keys() == weights.keys()


@pytest.mark.parametrize("name", [TERRIBLE, NAMES["newline"]], ids=["all at once", "newline"])
def test_triton_serves_a_repository_of_any_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    repository = write_model(folder / "models", "echo", ECHO)
    with EmbeddedTriton(repository, log_file=folder / "triton.log") as triton:
        assert triton.running
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", [TERRIBLE])
def test_a_dry_run_takes_a_checkpoint_of_any_name(folder: Path, checkpoint_dir: Path) -> None:
    shutil.copytree(checkpoint_dir, folder / "checkpoint")
    done = run_export(
        folder / "checkpoint", folder / "output", "--dry-run", "--faces", str(folder / "checkpoint/faces")
    )
    assert done.returncode == 0, done.stderr
    assert "this machine suffices" in done.stdout


def lay_checkout(checkout: Path) -> Path:
    """Lay a checkout with its own virtual environment, on the packages of this one; return its interpreter."""
    checkout.mkdir()
    for name in ("server", "export", "model_repository"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    python = checkout / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (packages,) = (checkout / ".venv").glob("lib/python3.*/site-packages")
    ours = next(path for path in map(Path, sys.path) if (path / "diffusers").is_dir())
    # As an editable installation writes it.
    (packages / "eacps.pth").write_text(f"{checkout / 'server'}\n{ours}\n", encoding="utf-8")
    return python


@contextmanager
def serving(command: list[str], **options: Any) -> Iterator[str]:
    """A server in the foreground; gives its address, and ends it by Ctrl-C."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                pytest.fail(process.communicate()[1][-2000:])
            yield json.loads(line)["address"]
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("name", [TERRIBLE])
def test_everything_may_lie_in_such_a_folder_at_once(
    folder: Path, checkpoint_dir: Path, model_repository_dir: Path
) -> None:
    """Checkout, environment, checkpoint, repository, data, temporary files, home, working directory and results."""
    python = str(lay_checkout(folder / "checkout"))
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    shutil.copytree(checkpoint_dir, folder / "checkpoint")
    shutil.copytree(model_repository_dir, folder / "repository")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EACPS_", "PYTHON"))}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
    options: dict[str, Any] = {"env": environment, "cwd": folder / "checkout"}

    def run(*words: object) -> str:
        command = [python, "-m", *map(str, words)]
        done = subprocess.run(command, **options, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    repository = folder / "repository"
    exported = run("export", "--checkpoint", folder / "checkpoint", "--output", repository, "--steps", "3")
    assert f"wrote {repository} in" in exported
    assert "export " not in exported.replace("export.", ""), "its networks were not taken over"
    log = ("--log-file", str(folder / "triton.log"))
    served = ("--listen", "127.0.0.1:0", "--insecure", "--data", str(folder / "data"), "--json", *log)
    up = [python, "-m", "eacps", "up", "--model-repository", str(repository), *served]
    with serving(up, **options) as address:
        search = ("--prompt", "make the person smile", "--strategy", "best-of-n", "--trajectories", "2")
        pictures = (SMILE / "scene.png", SMILE / "character.png")
        run("eacps", "search", *pictures, *search, "--server", address, "--out", folder / "results")
    assert (folder / "results" / "best.png").is_file()
    assert {"searches.sqlite", "artifacts"} <= {path.name for path in (folder / "data").iterdir()}
    # Libraries leave files of their own there.
    assert list((folder / "tmp").glob("eacps-*")) == []
