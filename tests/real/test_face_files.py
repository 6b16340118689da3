"""Real files: those that insightface takes are brought to the contract, and read alike; others are refused by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from insightface.data import get_image
from insightface.model_zoo.scrfd import SCRFD

from eacps.tensors import FACE_DETECTOR
from export.face_checks import check_faces
from export.face_pack import UnsupportedFacePack, find_faces
from export.networks.faces import face_network, open_exported
from export.parity import open_session
from tests.real.conftest import FIXED

NARROW = "mobilefacenet_192.onnx"


def test_a_detector_that_keeps_its_batch_is_exported_and_read_alike(real_faces: Path, fixed_pack: Path) -> None:
    files = find_faces(fixed_pack)
    check_faces(files, fixed=False)
    exported = open_exported(face_network(FACE_DETECTOR, files, fixed=False))
    assert [len(port.shape) for port in exported.get_outputs()] == [2] * 9
    found = []
    for session in (open_session(real_faces / FIXED), exported):
        detector = SCRFD(session=session)
        detector.prepare(0, det_thresh=0.5)
        found.append(detector.detect(get_image("t1")))
    assert len(found[0][0]) == 6
    for of_file, of_export in zip(*found, strict=True):
        np.testing.assert_allclose(of_export, of_file, atol=1e-3)


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("recognizer", NARROW, r"output embedding has shape \[1, 192\] instead of \[batch=1, 512\]"),
        ("swapper", NARROW, "no face swapper .it has the form of a face recognizer"),
        ("swapper", FIXED, "no face swapper .it has the form of a face detector"),
        ("verifier", FIXED, "no held-out recognizer .it has the form of a face detector"),
    ],
)
def test_what_cannot_play_its_role_is_refused(real_faces: Path, pack: Path, role: str, name: str, message: str) -> None:
    if not (real_faces / name).is_file():
        pytest.skip(f"{real_faces} lacks {name}")
    with pytest.raises(UnsupportedFacePack, match=rf"{name} .*{message}"):
        check_faces(replace(find_faces(pack), **{role: real_faces / name}), fixed=False)


def test_a_recognizer_of_another_width_may_be_the_verifier(real_faces: Path, pack: Path) -> None:
    if not (real_faces / NARROW).is_file():
        pytest.skip(f"{real_faces} lacks {NARROW}")
    check_faces(replace(find_faces(pack), verifier=real_faces / NARROW), fixed=False)
