"""``eacps http`` as a process with TLS, over a real Triton that serves studio-mini."""

import base64
import io
import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from openai import OpenAI
from PIL import Image

from eacps.triton.embedded import EmbeddedTriton
from tests.api.certificates import Authority
from tests.cli.test_processes import EACPS, ROOT, SMILE, running
from tests.http.conftest import see_through


@pytest.fixture(scope="module")
def server(triton: EmbeddedTriton) -> Iterator[str]:
    """Address of a search server over the shared Triton."""
    with running("serve", "--triton", triton.grpc_url, "--listen", "127.0.0.1:0", "--insecure") as (_, served):
        yield served["address"]


def test_openais_client_edits_within_a_mask_over_studio_mini(server: str, tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    certificate, private_key = ours.issue("server", "127.0.0.1")
    tls = {"EACPS_HTTP_TLS_CERTIFICATE": str(certificate), "EACPS_HTTP_TLS_KEY": str(private_key)}
    trusting = httpx2.Client(verify=ssl.create_default_context(cafile=ours.root), trust_env=False)
    scene, character = (SMILE / name for name in ("scene.png", "character.png"))
    command = [*EACPS, "http", "--server", server, "--listen", "127.0.0.1:0", "--json", "--verbose"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | tls, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        assert address.startswith("https://")
        with (
            OpenAI(base_url=f"{address}/v1", api_key="secret-key", max_retries=0, http_client=trusting) as client,
            Image.open(scene) as image,
        ):
            before = np.asarray(image.convert("RGB")).astype(int)
            height, width = before.shape[:2]
            response = client.images.edit(
                image=[scene, character],
                mask=("mask.png", see_through((0, 0, width, height // 2), (width, height))),
                prompt="make the person look happy",
                n=2,
                extra_body={"eacps": json.dumps({"search": {"best_of_n": {"trajectories": 3}, "random_seed": 1}})},
            )
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
        assert process.returncode == 0
    first, second = response.data or []
    scores = [(one.model_extra or {})["eacps"]["evaluation"] for one in (first, second)]
    assert set(scores[0]["scores"]) == {"identity", "identity_heldout", "realism", "prompt"}
    assert scores[0]["potential"] >= scores[1]["potential"]
    after = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.b64_json or ""))).convert("RGB")).astype(int)
    changed = np.abs(after - before).max(axis=2) > 2
    assert not changed[height // 2 :].any()
    assert changed[: height // 2].mean() > 0.2
    assert "/v1/images/edits" in log
    assert "secret-key" not in log


def test_others_than_this_machine_are_not_let_in_without_keys(server: str) -> None:
    command = [*EACPS, "http", "--server", server, "--listen", "0.0.0.0:0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "admits callers without a key" in done.stderr.replace("\n", " ")
