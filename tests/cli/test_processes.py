"""Commands as processes over a real Triton: what a person types, sees and finds."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from PIL import Image

from eacps.triton.embedded import EmbeddedTriton
from tests.api.conftest import SAMPLE

ROOT = Path(__file__).parents[2]
EACPS = (sys.executable, "-c", "from eacps.cli.app import main; main()")
SMILE = ROOT / "studio_mini" / "samples" / "smile"
TASK = (SMILE / "scene.png", SMILE / "character.png", "--prompt", "make the person smile")
SMALL = ("--global-candidates", "3", "--parents", "1", "--children", "2", "--steps", "3")
DEMO_LIMIT_S = 90.0
"""Processor time, which other work on the machine moves little."""
ENDING_S = 200.0
"""A server may take that long to end on a busy machine; less than the grace period of its searches."""


def run(*words: object, timeout_s: float = 250.0) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's root to its end."""
    command = [*EACPS, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)


@contextmanager
def running(*words: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server command in the foreground, and what it says of itself once it serves."""
    with TemporaryDirectory() as data:
        command = [*EACPS, *map(str, words), "--data", data, "--json"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"{' '.join(map(str, words))}: {process.communicate()[1][-2000:]}")
            yield process, json.loads(line)
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def server(triton: EmbeddedTriton) -> Iterator[str]:
    """Address of a search server that ``eacps serve`` runs over the shared Triton."""
    with running("serve", "--triton", triton.grpc_url, "--listen", "127.0.0.1:0", "--insecure") as (process, told):
        assert told["triton"] == triton.grpc_url
        yield told["address"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=ENDING_S) == 0


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def check_result(out: Path, *, candidates: int) -> dict[str, Any]:
    """Check the three files against one another."""
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    ranked = [one["evaluation"]["potential"] for one in result["candidates"]]
    assert len(ranked) == candidates
    assert ranked == sorted(ranked, reverse=True)
    assert result["best"]["id"] == result["candidates"][0]["id"]
    known = {one["id"] for one in result["candidates"]}
    for one in result["candidates"]:
        assert set(one["evaluation"]["scores"]) == {"identity", "identity_heldout", "realism", "prompt"}
        assert all(0.0 <= score <= 1.0 for score in one["evaluation"]["scores"].values())
        assert set(one["parents"]) <= known
    assert result["gain"]["over_first_seed"] >= 0.0
    assert {"prepare", "generate", "score", "total"} <= set(result["timings_s"])
    for name, least in (("best.png", 64), ("contact_sheet.png", 1000)):
        with Image.open(out / name) as image:
            image.load()
            assert image.width >= least
    return result


def test_demo_writes_its_files_says_what_it_gained_and_leaves_nothing_running(
    model_repository_dir: Path, tmp_path: Path
) -> None:
    before = os.times()
    done = run("demo", "--out", tmp_path, "--model-repository", model_repository_dir, timeout_s=240)
    after = os.times()
    took_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.returncode == 0, done.stderr
    result = check_result(tmp_path, candidates=104)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"best.png", "contact_sheet.png", "search.png", "result.json", "triton.log"}
    assert result["request"]["random_seed"] == 0
    first = next(one for one in result["candidates"] if one["id"] == "g0-000")
    assert first["recipe"] == [{"seed": 0, "coefficient": 1.0}]
    assert f"{result['gain']['over_first_seed']:+.3f}" in done.stdout
    assert f"{result['gain']['over_prior']:+.3f}" in done.stdout
    assert "local round 1" in done.stderr
    assert took_s < DEMO_LIMIT_S
    # The keeper of an embedded Triton is told where its log is.
    left = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"])]
    assert not [words for words in left if str(tmp_path) in " ".join(words or [])]


def test_search_against_a_running_server(server: str, tmp_path: Path) -> None:
    done = run("search", *TASK, *SMALL, "--seed", "5", "--server", server, "--overwrite", "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    result = check_result(tmp_path, candidates=5)
    assert json.loads(done.stdout) == result
    record = json.loads(run("inspect", str(tmp_path / "best.png"), "--json").stdout)["record"]
    scores = result["best"]["evaluation"]["scores"]
    assert record["scores"] == scores, "calibrated, as the search reports them"
    assert record["raw_scores"].keys() == scores.keys()
    assert record["raw_scores"] != scores


def test_a_picture_without_a_face_is_the_callers_fault(server: str, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (128, 128), "#8899aa").save(blank)
    done = run("search", blank, *TASK[1:], *SMALL, "--server", server, "--overwrite", "--out", tmp_path / "o", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "FAILED_PRECONDITION"
    assert "no face found in scene" in done.stderr


def test_an_interrupted_search_ends_at_once(server: str, tmp_path: Path) -> None:
    words = (
        "search",
        *TASK,
        "--global-candidates",
        "512",
        "--steps",
        "50",
        "--server",
        server,
        "--overwrite",
        "--out",
        tmp_path,
    )
    process = subprocess.Popen([*EACPS, *map(str, words)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert next(line for line in process.stderr if not line.startswith("queued")).startswith("prior")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=ENDING_S)
    assert process.returncode == 130
    assert "interrupted" in told
    assert not (tmp_path / "best.png").exists()


def test_a_question_of_ones_own_is_asked_and_told(server: str, tmp_path: Path) -> None:
    pictures = [str(SAMPLE / f"{name}.png") for name in ("scene", "character")]
    words = ("--prompt", "make the person smile", "--server", server, "--ask", "triton.smiling=Is the person smiling?")
    search = (
        "--weight",
        "triton.smiling=1",
        "--trajectories",
        "2",
        "--steps",
        "2",
        "--overwrite",
        "--out",
        str(tmp_path),
    )
    done = run("search", *pictures, *words, *search)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["request"]["weights"] == {"triton.smiling": 1.0, "identity_heldout": 0.0}
    assert result["request"]["questions"] == {"triton.smiling": "Is the person smiling?"}
    assert result["versions"]["scorer.triton.smiling"].startswith("vlm_judge:smiling@sha256:")
    scored = run("score", *pictures, str(tmp_path / "best.png"), *words, "--json")
    (evaluation,) = json.loads(scored.stdout)["evaluations"]
    scorers = {"identity", "identity_heldout", "realism", "prompt", "triton.smiling"}
    assert scorers == {one["scorer"] for one in evaluation["scores"]}
    nobody = run("score", *pictures, pictures[0], *words[:-1], "gemini.smiling=Is the person smiling?", "--json")
    assert nobody.returncode == 2
    assert [one["field"] for one in json.loads(nobody.stdout)["error"]["violations"]] == ["scorers[0].name"]


def test_a_second_server_on_the_address_is_refused(server: str, triton: EmbeddedTriton, tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = run("serve", "--triton", triton.grpc_url, "--listen", server, "--insecure", "--data", data)
    assert done.returncode == 2
    assert f"cannot listen on {server}" in done.stderr


@pytest.mark.usefixtures("_in_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_up_ends_with_its_triton(model_repository_dir: Path, tmp_path: Path, number: signal.Signals) -> None:
    with up(model_repository_dir, tmp_path) as (process, told):
        assert listens(told["address"])
        assert listens(told["triton"])
        process.send_signal(number)
        assert process.wait(timeout=ENDING_S) == 0
        assert not listens(told["address"])
        assert not listens(told["triton"])


def test_how_long_triton_may_take_to_start_is_a_setting(
    model_repository_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EACPS_TRITON_READY_TIMEOUT_S", "0.2")
    words = ("--model-repository", model_repository_dir, "--log-file", tmp_path / "triton.log")
    done = run("up", "--listen", "127.0.0.1:0", "--insecure", "--data", tmp_path / "data", *words)
    assert done.returncode == 3
    assert "Triton was still loading the models after 0.2 s" in done.stderr


def name_of(process: psutil.Process) -> str:
    """Name of a process; empty if it has ended since it was listed."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def kill_triton_of(process: subprocess.Popen[str]) -> None:
    (server,) = [
        child for child in psutil.Process(process.pid).children(recursive=True) if name_of(child) == "tritonserver"
    ]
    server.kill()


def test_up_restarts_a_triton_that_ends_by_itself(model_repository_dir: Path, tmp_path: Path) -> None:
    with up(model_repository_dir, tmp_path) as (process, told):
        kill_triton_of(process)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("Triton has ended by itself" in line and "starting it again" in line for line in lines)
        assert any("Triton is back" in line for line in lines)
        done = run(
            "search", *TASK, *SMALL, "--server", told["address"], "--overwrite", "--out", tmp_path / "out", "--json"
        )
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=ENDING_S) == 0


def test_up_ends_at_once_when_triton_does_not_come_back(
    model_repository_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EACPS_GRACE_S", "600")
    models = shutil.copytree(model_repository_dir, tmp_path / "models")
    with up(models, tmp_path) as (process, told):
        many = ("--global-candidates", "512", "--steps", "50")
        submitted = run("submit", *TASK, *many, "--server", told["address"])
        assert submitted.returncode == 0, submitted.stderr
        shutil.rmtree(models)
        kill_triton_of(process)
        _, said = process.communicate(timeout=ENDING_S)
        assert process.returncode in (3, 4)
        assert "Triton has ended by itself" in " ".join(said.split())
        assert not listens(told["address"])


@contextmanager
def up(repository: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    words: Sequence[object] = ("up", "--listen", "127.0.0.1:0", "--insecure", "--model-repository", repository)
    with running(*words, "--log-file", folder / "triton.log") as served:
        yield served
