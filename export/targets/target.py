"""The interface of a target, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from export.networks.network import Network
from export.parity import Answers
from export.precision import Precision
from export.profiles import Profile


class TargetUnavailable(Exception):
    """This machine cannot build for the target."""


class EngineFailed(Exception):
    """TensorRT could not read a graph, build its engine or run it."""


@dataclass(frozen=True)
class Placement:
    """How Triton runs one model.

    Args:
        backend: Triton's name of it.
        kind: Kind of the instances: ``KIND_CPU``, ``KIND_GPU``, or ``KIND_AUTO`` for a GPU if there is one.
        file: Name of the network's file in its version folder; empty if the backend finds it by itself.
        parameters: Strings passed to the model.
    """

    backend: str
    kind: str
    file: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Bench:
    """Where and for which shapes a network is built.

    Args:
        version: Its version folder, for its files.
        scratch: Empty folder for intermediate files, removed afterwards.
        cache: Folder that is kept between builds.
        profiles: Shapes to build for.
        watch: Called with the progress of a long build: the phase's name, its steps done, and its steps in total.
    """

    version: Path
    scratch: Path
    cache: Path
    profiles: Sequence[Profile]
    watch: Watch = lambda _phase, _done, _total: None


class Target(Protocol):
    """One kind of repository."""

    name: str
    """As given to ``--target``."""
    precision: Precision
    """Default precision of denoiser, text encoder and judge."""
    precisions: frozenset[Precision]
    """Precisions in which it can serve them."""
    fixed_shapes: bool
    """Whether networks accept the shapes of the buckets only."""
    tolerance: float
    """Largest error that the parity gate allows in FP32."""
    runs_onnx: bool
    """Whether the parity gate runs ONNX graphs."""
    code: tuple[str, ...]
    """Modules whose code decides what is installed."""

    def check(self) -> str:
        """Check that this machine can build for the target; return the device that the result is tied to, or "".

        Raises:
            TargetUnavailable: It cannot.
        """
        ...

    def placement(self, network: type[Network]) -> Placement:
        """Return how Triton runs a network of that class."""
        ...

    def dims(self, version: Path) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes, by input and output, that the backend requires in the model's configuration.

        Args:
            version: Folder of an installed network.

        Returns:
            Batch axis included, -1 for axes that vary; empty if those of the contract will do.
        """
        ...

    def install(self, network: Network, precision: Precision, bench: Bench) -> Answers:
        """Write a network to its model's version folder; return a function that runs it, for the parity gate."""
        ...
