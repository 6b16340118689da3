"""What every target is."""

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
        kind: Of instances: ``KIND_CPU``, ``KIND_GPU``, or ``KIND_AUTO`` for a GPU where there is one.
        file: Name of the network's file in its version folder; empty where the backend finds it by itself.
        parameters: Strings handed to the model.
    """

    backend: str
    kind: str
    file: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Bench:
    """Where a network is built.

    Args:
        version: Its version folder, into which its files go.
        scratch: Empty folder for what lies in between, removed afterwards.
        cache: Folder that outlives builds.
        profiles: Shapes to build for.
        watch: Told how far a phase of a long build is: its name, steps done, steps in all.
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
    """Of denoiser and text encoder, unless told otherwise."""
    precisions: frozenset[Precision]
    """In which it can serve them."""
    fixed_shapes: bool
    """Whether networks take the buckets' shapes alone."""
    tolerance: float
    """What the parity gate allows in FP32."""
    runs_onnx: bool
    """Whether the gate runs graphs of ONNX."""
    code: tuple[str, ...]
    """Modules that decide what is installed."""

    def check(self) -> str:
        """See that this machine can build for the target; name the device that what is built will be tied to, if any.

        Raises:
            TargetUnavailable: It cannot.
        """
        ...

    def placement(self, network: type[Network]) -> Placement:
        """Say how Triton runs a network of that class."""
        ...

    def dims(self, version: Path) -> Mapping[str, tuple[int, ...]]:
        """Give the shapes, by input and output, that the backend wants to see in the configuration.

        Args:
            version: Folder of an installed network.

        Returns:
            Batch axis included, -1 for axes that vary; nothing where the contract's do.
        """
        ...

    def install(self, network: Network, precision: Precision, bench: Bench) -> Answers:
        """Put a network into the version folder of its model; return what runs it, for the parity gate."""
        ...
