"""Prior and identity as a user would have them: InsightFace's own classes on the ONNX pack."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from insightface.model_zoo.scrfd import SCRFD

from benchmarks.edits import Picture

DETECTION_THRESHOLD = 0.5


class NoFace(Exception):
    """Scene or character shows no face."""


@dataclass(frozen=True, eq=False)
class Swapped:
    """The identity prior, ``uint8 [H, W, 3]``, and the character's embedding, ``float32 [512]``, unit norm."""

    prior: Picture
    reference: np.ndarray


class PlainFaces:
    """A face pack.

    Args:
        pack: Folder of ``detector.onnx``, ``recognizer.onnx`` and ``swapper.onnx``.
        detection_size: Side of the square that pictures are fitted into for the detector, pixels.
        threads: Threads of one run.
    """

    def __init__(self, pack: Path, *, detection_size: int, threads: int) -> None:
        files = {name: str(pack / f"{name}.onnx") for name in ("detector", "recognizer", "swapper")}
        sessions = {name: _session(file, threads) for name, file in files.items()}
        self._detector = SCRFD(files["detector"], sessions["detector"])
        self._detector.prepare(0, input_size=(detection_size, detection_size), det_thresh=DETECTION_THRESHOLD)
        self._recognizer = ArcFaceONNX(files["recognizer"], sessions["recognizer"])
        with contextlib.redirect_stdout(sys.stderr):  # its constructor prints
            self._swapper = INSwapper(files["swapper"], sessions["swapper"])

    def swap(self, scene: Picture, character: Picture) -> Swapped:
        """Put the character's largest face over the scene's largest.

        Raises:
            NoFace: One of them shows none.
        """
        scene_bgr, character_bgr = _bgr(scene), _bgr(character)
        scene_faces, character_faces = self._faces(scene_bgr), self._faces(character_bgr)
        if not scene_faces or not character_faces:
            raise NoFace
        source = character_faces[0]
        self._recognizer.get(character_bgr, source)
        swapped = self._swapper.get(scene_bgr, scene_faces[0], source, paste_back=True)
        return Swapped(np.ascontiguousarray(swapped[..., ::-1]), np.asarray(source.normed_embedding, np.float32))

    def identity(self, picture: Picture, reference: np.ndarray) -> float:
        """Cosine between ``reference`` and the likest face of the picture, cut at 0."""
        bgr = _bgr(picture)
        best = 0.0
        for face in self._faces(bgr):
            self._recognizer.get(bgr, face)
            best = max(best, float(face.normed_embedding @ reference))
        return min(best, 1.0)

    def _faces(self, bgr: Picture) -> list[Face]:
        rows, landmarks = self._detector.detect(bgr)
        areas = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
        order = np.argsort(-areas, kind="stable")
        return [Face(bbox=rows[k, :4], kps=landmarks[k], det_score=rows[k, 4]) for k in order]


def _bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[..., ::-1])


def _session(file: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # What waits while another way is measured must not keep a core busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
