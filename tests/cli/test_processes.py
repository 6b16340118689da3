"""Commands as processes over a real Triton: what a person types, sees and finds."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
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
SMILE = ROOT / "export" / "studio_mini" / "samples" / "smile"
TASK = (SMILE / "scene.png", SMILE / "character.png", "--prompt", "make the person smile")
SMALL = ("--global-candidates", "3", "--parents", "1", "--children", "2", "--steps", "3")
DEMO_LIMIT_S = 90.0


def run(*words: object, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
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
        assert process.wait(timeout=30) == 0


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
    began = time.monotonic()
    done = run("demo", "--out", tmp_path, "--model-repository", model_repository_dir, timeout_s=240)
    took_s = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    result = check_result(tmp_path, candidates=32)
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
    done = run("search", *TASK, *SMALL, "--seed", "5", "--server", server, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == check_result(tmp_path, candidates=5)


def test_a_picture_without_a_face_is_the_callers_fault(server: str, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (128, 128), "#8899aa").save(blank)
    done = run("search", blank, *TASK[1:], *SMALL, "--server", server, "--out", tmp_path / "o", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "FAILED_PRECONDITION"
    assert "no face found in scene" in done.stderr


def test_an_interrupted_search_ends_at_once(server: str, tmp_path: Path) -> None:
    words = ("search", *TASK, "--global-candidates", "512", "--steps", "50", "--server", server, "--out", tmp_path)
    process = subprocess.Popen([*EACPS, *map(str, words)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("prior")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told
    assert not (tmp_path / "best.png").exists()


def test_a_question_of_ones_own_is_asked_and_told(server: str, tmp_path: Path) -> None:
    pictures = [str(SAMPLE / f"{name}.png") for name in ("scene", "character")]
    words = ("--prompt", "make the person smile", "--server", server, "--ask", "triton.smiling=Is the person smiling?")
    search = ("--weight", "triton.smiling=1", "--trajectories", "2", "--steps", "2", "--out", str(tmp_path))
    done = run("search", *pictures, *words, *search)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["request"]["weights"] == {"triton.smiling": 1.0}
    assert result["request"]["questions"] == {"triton.smiling": "Is the person smiling?"}
    assert result["versions"]["scorer.triton.smiling"].startswith("vlm_judge:smiling@sha256:")
    scored = run("score", *pictures, str(tmp_path / "best.png"), *words, "--json")
    (evaluation,) = json.loads(scored.stdout)["evaluations"]
    assert {"identity", "realism", "prompt", "triton.smiling"} == {one["scorer"] for one in evaluation["scores"]}
    nobody = run("score", *pictures, pictures[0], *words[:-1], "gemini.smiling=Is the person smiling?", "--json")
    assert nobody.returncode == 2
    assert [one["field"] for one in json.loads(nobody.stdout)["error"]["violations"]] == ["scorers[3].name"]


def test_a_second_server_on_the_address_is_refused(server: str, triton: EmbeddedTriton, tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = run("serve", "--triton", triton.grpc_url, "--listen", server, "--insecure", "--data", data)
    assert done.returncode == 2
    assert f"cannot listen on {server}" in done.stderr


def test_up_ends_with_its_triton_on_sigterm(model_repository_dir: Path, tmp_path: Path) -> None:
    with up(model_repository_dir, tmp_path) as (process, told):
        assert listens(told["address"])
        assert listens(told["triton"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert not listens(told["address"])
        assert not listens(told["triton"])


def test_up_says_so_when_its_triton_ends_by_itself(model_repository_dir: Path, tmp_path: Path) -> None:
    with up(model_repository_dir, tmp_path) as (process, told):
        children = psutil.Process(process.pid).children(recursive=True)
        servers = [child for child in children if Path(child.exe()).name == "tritonserver"]
        assert len(servers) == 1
        os.kill(servers[0].pid, signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 3
        assert "Triton has ended by itself" in " ".join(said.split())
        assert not listens(told["address"])


@contextmanager
def up(repository: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    words: Sequence[object] = ("up", "--listen", "127.0.0.1:0", "--insecure", "--model-repository", repository)
    with running(*words, "--log-file", folder / "triton.log") as served:
        yield served


def test_the_readmes_first_client_runs_as_written(server: str, tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    code = block[1].replace("127.0.0.1:50051", server).replace("best.png", str(tmp_path / "best.png"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "best" in done.stdout
    with Image.open(tmp_path / "best.png") as image:
        assert image.size == (128, 128)
