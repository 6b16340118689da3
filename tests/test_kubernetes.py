"""The Kubernetes manifests, as far as they can be seen without a cluster: held against schemas and against the code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eacps.api.server import LIVE, SEARCH_SERVICE
from eacps.metrics import SearchMetrics
from eacps.settings import Settings
from eacps.settings.addresses import split_address
from tests.cli.test_help import COMMANDS
from tests.test_docker import DOCKER, KNOWN, ROOT, settings_read

FOLDER = ROOT / "deploy" / "kubernetes"
CUSTOM = {"kustomization.yaml", "monitoring.yaml"}
"""Kinds that are not Kubernetes' own."""
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name not in CUSTOM)
WORKLOADS = (
    ("StatefulSet", "search"),
    ("Deployment", "triton"),
    ("Deployment", "envoy"),
    ("Deployment", "http"),
)
Manifest = dict[str, Any]


def documents() -> list[Manifest]:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [one for name in listed for one in yaml.safe_load_all((FOLDER / name).read_text())]


def the(kind: str, name: str) -> Manifest:
    (found,) = [one for one in documents() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str) -> tuple[Manifest, Manifest]:
    """The specification of a workload's pods, and their one container."""
    spec = the(kind, name)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@pytest.fixture
def settings() -> Settings:
    """Of the search servers, as the code reads them."""
    environment = {name: str(value) for name, value in the("ConfigMap", "eacps")["data"].items()}
    return Settings.from_environment({**environment, "EACPS_DATABASE": "postgresql://eacps@database/eacps"})


def validated(*files: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / "kubernetes-validate"
    return subprocess.run([tool, "--strict", *files], capture_output=True, text=True, timeout=120, check=False)


def test_every_manifest_follows_kubernetes_schemas() -> None:
    done = validated(*FILES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_faulty_manifest_would_be_seen(tmp_path: Path) -> None:
    faulty = tmp_path / "search.yaml"
    faulty.write_text((FOLDER / "search.yaml").read_text().replace("livenessProbe", "livenessProbes"))
    assert validated(faulty).returncode != 0


def test_all_files_are_listed_and_images_are_built() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert set(listed["resources"]) == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    used = {pod(kind, name)[1]["image"] for kind, name in WORKLOADS}
    assert {image["name"] for image in listed["images"]} == used
    assert all(f"--tag {image} " in "".join(p.read_text() for p in DOCKER.glob("*.Dockerfile")) for image in used)


def test_every_setting_is_read_by_the_code(settings: Settings) -> None:
    read = settings_read()
    for path in FOLDER.glob("*.yaml"):
        assert set(KNOWN.findall(path.read_text())) <= read, path
    _, container = pod("StatefulSet", "search")
    assert container["env"] == [
        {"name": "EACPS_EXECUTOR_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ], "a server resumes the searches of its own name"


def test_ports_are_those_that_the_server_listens_on(settings: Settings) -> None:
    assert settings.metrics is not None
    ports = {"grpc": split_address(settings.address)[1], "metrics": split_address(settings.metrics)[1]}
    _, container = pod("StatefulSet", "search")
    assert {one["name"]: one["containerPort"] for one in container["ports"]} == ports
    assert {one["name"]: one["port"] for one in the("Service", "search")["spec"]["ports"]} == ports
    host, port = split_address(settings.triton.removeprefix("dns:///"))
    triton = the("Service", host)["spec"]
    assert triton["clusterIP"] == "None", "of a headless service gRPC sees every pod"
    assert port in {one["port"] for one in triton["ports"]}


def test_liveness_is_not_readiness(settings: Settings) -> None:
    _, container = pod("StatefulSet", "search")
    port = split_address(settings.address)[1]
    assert container["livenessProbe"]["grpc"] == {"port": port, "service": LIVE}
    assert container["readinessProbe"]["grpc"] == {"port": port, "service": SEARCH_SERVICE}
    startup = container["startupProbe"]
    assert startup["grpc"] == container["livenessProbe"]["grpc"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > settings.triton_ready_timeout_s
    _, triton = pod("Deployment", "triton")
    assert triton["livenessProbe"]["httpGet"]["path"] != triton["readinessProbe"]["httpGet"]["path"]
    assert '"--live"' in (DOCKER / "server.Dockerfile").read_text()


def test_a_server_has_time_to_end(settings: Settings) -> None:
    spec, _ = pod("StatefulSet", "search")
    assert spec["terminationGracePeriodSeconds"] > settings.grace_s + 10


def test_keys_lie_where_they_are_read(settings: Settings) -> None:
    _, container = pod("StatefulSet", "search")
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    assert str(settings.api_keys.parent if settings.api_keys else "") in mounted
    assert not [one for one in documents() if one["kind"] == "Secret"], "secrets are not written down"


def test_policies_and_budgets_select_pods_that_are_there() -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in documents() if "template" in one.get("spec", {})]
    for one in documents():
        selector = one.get("spec", {}).get("podSelector") or one.get("spec", {}).get("selector", {})
        if wanted := selector.get("matchLabels"):
            assert any(wanted.items() <= have.items() for have in labels), one["metadata"]["name"]


def test_scaling_is_by_a_metric_that_the_server_has() -> None:
    names = {family.name for family in SearchMetrics().registry.collect()}
    for metric in the("HorizontalPodAutoscaler", "triton")["spec"]["metrics"]:
        assert metric["external"]["metric"]["name"] in names


def test_gateways_find_the_search_servers_and_listen_where_they_are_asked() -> None:
    grpc = {one["name"]: one["port"] for one in the("Service", "search")["spec"]["ports"]}["grpc"]
    envoy = yaml.safe_load((DOCKER / "envoy.yaml").read_text())["static_resources"]
    (endpoint,) = envoy["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "search", "port_value": grpc}
    listens = envoy["listeners"][0]["address"]["socket_address"]["port_value"]
    words = pod("Deployment", "http")[1]["args"]
    given: dict[str, Any] = COMMANDS["http"].make_context("http", words[2:]).params
    assert given["server"] == f"dns:///search:{grpc}"
    for name, port in (("envoy", listens), ("http", split_address(given["listen"])[1])):
        assert [one["port"] for one in the("Service", name)["spec"]["ports"]] == [port]
        _, container = pod("Deployment", name)
        assert [one["containerPort"] for one in container["ports"]] == [port]
        assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": port}


def test_gateways_of_the_compose_file_are_those_of_the_cluster() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert services["http"]["command"] == pod("Deployment", "http")[1]["args"][:-1]
    for name in ("search-1", "search-2"):
        assert services[name]["networks"]["default"]["aliases"] == ["search"]


def test_triton_scales_by_a_metric_that_servers_report() -> None:
    (metric,) = the("HorizontalPodAutoscaler", "triton")["spec"]["metrics"]
    reported = {sample.name for family in SearchMetrics().registry.collect() for sample in family.samples}
    assert metric["external"]["metric"]["name"] in reported
