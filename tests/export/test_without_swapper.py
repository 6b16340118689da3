"""A repository without a face swapper: complete, served, and saying so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from eacps.cli.doctor import check_manifest
from eacps.manifest import Manifest
from eacps.tensors import FACE_PRIOR, FACE_SWAPPER
from eacps.triton import TritonGateway
from eacps.triton.embedded import EmbeddedTriton
from export.plan import print_plan
from export.prepared import prepare
from export.provenance import is_current
from export.repository import export_repository
from export.request import ExportRequest, Ingredients, InvalidOption, gather
from tests.conftest import STUDIO_MODELS


@pytest.fixture(scope="module")
def ingredients(checkpoint_dir: Path) -> Ingredients:
    return gather(ExportRequest(str(checkpoint_dir), without_swapper=True))


@pytest.fixture(scope="module")
def repository(model_repository_dir: Path, ingredients: Ingredients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("without") / "repository"
    shutil.copytree(model_repository_dir, output)
    export_repository(prepare(ingredients), output)
    return output


def test_all_else_is_there(repository: Path, ingredients: Ingredients) -> None:
    manifest = Manifest.read(repository)
    assert manifest is not None
    assert set(STUDIO_MODELS) - set(manifest.models) == {FACE_SWAPPER.name, FACE_PRIOR.name}
    assert {path.name for path in repository.iterdir() if path.is_dir()} == set(manifest.models)
    assert is_current(repository, ingredients.sha256())


def test_plan_and_doctor_say_so(repository: Path, ingredients: Ingredients) -> None:
    console = Console(record=True, width=160)
    print_plan(prepare(ingredients), repository, console)
    assert "no face swapper (--swapper): priors are made without a face swap" in console.export_text()
    check = check_manifest(repository)
    assert check.ok
    assert "no face swapper" in check.detail


async def test_it_is_served(repository: Path, tmp_path: Path) -> None:
    with EmbeddedTriton(repository, log_file=tmp_path / "triton.log") as triton:
        gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
        try:
            assert not (await gateway.describe()).face_swap
            assert await gateway.is_ready()
        finally:
            await gateway.close()


def test_a_swapper_is_not_both_named_and_left_out(checkpoint_dir: Path) -> None:
    with pytest.raises(InvalidOption, match="--swapper and --no-swapper exclude each other"):
        gather(ExportRequest(str(checkpoint_dir), swapper="inswapper_128.onnx", without_swapper=True))
