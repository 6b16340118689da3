"""Optimization profiles: for each network and bucket, the least, the usual and the largest shape of every input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from eacps.tensors import (
    FACE_DETECTOR,
    FACE_RECOGNIZER,
    FACE_SWAPPER,
    FACE_VERIFIER,
    MAX_RECOGNIZER_BATCH,
    Kind,
    ModelSpec,
)
from export.buckets import Buckets

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

CROP = (3, 112, 112)
FACE_NETWORKS = (FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, FACE_VERIFIER)


@dataclass(frozen=True)
class Profile:
    """Shapes of one profile by input, batch axis included where the model has one."""

    least: Shapes
    usual: Shapes
    largest: Shapes


class NetworkShapes(ABC):
    """The shapes of a backbone's networks, for the buckets that are served."""

    buckets: Buckets

    @abstractmethod
    def profiles(self, spec: ModelSpec) -> list[Profile]:
        """Return the profiles of one of the backbone's networks, those of the default size first."""

    @abstractmethod
    def warmup(self, spec: ModelSpec) -> Shapes:
        """Return the shapes, without batch axis, of one ordinary request to a network: of the first bucket."""


class ProfileMaker:
    """The shapes of every network of a repository.

    Args:
        backbone: Those of the backbone's.
        detection_size: Side, in pixels, of the square that the face detector sees.
    """

    def __init__(self, backbone: NetworkShapes, detection_size: int) -> None:
        self.backbone, self.detection_size = backbone, detection_size

    @property
    def buckets(self) -> Buckets:
        """Shapes that are served."""
        return self.backbone.buckets

    def profiles(self, spec: ModelSpec) -> list[Profile]:
        """Return the profiles of a network, those of the default size first."""
        return [self._face(spec)] if spec in FACE_NETWORKS else self.backbone.profiles(spec)

    def warmup(self, spec: ModelSpec) -> Shapes:
        """Return the shapes, without batch axis, of one ordinary request to a network; none for a program."""
        if spec.kind is not Kind.NETWORK:
            return {}
        if spec not in FACE_NETWORKS:
            return self.backbone.warmup(spec)
        return without_batch(spec, self._face(spec).usual)

    def _face(self, spec: ModelSpec) -> Profile:
        side = self.detection_size
        fixed: dict[str, Shapes] = {
            FACE_DETECTOR.name: {"input": (1, 3, side, side)},
            FACE_SWAPPER.name: {"target": (1, 3, 128, 128), "source": (1, 512)},
        }
        if spec.name in fixed:
            shapes = fixed[spec.name]
            return Profile(shapes, shapes, shapes)
        return batched({"input": CROP}, {"input": CROP}, MAX_RECOGNIZER_BATCH)


def without_batch(spec: ModelSpec, shapes: Shapes) -> Shapes:
    """Take the batch axis off the shapes of a model's inputs, where it has one."""
    skipped = 1 if spec.max_batch_size else 0
    return {name: shape[skipped:] for name, shape in shapes.items()}


def batched(least: Shapes, largest: Shapes, most: int) -> Profile:
    """A profile of 1 to ``most`` items, tuned for ``most``: that is how candidates come."""

    def with_batch(shapes: Shapes, batch: int) -> Shapes:
        return {name: (batch, *shape) for name, shape in shapes.items()}

    return Profile(with_batch(least, 1), with_batch(largest, most), with_batch(largest, most))
