"""What names a build: the networks, and all code that answers with them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import eacps
from eacps.manifest import BrokenRepository, Manifest, programs_digest
from eacps.models.repository_check import check_repository
from export.provenance import REPOSITORY_SOURCES, sources_digest
from export.request import ExportRequest, gather

PACKAGE = Path(eacps.__file__).parent
SAMPLER = ("sampler", "schedule", "denoising", "latents", "noise", "mask", "editing", "request", "checkpoint_config")
QWEN = tuple(
    f"backbones/qwen_image_edit/{name}" for name in ("velocity", "positions", "rope", "preprocessing", "judge")
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the programs' code."""
    shutil.copytree(PACKAGE / "models", tmp_path / "models")
    shutil.copyfile(PACKAGE / "tensors.py", tmp_path / "tensors.py")
    return tmp_path


def test_it_is_the_same_wherever_the_code_lies(package: Path) -> None:
    assert programs_digest(package) == programs_digest()


@pytest.mark.parametrize("module", [*SAMPLER, *QWEN, "faces/prior"])
def test_another_sampler_is_another_build(package: Path, module: str) -> None:
    file = package / "models" / f"{module}.py"
    file.write_text(file.read_text() + "\nCHANGED = True\n")
    assert programs_digest(package) != programs_digest()


def test_every_module_counts_and_nothing_that_python_writes(package: Path) -> None:
    (package / "models" / "__pycache__").mkdir(exist_ok=True)
    (package / "models" / "__pycache__" / "sampler.cpython-311.pyc").write_bytes(b"compiled")
    assert programs_digest(package) == programs_digest()
    (package / "models" / "another.py").write_text("")
    assert programs_digest(package) != programs_digest()


def test_a_repository_of_another_sampler_is_not_served(
    model_repository_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.read(model_repository_dir)
    assert manifest is not None
    assert replace(manifest, programs_sha256="other").build != manifest.build
    arguments = {
        "model_repository": str(model_repository_dir / "sampler"),
        "model_config": f'{{"parameters": {{"build": {{"string_value": "{manifest.build}"}}}}}}',
    }
    check_repository(arguments)
    monkeypatch.setattr("eacps.models.repository_check.programs_digest", lambda: "of another version")
    with pytest.raises(BrokenRepository, match="EACPS has changed since the export"):
        check_repository(arguments)


def test_sources_that_were_renamed_are_missed() -> None:
    assert sources_digest(REPOSITORY_SOURCES)
    with pytest.raises(FileNotFoundError, match=r"models/facts\.py"):
        sources_digest(["server/eacps/models/facts.py"])


def test_a_checkpoint_is_the_same_wherever_it_lies(checkpoint_dir: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(checkpoint_dir, tmp_path / "another name")
    digests = {gather(ExportRequest(str(folder))).checkpoint_sha256 for folder in (checkpoint_dir, moved)}
    assert len(digests) == 1
    (moved / "eacps.json").write_text("{}")
    assert gather(ExportRequest(str(moved))).checkpoint_sha256 not in digests
