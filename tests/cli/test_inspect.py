"""A delivered picture leads back to its search: layers, inspect and render, over a server that signs."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from eacps.provenance import Credentials, Marking, self_made_identity
from tests.cli.conftest import toy_server

Eacps = Callable[..., Any]
SMALL = ("--prompt", "make the person smile", "--global-candidates", 4, "--parents", 1, "--children", 2)
SAMPLES = np.random.default_rng(0).integers(0, 65536, (96, 128, 3), np.uint16)


@pytest.fixture(scope="module")
def signing() -> Iterator[str]:
    with toy_server(marking=Marking(Credentials(self_made_identity()))) as address:
        yield address


def test_a_picture_is_inspected_and_made_again(
    eacps: Eacps, signing: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, SAMPLES, photometric="rgb", metadata=None)
    (tmp_path / "scene.tif").write_bytes(file.getvalue())
    out = tmp_path / "out"
    scene, character = tmp_path / "scene.tif", pictures[1]
    done = eacps("search", scene, character, *SMALL, "--server", signing, "--out", out, "--layers", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    best = imagecodecs.tiff_decode((out / "best.tif").read_bytes())
    plate, patch, matte = (
        imagecodecs.tiff_decode((out / f"best_{name}.tif").read_bytes()).astype(float)
        for name in ("plate", "patch", "matte")
    )
    assert np.array_equal(plate, SAMPLES)
    assert np.abs(plate + matte[..., None] / 65535 * (patch - plate) - best).max() <= 1

    told = json.loads(eacps("inspect", out / "best.tif", "--json").stdout)
    record, credentials = told["record"], told["credentials"]
    assert record["search_id"] == result["search_id"]
    assert record["candidate_id"] == result["best"]["id"]
    assert record["prompt"] == "make the person smile"
    assert record["recipe"] == [[term["seed"], term["coefficient"]] for term in result["best"]["recipe"]]
    assert record["scores"] == result["best"]["evaluation"]["scores"], "as the search reports them"
    assert credentials["state"] == "Valid"
    assert credentials["problems"] == ["signingCredential.untrusted"]
    assert credentials["made from"] == ["scene"]
    shown = eacps("inspect", out / "best.tif")
    assert "make the person smile" in shown.stdout

    again = eacps("render", out / "best.tif", tmp_path / "again.tif", "--server", signing)
    assert again.exit_code == 0, again.output
    assert np.array_equal(imagecodecs.tiff_decode((tmp_path / "again.tif").read_bytes()), best)


def test_a_picture_that_says_nothing_is_named(eacps: Eacps, pictures: tuple[str, str], tmp_path: Path) -> None:
    silent = eacps("inspect", pictures[0])
    assert silent.exit_code == 2
    assert "does not say how it was made" in silent.stderr
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(pictures[0]).read_bytes()[:-30])
    damaged = eacps("inspect", cut)
    assert damaged.exit_code == 2
    assert "cut.png: content credentials cannot be read" in damaged.stderr.replace("\n", " ")
    refused = eacps("render", pictures[0], tmp_path / "again.png")
    assert refused.exit_code == 2
    assert "names no search and candidate" in refused.stderr
