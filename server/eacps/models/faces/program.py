"""Settings of the face programs and what they are made of, whatever the sessions run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eacps.models.faces.embedding import FaceEmbedder
from eacps.models.faces.library import ServedRecognizer, ServedSwapper, detector, load_emap
from eacps.models.faces.prior import FaceSwap
from eacps.models.faces.session import SessionFactory
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, ModelSpec

EMAP_FILE = "emap.npy"
"""Lies beside the model.py of `face_prior`; the exporter takes it out of the pack's swapper."""


@dataclass(frozen=True)
class FaceSettings:
    """Parameters of `face_embed`, `face_verify` and `face_prior` in their ``config.pbtxt``.

    Attributes:
        detection_size: Side of the square that pictures are fitted into for the detector, pixels, a multiple of 32.
            InsightFace's packs are made for 640; studio-mini for 128.
        detection_threshold: Smallest score of a face, in (0, 1).
    """

    detection_size: int = 640
    detection_threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.detection_size < 32 or self.detection_size % 32:
            raise ValueError(f"detection_size must be a positive multiple of 32, not {self.detection_size}")
        if not 0 < self.detection_threshold < 1:
            raise ValueError(f"detection_threshold must lie in (0, 1), not {self.detection_threshold}")

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> "FaceSettings":
        """Read the parameters that are given; the others keep their defaults.

        Raises:
            ValueError: not a number, or out of range.
        """
        return cls(
            detection_size=int(parameters.get("detection_size", cls.detection_size)),
            detection_threshold=float(parameters.get("detection_threshold", cls.detection_threshold)),
        )


def build_embedder(
    sessions: SessionFactory, settings: FaceSettings, recognizer: ModelSpec = FACE_RECOGNIZER
) -> FaceEmbedder:
    """What `face_embed` runs, and `face_verify` with the other recogniser."""
    scrfd = detector(
        sessions(FACE_DETECTOR.name),
        input_size=settings.detection_size,
        threshold=settings.detection_threshold,
    )
    return FaceEmbedder(scrfd, ServedRecognizer(sessions(recognizer.name)))


def build_swap(sessions: SessionFactory, settings: FaceSettings, emap_file: Path) -> FaceSwap:
    """What `face_prior` runs; raises as `load_emap` does."""
    swapper = ServedSwapper(sessions(FACE_SWAPPER.name), load_emap(emap_file))
    return FaceSwap(build_embedder(sessions, settings), swapper)
