"""The protocol of a backbone's exporter: its parts, settings, networks, shapes and assets.

Requests, sources, face networks, targets, parity, plans, staging and the repository know no backbone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from eacps.models.checkpoint_config import CheckpointConfig, ServedShapes
from export.buckets import Buckets
from export.checkpoint import CheckpointSettings, Part
from export.profiles import NetworkShapes
from export.request import ExportRequest

if TYPE_CHECKING:
    from export.jobs import NetworkJob
    from export.prepared import PreparedCheckpoint

S = TypeVar("S", bound=CheckpointSettings)
C = TypeVar("C", bound=CheckpointConfig)


class BackboneExporter(ABC, Generic[S, C]):
    """How checkpoints of one backbone are read and exported. Holds no state."""

    name: ClassVar[str]
    """Of the backbone's folders."""
    parts: ClassVar[Mapping[str, Part]]
    """Its parts with weights, by the names of their folders."""
    optional_parts: ClassVar[frozenset[str]] = frozenset()
    """Names of those that a checkpoint may lack."""
    readers: ClassVar[Mapping[str, Callable[[Path], Any]]]
    """Read each part of a checkpoint's folder without weights, so that a failure can be put down to it."""
    tokenizer_folder: ClassVar[str]
    """Of the checkpoint."""
    lora_loader: ClassVar[Any] = None
    """diffusers' mixin that loads a LoRA into its denoiser; None where none can be fused."""
    answers_questions: ClassVar[bool] = False
    """Whether its networks can judge pictures; see `eacps.models.backbones`."""

    def parts_of(self, checkpoint: Path) -> dict[str, Part]:
        """Return the parts with weights that a checkpoint is to have, by name: all but optional ones without a folder.

        Args:
            checkpoint: Its folder.
        """
        absent = self._absent(checkpoint)
        return {name: part for name, part in self.parts.items() if name not in absent}

    def readers_of(self, checkpoint: Path) -> dict[str, Callable[[Path], Any]]:
        """Return the readers of the parts that a checkpoint is to have, likewise."""
        absent = self._absent(checkpoint)
        return {name: read for name, read in self.readers.items() if name not in absent}

    def _absent(self, checkpoint: Path) -> set[str]:
        return {name for name in self.optional_parts if not (checkpoint / name).exists()}

    @abstractmethod
    def settings(self, checkpoint: Path, name: str) -> S:
        """Read what a checkpoint says of itself.

        Args:
            checkpoint: Its folder.
            name: For one that states none.

        Raises:
            TypeError, ValueError: ``eacps.json`` cannot be read.
        """

    @abstractmethod
    def skeleton(self, checkpoint: Path) -> Any:
        """Put diffusers' pipeline together without weights, whose tensors are on torch's ``meta`` device.

        Raises:
            UnsupportedCheckpoint: The sampler cannot do what it asks for.
            Exception: Whatever the libraries raise for a malformed configuration.
        """

    @abstractmethod
    def check_tokenizer(self, checkpoint: Path, pipeline: Any) -> None:
        """Check that the tokenizer's numbers are those of the text encoder's embeddings.

        Raises:
            IncompleteCheckpoint: They are not.
        """

    @abstractmethod
    def buckets(self, checkpoint: Path, settings: S, pipeline: Any, request: ExportRequest) -> Buckets:
        """Choose the shapes to serve.

        Raises:
            InvalidOption: One that was asked for is out of range.
        """

    @abstractmethod
    def config(self, pipeline: Any, settings: S, version: str, shapes: ServedShapes) -> C:
        """Read what the programs in Triton must know off a pipeline, with weights or without.

        Args:
            pipeline: Of the checkpoint.
            settings: What the checkpoint says of itself.
            version: Digest of what decides its pictures.
            shapes: That its networks are exported for.

        Raises:
            UnsupportedCheckpoint: The sampler cannot do what it asks for.
        """

    @abstractmethod
    def shapes(self, config: C, buckets: Buckets, pipeline: Any) -> NetworkShapes:
        """Return the shapes of the networks."""

    @abstractmethod
    def jobs(self, prepared: PreparedCheckpoint) -> Iterator[NetworkJob]:
        """Yield the networks to be made, the cheapest first."""

    @abstractmethod
    def write_assets(self, folder: Path, prepared: PreparedCheckpoint) -> None:
        """Write what the backbone reads beside ``checkpoint.json``, for the sampler and for the judge."""

    def write_judge_assets(self, folder: Path, prepared: PreparedCheckpoint) -> None:
        """Write what the judge alone reads; for backbones whose networks answer questions."""
