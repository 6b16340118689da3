"""A real Envoy with the configuration of docker/envoy.yaml, before a search server on this machine."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "docker" / "envoy.yaml"
ENVOY = Path(sys.executable).parent / "envoy"
_START_S = 60.0


def local_configuration(server: str, port: int) -> str:
    """The configuration with other addresses: those of this machine."""
    host, _, server_port = server.rpartition(":")
    text = CONFIGURATION.read_text(encoding="utf-8")
    for written, here in {
        "port_value: 9901": "port_value: 0",
        "address: 0.0.0.0, port_value: 8081": f"address: 127.0.0.1, port_value: {port}",
        "address: search, port_value: 50051": f"address: {host}, port_value: {server_port}",
        "/etc/envoy/eacps.binpb": str(ROOT / "docker" / "eacps.binpb"),
    }.items():
        assert text.count(written) == 1, written
        text = text.replace(written, here)
    return text


@contextmanager
def envoy_before(server: str, folder: Path) -> Iterator[str]:
    """Run Envoy, and give its ``host:port`` once it finds the search server ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration, log = folder / "envoy.yaml", folder / "envoy.log"
    configuration.write_text(local_configuration(server, port), encoding="utf-8")
    command = [ENVOY, "--config-path", configuration, "--concurrency", "1", "--use-dynamic-base-id"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/health/ready", process, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end_s = time.monotonic() + _START_S
    with httpx2.Client(trust_env=False) as client:
        while time.monotonic() < end_s and process.poll() is None:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"Envoy is not ready:\n{log.read_text()[-2000:]}")
