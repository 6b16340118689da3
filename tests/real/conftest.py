"""Real face networks, from the folder that `EACPS_REAL_FACES` names (`make test-real FACES=DIR`), and real photographs.

The folder holds ``scrfd_rank2.onnx``, ``scrfd.onnx`` and ``mobilefacenet_512.onnx``. They are other people's: none of
them, and no picture, is copied into this repository.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import insightface
import numpy as np
import pytest
from insightface.app import FaceAnalysis
from skimage import data

from eacps.arrays import Picture
from eacps.triton.embedded import EmbeddedTriton
from export.prepared import prepare
from export.repository import export_repository
from export.request import ExportRequest, gather

FACES = "EACPS_REAL_FACES"
FREE, FIXED, RECOGNIZER = "scrfd_rank2.onnx", "scrfd.onnx", "mobilefacenet_512.onnx"


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The folder."""
    if FACES not in os.environ:
        pytest.skip(f"no real face networks: {FACES} is not set; run make test-real FACES=DIR")
    folder = Path(os.environ[FACES])
    missing = [name for name in (FREE, FIXED, RECOGNIZER) if not (folder / name).is_file()]
    if missing:
        pytest.fail(f"{folder} lacks {', '.join(missing)}")
    return folder


def pack_of(folder: Path, faces: Path, detector: str) -> Path:
    """Make an InsightFace-style folder of a detector and the recognizer, by links."""
    folder.mkdir()
    for name in (detector, RECOGNIZER):
        (folder / name).symlink_to(faces / name)
    return folder


@pytest.fixture(scope="session")
def pack(real_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of any size and the recognizer."""
    return pack_of(tmp_path_factory.mktemp("real") / "free", real_faces, FREE)


@pytest.fixture(scope="session")
def fixed_pack(real_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detector of one size, whose outputs have rank 3, and the recognizer."""
    return pack_of(tmp_path_factory.mktemp("real") / "fixed", real_faces, FIXED)


@pytest.fixture(scope="session")
def analysis(pack: Path) -> FaceAnalysis:
    """InsightFace itself on the same files, as it is prepared by default."""
    app = FaceAnalysis(name=str(pack), providers=["CPUExecutionProvider"])
    app.prepare(0)
    return app


def served(
    repository: Path, faces: Path, checkpoint: Path, folder: Path, *, swapper: Path | None
) -> Iterator[EmbeddedTriton]:
    """A Triton that serves studio-mini with another face pack."""
    output = folder / "repository"
    shutil.copytree(repository, output)  # what does not depend on faces is kept
    request = ExportRequest(
        str(checkpoint), faces=str(faces), swapper=None if swapper is None else str(swapper), verifier=None
    )
    export_repository(prepare(gather(request)), output)
    with EmbeddedTriton(output, log_file=folder / "triton.log") as triton:
        yield triton


@pytest.fixture(scope="session")
def swapping(
    pack: Path, model_repository_dir: Path, checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedTriton]:
    """With studio-mini's swapper: there is no real one, but its widths fit."""
    swapper = checkpoint_dir / "faces" / "swapper.onnx"
    folder = tmp_path_factory.mktemp("swapping")
    yield from served(model_repository_dir, pack, checkpoint_dir, folder, swapper=swapper)


@pytest.fixture(scope="session")
def swapperless(
    fixed_pack: Path, model_repository_dir: Path, checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedTriton]:
    """Without a swapper, and with the detector of one size."""
    folder = tmp_path_factory.mktemp("swapperless")
    yield from served(model_repository_dir, fixed_pack, checkpoint_dir, folder, swapper=None)


@pytest.fixture(scope="session")
def six() -> Picture:
    """Six people, ``uint8 [886, 1280, 3]``, RGB."""
    file = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    return np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])


@pytest.fixture(scope="session")
def astronaut() -> Picture:
    """One person, ``uint8 [512, 512, 3]``, RGB."""
    return np.asarray(data.astronaut())
