"""Settings of the face programs and what they are made of, whatever the sessions run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eacps.models.faces.detection import FaceDetector
from eacps.models.faces.embedding import FaceEmbedder
from eacps.models.faces.library import ServedRecognizer, ServedSwapper, load_emap
from eacps.models.faces.prior import FaceSwap
from eacps.models.faces.session import SessionFactory
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, ModelSpec

EMAP_FILE = "emap.npy"
"""Lies beside the model.py of `face_prior`; the exporter takes it out of the pack's swapper."""
_MULTIPLE = 32  # of the detector's largest stride


@dataclass(frozen=True)
class FaceSettings:
    """Parameters of `face_embed` and `face_verify` in their ``config.pbtxt``.

    Attributes:
        detection_sizes: Sides of the squares that pictures are fitted into for the detector, pixels, multiples of 32,
            rising. The default is that of InsightFace's ``FaceAnalysis.prepare``: the smaller one is for faces that
            fill their picture. studio-mini's detector finds those at its own size, 128.
        detection_threshold: Smallest score of a face, in (0, 1).
        detection_canvas: Side of the only square that the detector's network takes, pixels, at least the largest size;
            None where it takes any.
    """

    detection_sizes: tuple[int, ...] = (128, 640)
    detection_threshold: float = 0.5
    detection_canvas: int | None = None

    def __post_init__(self) -> None:
        sizes, canvas = self.detection_sizes, self.detection_canvas
        if not sizes or any(size < _MULTIPLE or size % _MULTIPLE for size in sizes):
            raise ValueError(f"detection_sizes must be positive multiples of {_MULTIPLE}, not {sizes}")
        if list(sizes) != sorted(set(sizes)):
            raise ValueError(f"detection_sizes must rise, unlike {sizes}")
        if canvas is not None and (canvas < sizes[-1] or canvas % _MULTIPLE):
            raise ValueError(f"detection_canvas must be a multiple of {_MULTIPLE} from {sizes[-1]} on, not {canvas}")
        if not 0 < self.detection_threshold < 1:
            raise ValueError(f"detection_threshold must lie in (0, 1), not {self.detection_threshold}")

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> "FaceSettings":
        """Read the parameters that are given; the others keep their defaults.

        Raises:
            ValueError: not a number, or out of range.
        """
        sizes, canvas = parameters.get("detection_sizes"), parameters.get("detection_canvas")
        return cls(
            detection_sizes=cls.detection_sizes if sizes is None else tuple(int(one) for one in sizes.split(",")),
            detection_threshold=float(parameters.get("detection_threshold", cls.detection_threshold)),
            detection_canvas=None if canvas is None else int(canvas),
        )

    def to_parameters(self) -> dict[str, str]:
        """Return what `from_parameters` reads."""
        canvas = {} if self.detection_canvas is None else {"detection_canvas": str(self.detection_canvas)}
        return {
            "detection_sizes": ",".join(str(size) for size in self.detection_sizes),
            "detection_threshold": str(self.detection_threshold),
            **canvas,
        }


def build_embedder(
    sessions: SessionFactory, settings: FaceSettings, recognizer: ModelSpec = FACE_RECOGNIZER
) -> FaceEmbedder:
    """Build what `face_embed` runs, and `face_verify` with the other recognizer."""
    detector = FaceDetector(
        sessions(FACE_DETECTOR.name),
        sizes=settings.detection_sizes,
        threshold=settings.detection_threshold,
        canvas=settings.detection_canvas,
    )
    return FaceEmbedder(detector, ServedRecognizer(sessions(recognizer.name)))


def build_swap(sessions: SessionFactory, emap_file: Path) -> FaceSwap:
    """Build what `face_prior` runs; raises as `load_emap` does."""
    return FaceSwap(ServedSwapper(sessions(FACE_SWAPPER.name), load_emap(emap_file)))
