"""The pack as users load it: InsightFace's own classes on the ONNX files, and nothing of ours between."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from insightface.model_zoo.scrfd import SCRFD
from numpy.typing import NDArray

from export.face_pack import DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE

DETECTION_SIZE: Final = 128


@dataclass(frozen=True)
class FacePack:
    """InsightFace's three models. Pictures are RGB here; InsightFace's own BGR stays inside."""

    detector: SCRFD
    recognizer: ArcFaceONNX
    swapper: INSwapper

    def faces(self, picture: NDArray[np.uint8]) -> list[Face]:
        """Faces of an RGB picture [H, W, 3] with box, landmarks, score and embedding, largest first."""
        bgr = np.ascontiguousarray(picture[..., ::-1])
        rows, landmarks = self.detector.detect(bgr)
        faces = [Face(bbox=row[:4], kps=points, det_score=row[4]) for row, points in zip(rows, landmarks, strict=True)]
        for face in faces:
            self.recognizer.get(bgr, face)
        return sorted(faces, key=lambda face: -float(np.prod(face.bbox[2:] - face.bbox[:2])))

    def swap(self, scene: NDArray[np.uint8], target: Face, source: Face) -> NDArray[np.uint8]:
        """Paste the person of ``source`` over ``target`` in an RGB scene; a new RGB picture."""
        bgr = self.swapper.get(np.ascontiguousarray(scene[..., ::-1]), target, source, paste_back=True)
        return np.ascontiguousarray(bgr[..., ::-1])


def load_pack(folder: Path, *, threads: int = 1, detection_size: int = DETECTION_SIZE) -> FacePack:
    """Load ``detector.onnx``, ``recognizer.onnx`` and ``swapper.onnx`` of a folder, on the CPU."""

    def session(name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # the swapper's emap is no node's input: ONNX Runtime would warn of it
        return onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])

    detector = SCRFD(str(folder / DETECTOR_FILE), session=session(DETECTOR_FILE))
    detector.prepare(0, input_size=(detection_size, detection_size))
    recognizer = ArcFaceONNX(str(folder / RECOGNIZER_FILE), session=session(RECOGNIZER_FILE))
    with contextlib.redirect_stdout(io.StringIO()):  # INSwapper prints the shape of its input
        swapper = INSwapper(str(folder / SWAPPER_FILE), session=session(SWAPPER_FILE))
    return FacePack(detector, recognizer, swapper)
