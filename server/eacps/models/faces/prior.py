"""The identity prior by face swap: an identity put over a face of the scene. What Triton's `face_prior` computes."""

import numpy as np
from insightface.app.common import Face
from numpy.typing import NDArray

from eacps.models.faces.library import ServedSwapper

UNIT_TOLERANCE = 1e-3


class FaceSwap:
    """Swaps faces with InsightFace's INSwapper, paste-back included."""

    def __init__(self, swapper: ServedSwapper) -> None:
        self._swapper = swapper

    def prior(
        self, scene: NDArray[np.uint8], landmarks: NDArray[np.float32], source: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Swap one face.

        Args:
            scene: [H, W, 3] uint8, RGB.
            landmarks: [5, 2] float32, pixels, of the face to replace, in the detector's order.
            source: [512] float32, unit norm: the identity to put in, by the recognizer that goes with the swapper.

        Returns:
            [H, W, 3] uint8, RGB.

        Raises:
            ValueError: ``source`` is not of unit norm, or a landmark is not finite.
        """
        if not abs(float(np.linalg.norm(source)) - 1.0) < UNIT_TOLERANCE:  # NaN fails too
            raise ValueError("source is not of unit norm")
        if not np.isfinite(landmarks).all():
            raise ValueError("landmarks are not finite")
        bgr = np.ascontiguousarray(scene[..., ::-1])
        swapped = self._swapper.get(bgr, Face(kps=landmarks), Face(embedding=source), paste_back=True)
        return np.ascontiguousarray(swapped[..., ::-1])
