"""Which files of a face pack are detector, recogniser and swapper: by our names, or by the shape of their graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE = "detector.onnx", "recognizer.onnx", "swapper.onnx"
VERIFIER_FILE = "verifier.onnx"
"""Held-out recogniser; a pack may lack it."""
PACK_FILES = (DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE)

INSIGHTFACE_DETECTION_SIZE = 640
CROP_SIDE, SWAP_SIDE, DETECTOR_HEADS = 112, 128, 5


class IncompleteFacePack(Exception):
    """Files of the pack are missing, or cannot be told apart."""


@dataclass(frozen=True)
class FaceFiles:
    """The ONNX files of the face models.

    Args:
        detector, recognizer, swapper: InsightFace's SCRFD, ArcFace and inswapper, or graphs like theirs.
        verifier: Held-out recogniser, or None.
        detection_size: Side of the square, in pixels, that the detector is to see.
    """

    detector: Path
    recognizer: Path
    swapper: Path
    verifier: Path | None
    detection_size: int = INSIGHTFACE_DETECTION_SIZE


def find_faces(
    folder: Path, *, swapper: Path | None = None, verifier: Path | None = None, detection_size: int | None = None
) -> FaceFiles:
    """Tell the files of a pack apart.

    Args:
        folder: Of a pack, ours or InsightFace's; its other models (landmarks, age) are passed over.
        swapper, verifier: Instead of the pack's own.
        detection_size: That the detector is made for; None for what its graph is fixed to, else InsightFace's.

    Raises:
        IncompleteFacePack: A role is missing, or two files could play it.
    """
    roles: dict[str, list[Path]] = {"detector": [], "recognizer": [], "swapper": []}
    for path in sorted(folder.glob("*.onnx")):
        if (role := _role(path)) is not None and path.name != VERIFIER_FILE:
            roles[role].append(path)
    if swapper is not None:
        roles["swapper"] = [swapper]
    chosen = {role: _only(role, found, folder) for role, found in roles.items()}
    own = folder / VERIFIER_FILE
    return FaceFiles(
        **chosen,
        verifier=verifier or (own if own.exists() else None),
        detection_size=detection_size or _fixed_side(chosen["detector"]) or INSIGHTFACE_DETECTION_SIZE,
    )


def _only(role: str, found: list[Path], folder: Path) -> Path:
    if not found:
        raise IncompleteFacePack(f"{folder} holds no {role}{'; name one with --swapper' * (role == 'swapper')}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise IncompleteFacePack(f"{folder} holds more than one {role}: {names}")
    return found[0]


def _role(path: Path) -> str | None:
    """As InsightFace's own router tells models apart: by numbers and sizes of inputs and outputs."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
    if len(graph.output) >= DETECTOR_HEADS:
        return "detector"
    if len(inputs) == 2 and dims[2:] == [SWAP_SIDE, SWAP_SIDE]:
        return "swapper"
    return "recognizer" if len(inputs) == 1 and dims[2:] == [CROP_SIDE, CROP_SIDE] else None


def _fixed_side(detector: Path) -> int | None:
    dims = onnx.load(str(detector), load_external_data=False).graph.input[0].type.tensor_type.shape.dim
    return dims[2].dim_value if dims[2].dim_value > 0 and dims[2].dim_value == dims[3].dim_value else None
