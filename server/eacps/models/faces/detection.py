"""Faces of a picture by InsightFace's detector, as `insightface.app.FaceAnalysis` finds and orders them."""

from collections.abc import Sequence

import cv2
import numpy as np
from insightface.app.common import Face
from insightface.model_zoo.scrfd import SCRFD
from numpy.typing import NDArray

from eacps.models.faces.session import Session


class FaceDetector:
    """Finds faces at one or several sizes, and merges them as the library does.

    Args:
        session: On a network with nine outputs (scores, boxes, landmarks at three strides).
        sizes: Sides of the squares that pictures are fitted into, pixels, multiples of 32.
        threshold: Smallest score of a face, in (0, 1).
        canvas: Side of the only square that the network takes, pixels, not below any of ``sizes``; None where it takes
            any.
    """

    def __init__(self, session: Session, *, sizes: Sequence[int], threshold: float, canvas: int | None = None) -> None:
        self._scrfd = SCRFD(session=session) if canvas is None else _CanvasScrfd(session, canvas)
        self._scrfd.prepare(0, input_size=[(size, size) for size in sizes], det_thresh=threshold)
        self._smallest = min(sizes)

    def find(self, picture: NDArray[np.uint8]) -> list[Face]:
        """Find the faces of a picture, [H, W, 3] uint8, BGR.

        Returns:
            All faces with ``bbox`` [4], ``kps`` [5, 2] (pixels) and ``det_score``, in the order of
            ``FaceAnalysis.get``: by falling score.

        Raises:
            ValueError: The picture has no pixels.
        """
        if not picture.size:
            raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} has no pixels")
        rows, landmarks = self._scrfd.detect(self._of_some_thickness(picture))
        return [Face(bbox=row[:4], kps=points, det_score=row[4]) for row, points in zip(rows, landmarks, strict=True)]

    def _of_some_thickness(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pad a picture so long that less than a pixel of its short side would be left: the library cannot take it."""
        least = -(-max(picture.shape[:2]) // self._smallest)
        down, across = (max(0, least - side) for side in picture.shape[:2])
        return np.pad(picture, ((0, down), (0, across), (0, 0))) if down or across else picture


class _CanvasScrfd(SCRFD):  # type: ignore[misc]  # insightface has no type hints
    """SCRFD at several sizes over a network that takes one size alone.

    A picture that is to be seen at a smaller size is put into the top left corner of a black square of the network's
    size. The network then sees it as it would at that size, except for what surrounds it.
    """

    def __init__(self, session: Session, canvas: int) -> None:
        super().__init__(session=session)
        self.static_input_size = None  # else the library would look at the session's own size alone
        self._canvas = (canvas, canvas)

    def _detect_candidates(
        self, img: NDArray[np.uint8], input_size: tuple[int, int], threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Detect at one size: boxes with scores [N, 5] and landmarks [N, 5, 2], in pixels of ``img``."""
        if input_size == self._canvas:
            rows, landmarks = super()._detect_candidates(img, input_size, threshold)
            return rows, landmarks
        ratio = img.shape[0] / img.shape[1]
        # Rounded as the library rounds, so that the network sees the same pixels.
        width, height = (
            (int(input_size[1] / ratio), input_size[1])
            if ratio > 1
            else (
                input_size[0],
                int(input_size[0] * ratio),
            )
        )
        canvas = np.zeros((*self._canvas, 3), np.uint8)
        canvas[:height, :width] = cv2.resize(img, (width, height))
        rows, landmarks = super()._detect_candidates(canvas, self._canvas, threshold)
        scale = img.shape[0] / height
        return np.hstack((rows[:, :4] * scale, rows[:, 4:])).astype(np.float32), landmarks * scale
