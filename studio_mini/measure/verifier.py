"""Whose face is in a picture, as the held-out verifier sees it: a network that nothing was trained or searched with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from numpy.typing import NDArray

from export.face_pack import VERIFIER_FILE
from studio_mini.faces.pack import FacePack
from studio_mini.measure.identity import Embedding


class HeldOutVerifier:
    """The pack's detector finds the face, ``verifier.onnx`` embeds it.

    Args:
        folder: The face pack's.
        pack: Its detector is used.
        threads: Of the network.
    """

    def __init__(self, folder: Path, pack: FacePack, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = folder / VERIFIER_FILE
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._network, self._pack = ArcFaceONNX(str(path), session=session), pack

    def embedding(self, picture: NDArray[np.uint8]) -> Embedding | None:
        """Return the unit embedding [256] of the largest face in an RGB picture, or None where no face is found."""
        bgr = np.ascontiguousarray(picture[..., ::-1])
        boxes, landmarks = self._pack.detector.detect(bgr)
        if not len(boxes):
            return None
        largest = int(np.argmax(np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)))
        face = Face(bbox=boxes[largest, :4], kps=landmarks[largest], det_score=boxes[largest, 4])
        self._network.get(bgr, face)
        return np.asarray(face.normed_embedding, np.float32)
