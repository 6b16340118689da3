"""The container files, as far as they can be seen without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
KNOWN = re.compile(r"EACPS_[A-Z0-9_]+")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return found


def test_services_depend_on_and_mount_what_is_declared(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert ("build" in service) != ("image" in service), name
        assert set(service.get("depends_on", ())) <= set(services), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source.startswith(("./", "../")) or source in compose["volumes"], volume
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for dependency, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and "healthcheck" not in services[dependency]:
                dockerfile = ROOT / services[dependency]["build"]["dockerfile"]
                assert "HEALTHCHECK" in dockerfile.read_text()


def test_every_variable_that_is_set_is_read(compose: dict[str, Any]) -> None:
    read = set()
    for source in (ROOT / "server" / "eacps" / "settings").glob("*.py"):
        read |= set(KNOWN.findall(source.read_text()))
    for name, service in compose["services"].items():
        assert {one for one in service.get("environment", {}) if one.startswith("EACPS_")} <= read, name
    for dockerfile in DOCKERFILES:
        assert set(KNOWN.findall(dockerfile.read_text())) <= read, dockerfile


def test_search_servers_have_names_of_their_own(compose: dict[str, Any]) -> None:
    ids = [
        service["environment"]["EACPS_EXECUTOR_ID"] for name, service in compose["services"].items() if "search" in name
    ]
    assert len(set(ids)) == len(ids) == 2


def test_prometheus_scrapes_services_that_are_there(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    targets = [target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]]
    assert {target.partition(":")[0] for target in targets} <= set(compose["services"])


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_copy_what_is_there(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 1
    assert re.search(r"^CMD \[", text, re.MULTILINE), "exec form, so that signals reach the program"
