"""Facts of a face pack and what the two face models are made of, whatever the sessions run on."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from eacps.models.faces.embedding import FaceEmbedder
from eacps.models.faces.library import ServedRecognizer, ServedSwapper, detector, load_emap
from eacps.models.faces.prior import FaceSwap
from eacps.models.faces.session import SessionFactory
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER

# The exporter puts them into `<model>/<version>/assets/`: the pack's facts for `face_embed` and `face_prior` (a pack
# without a `pack.json` gets the defaults), the matrix out of the swapper's ONNX graph for `face_prior` only.
PACK_FILE = "pack.json"
EMAP_FILE = "emap.npy"


@dataclass(frozen=True)
class PackFacts:
    """What must be known of a face pack beyond its networks. The defaults are those of InsightFace's own packs.

    Attributes:
        detection_size: Side of the square that pictures are fitted into for the detector, pixels, a multiple of 32.
        detection_threshold: Smallest score of a face, in (0, 1).

    Raises:
        ValueError: out of range.
    """

    detection_size: int = 640
    detection_threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.detection_size < 32 or self.detection_size % 32:
            raise ValueError(f"detection_size must be a positive multiple of 32, not {self.detection_size}")
        if not 0 < self.detection_threshold < 1:
            raise ValueError(f"detection_threshold must lie in (0, 1), not {self.detection_threshold}")

    def to_json(self) -> str:
        """Give the text of ``pack.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "PackFacts":
        """Restore equal facts from ``to_json``'s text.

        Raises:
            TypeError: a field is unknown.
            ValueError: out of range.
        """
        return cls(**json.loads(text))

    @classmethod
    def read(cls, folder: Path) -> "PackFacts":
        """Read ``pack.json`` of an assets folder; FileNotFoundError if there is none."""
        return cls.from_json((folder / PACK_FILE).read_text(encoding="utf-8"))


def build_embedder(sessions: SessionFactory, assets: Path) -> FaceEmbedder:
    """What `face_embed` runs.

    Args:
        sessions: Gives the detector's and the recogniser's session.
        assets: Holds ``pack.json``.
    """
    facts = PackFacts.read(assets)
    scrfd = detector(sessions(FACE_DETECTOR.name), input_size=facts.detection_size, threshold=facts.detection_threshold)
    return FaceEmbedder(scrfd, ServedRecognizer(sessions(FACE_RECOGNIZER.name)))


def build_swap(sessions: SessionFactory, assets: Path) -> FaceSwap:
    """What `face_prior` runs.

    Args:
        sessions: Gives the three networks' sessions.
        assets: Holds ``pack.json`` and ``emap.npy``.
    """
    swapper = ServedSwapper(sessions(FACE_SWAPPER.name), load_emap(assets / EMAP_FILE))
    return FaceSwap(build_embedder(sessions, assets), swapper)
