"""The nodes in ComfyUI itself: its server loads them, and runs a workflow by its own HTTP interface.

ComfyUI is no package. ``EACPS_COMFYUI`` names a folder of it, whose requirements the environment has; without it this
is skipped.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import toy_server

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "studio_mini" / "samples" / "smile"
_START_S = 240.0
pytestmark = pytest.mark.skipif("EACPS_COMFYUI" not in os.environ, reason="no ComfyUI: EACPS_COMFYUI names none")


@contextmanager
def comfyui(folder: Path) -> Iterator[httpx2.Client]:
    """Run ComfyUI with our nodes, its folders within ``folder``."""
    nodes = folder / "custom_nodes"
    nodes.mkdir()
    (nodes / "eacps_nodes").symlink_to(ROOT / "integrations" / "comfyui")
    (folder / "paths.yaml").write_text(f"eacps:\n  base_path: {folder}\n  custom_nodes: custom_nodes\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "main.py", "--cpu", "--port", str(port), "--disable-auto-launch"]
    command += ["--extra-model-paths-config", str(folder / "paths.yaml")]
    for name in ("input", "output", "temp"):
        (folder / name).mkdir()
        command += [f"--{name}-directory", str(folder / name)]
    log = folder / "comfyui.log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=os.environ["EACPS_COMFYUI"], stdout=output, stderr=output) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        try:
            _wait(client, process, log)
            yield client
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(client: httpx2.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            if client.get("/object_info/EacpsSearch").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"ComfyUI does not answer:\n{log.read_text()[-4000:]}")


def run(client: httpx2.Client, workflow: dict[str, Any]) -> dict[str, Any]:
    """Run a workflow to its end, and return its entry in the history."""
    queued = client.post("/prompt", json={"prompt": workflow})
    assert queued.status_code == 200, queued.text
    name = queued.json()["prompt_id"]
    for _ in range(600):
        if name in (history := client.get(f"/history/{name}").json()):
            entry: dict[str, Any] = history[name]
            return entry
        time.sleep(0.2)
    raise AssertionError("the workflow does not end")


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def test_comfyui_runs_the_nodes(tmp_path: Path) -> None:
    with toy_server() as server, comfyui(tmp_path) as client:
        for name in ("scene", "character"):
            (tmp_path / "input" / f"{name}.png").write_bytes((SAMPLE / f"{name}.png").read_bytes())
        declared = client.get("/object_info/EacpsSearch").json()["EacpsSearch"]
        more = {"trajectories": 4, "seed": 2, "count": 2}
        workflow = {
            "1": node("LoadImage", image="scene.png"),
            "2": node("LoadImage", image="character.png"),
            "3": node("EacpsServer", address=server),
            "4": node(
                "EacpsSearch",
                **{"server": ["3", 0], "scene": ["1", 0], "mask": ["1", 1], "character": ["2", 0]},
                **{"prompt": "make the person smile", "trajectories": 4, "seed": 1, "count": 2},
            ),
            "5": node("EacpsPick", search=["4", 1], rank=1),
            "6": node("EacpsMoreLikeThis", search=["4", 1], candidates=["5", 1], **more),
            "7": node("SaveImage", images=["4", 0], filename_prefix="best"),
            "8": node("SaveImage", images=["5", 0], filename_prefix="picked"),
            "9": node("SaveImage", images=["6", 0], filename_prefix="more"),
        }
        entry = run(client, workflow)
        refused = run(client, workflow | {"3": node("EacpsServer", address=server.replace("127.0.0.1", "127.0.0.2"))})
    assert declared["category"] == "EACPS"
    saved = {path.name.rpartition("_0")[0].partition("_")[0]: path for path in (tmp_path / "output").glob("*.png")}
    assert set(saved) == {"best", "picked", "more"}, json.dumps(entry)[-2000:]
    best, picked = (sorted((tmp_path / "output").glob(f"{name}*.png"))[0] for name in ("best", "picked"))
    with Image.open(best) as first, Image.open(picked) as second, Image.open(SAMPLE / "scene.png") as scene:
        assert first.size == scene.size
        assert np.array_equal(np.asarray(first), np.asarray(second))
    assert len(list((tmp_path / "output").glob("more*.png"))) == 2
    assert "UNAVAILABLE" in json.dumps(refused.get("status", {}))
