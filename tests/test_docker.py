"""The container files, as far as they can be seen without a container engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from eacps.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
KNOWN = re.compile(r"EACPS_[A-Z0-9_]+")
TOOLS = Path(sys.executable).parent
HEAVY = {"torch", "diffusers", "transformers", "insightface", "tensorrt", "onnxruntime"}


def done(*command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, env=env)


def argument(dockerfile: str, name: str) -> str:
    """Default of a build argument."""
    (found,) = re.findall(rf"^ARG {name}=(\S+)$", (DOCKER / dockerfile).read_text(), re.MULTILINE)
    return str(found)


def packages(extra: str | None = None) -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {one.name: one for one in map(Requirement, listed)}


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


def settings_read() -> set[str]:
    """Names of all variables that the code reads; those of a judge are put together from its provider's name."""

    class Asked(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            names.add(name)
            # Of a judge, the rest is read where a model is named, and the key only then.
            values = {"MODEL": "model", "BASE_URL": "http://judge/v1", "API_KEY": "key"}
            return next((value for end, value in values.items() if name.endswith(f"_{end}")), default)

    names = set[str]()
    Settings.from_environment(Asked())
    for source in (ROOT / "server" / "eacps" / "settings").glob("*.py"):
        names |= set(KNOWN.findall(source.read_text()))
    return names


def test_every_variable_that_is_set_is_read(compose: dict[str, Any]) -> None:
    read = settings_read()
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
    assert all(
        carried(source) for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for source in line.split()[:-1]
    )


def carried(path: str) -> bool:
    """Whether .dockerignore leaves a path of the build's context in it: the last line that fits decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            kept = line.startswith("!")
    return kept


def test_the_context_carries_no_keys_environments_or_weights() -> None:
    away = ("api_keys.json", ".venv/bin/python", ".build/model_repository", "checkpoints/qwen", "served/models", ".git")
    assert not any(carried(path) for path in away)
    assert carried("server/eacps/errors.py")
    assert not carried("server/eacps/__pycache__/errors.cpython-311.pyc")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_have_nothing_to_complain_of(dockerfile: Path) -> None:
    linted = done(TOOLS / "hadolint", "--no-color", dockerfile)
    assert linted.returncode == 0, linted.stdout


def test_the_linter_would_complain(tmp_path: Path) -> None:
    faulty = tmp_path / "Dockerfile"
    faulty.write_text("FROM python\nRUN cd /src\nCMD eacps serve\n")
    linted = done(TOOLS / "hadolint", "--no-color", faulty)
    assert linted.returncode == 1
    assert "DL3006" in linted.stdout


def validated(compose_file: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file against the Compose Specification's own schema, which the tool carries."""
    return done(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", compose_file)


def test_the_compose_file_follows_the_specification() -> None:
    assert validated(DOCKER / "compose.yaml").returncode == 0


def test_the_specification_would_be_missed(tmp_path: Path) -> None:
    faulty = tmp_path / "compose.yaml"
    faulty.write_text((DOCKER / "compose.yaml").read_text().replace("shm_size", "shm_sizes"))
    found = validated(faulty)
    assert found.returncode == 1
    assert "shm_sizes" in found.stdout


def test_engines_are_made_by_the_release_that_serves_them() -> None:
    assert argument("export.Dockerfile", "TRITON_RELEASE") == argument("triton.Dockerfile", "TRITON_RELEASE")
    bases = {name: (DOCKER / f"{name}.Dockerfile").read_text() for name in ("export", "triton")}
    assert all("FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3\n" in text for text in bases.values())
    tensorrt = argument("export.Dockerfile", "TENSORRT")
    assert tensorrt in packages("gpu")["tensorrt"].specifier
    assert f"`TENSORRT`, {tensorrt}" in (DOCKER / "README.md").read_text()
    assert "ENV" not in bases["triton"], "no other TensorRT's libraries come before the container's"


@pytest.mark.parametrize(("dockerfile", "extra"), [("export", "export"), ("triton", "triton")])
def test_the_torch_of_an_image_is_the_projects(dockerfile: str, extra: str) -> None:
    text = (DOCKER / f"{dockerfile}.Dockerfile").read_text()
    assert f" {packages(extra)['torch']} " in text.replace("\\\n", " ")
    assert f"'.[{extra}]'" in text


def test_the_search_server_brings_no_heavy_packages() -> None:
    extras = argument("server.Dockerfile", "EXTRAS").split(",")
    brought = set(packages()).union(*(packages(extra) for extra in extras))
    assert {"google-genai", "openai"} <= brought
    assert not brought & HEAVY


HELD = [
    ({"TRT_VERSION": "11.4.0.106"}, 0, ""),
    ({"TRT_VERSION": "11.4.0.106+cuda13.4.3.001"}, 0, ""),
    ({"TRT_VERSION": "11.4.0.99"}, 1, "--build-arg TENSORRT=11.4.0.99"),
    ({"TRT_VERSION": "10.16.1.11"}, 1, "holds TensorRT 10.16.1.11, the wheel is to be 11.4.0.106"),
    ({"PACKAGE": "11.4.0.106-1+cuda13.4"}, 0, ""),
    ({"PACKAGE": "11.3.0.99-1+cuda13.4"}, 1, "--build-arg TENSORRT=11.3.0.99"),
    ({}, 1, "cannot tell"),
]


@pytest.mark.parametrize(("container", "status", "said"), HELD)
def test_a_wheel_of_another_tensorrt_ends_the_build(
    tmp_path: Path, container: dict[str, str], status: int, said: str
) -> None:
    for tool in ("head", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    query = tmp_path / "dpkg-query"
    query.write_text('#!/bin/sh\n[ -n "${PACKAGE:-}" ] || exit 1\necho "$PACKAGE"\n')
    query.chmod(0o755)
    checked = done(tmp_path / "sh", DOCKER / "same_tensorrt.sh", "11.4.0.106", env={"PATH": str(tmp_path), **container})
    assert checked.returncode == status, checked.stderr
    assert said in checked.stderr


def test_what_is_exported_is_what_is_served(compose: dict[str, Any]) -> None:
    export, triton = compose["services"]["export"], compose["services"]["triton"]
    assert export["profiles"] == ["export"], "`docker compose up` does not run it"
    assert "../served:/served" in export["volumes"]
    assert "../served:/served:ro" in triton["volumes"]
    assert '"--model-repository=/served/models"' in (DOCKER / "triton.Dockerfile").read_text()
    assert "--output /served/models" in (DOCKER / "compose.yaml").read_text()
    assert all(service["deploy"]["resources"]["reservations"]["devices"] for service in (export, triton))


def test_the_export_image_runs_the_export_from_the_folder_it_needs() -> None:
    text = (DOCKER / "export.Dockerfile").read_text()
    assert 'ENTRYPOINT ["python3", "-m", "export"]' in text
    for folder in ("server", "export", "model_repository"):
        assert f"COPY {folder} ./{folder}" in text
    assert done(sys.executable, "-m", "export", "--help", env={"PATH": "", "PYTHONPATH": str(ROOT)}).returncode == 0


def test_a_search_server_gets_keys_from_the_environment_alone(compose: dict[str, Any]) -> None:
    environment = compose["services"]["search-1"]["environment"]
    keys = [name for name in environment if name.endswith("_API_KEY")]
    assert set(keys) == {f"EACPS_{judge}_API_KEY" for judge in ("OPENAI", "GEMINI", "MOONDREAM", "REWARD")}
    assert all(environment[name] is None for name in keys), "passed on from who runs compose, never written down"
