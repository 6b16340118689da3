"""What every checkpoint in diffusers' layout has: settings, a model index, parts with weights."""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from torch import nn

from eacps.models.checkpoint_config import UnsupportedCheckpoint
from export.weight_files import UnusableWeights, find_weight_files

SETTINGS_FILE = "eacps.json"
MODEL_INDEX = "model_index.json"

_Module = TypeVar("_Module", bound=nn.Module)


class IncompleteCheckpoint(Exception):
    """Parts of the checkpoint are missing or cannot be read; the message names them."""


@dataclass(frozen=True)
class Part:
    """A part with weights.

    Args:
        stem: Start of its files' names.
        class_key: Key of its configuration that names its class.
        class_name: Value of that key.
    """

    stem: str
    class_key: str
    class_name: str


@dataclass(frozen=True)
class CheckpointSettings:
    """What a checkpoint says of itself in ``eacps.json``; backbones add what their pipelines keep in constants.

    ``face_pack`` is a folder relative to the checkpoint, if it has one, and ``face_detection_size`` the side of the
    square, in pixels, that its detector is made for (640 for InsightFace's packs).
    """

    name: str
    _: KW_ONLY
    default_steps: int = 40
    face_pack: str | None = None
    face_detection_size: int = 640

    @classmethod
    def read(cls, checkpoint: Path, name: str | None = None) -> Self:
        """Read ``eacps.json``, or take the pipeline's constants where the checkpoint has none.

        Args:
            checkpoint: Its folder.
            name: For one without the file; the folder's by default.

        Raises:
            TypeError: The file has a key this class does not know, or lacks ``name``.
        """
        path = checkpoint / SETTINGS_FILE
        if path.exists():
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        return cls.of_pipeline(checkpoint, name or checkpoint.name)

    @classmethod
    def of_pipeline(cls, checkpoint: Path, name: str) -> Self:  # noqa: ARG003  # some look at the checkpoint
        """Return the settings of a checkpoint that states none."""
        return cls(name=name)

    def violations(self) -> list[str]:
        """Return the names of the fields whose values cannot be used."""
        return [key for key, value in asdict(self).items() if not self._is_usable(key, value)]

    def write(self, checkpoint: Path) -> None:
        """Write ``eacps.json``."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (checkpoint / SETTINGS_FILE).write_text(text, encoding="utf-8")

    def _is_usable(self, key: str, value: object) -> bool:
        if key in ("name", "face_pack"):
            return isinstance(value, str) or (key == "face_pack" and value is None)
        return isinstance(value, int) and not isinstance(value, bool) and value > 0


def pipeline_name(checkpoint: Path) -> str:
    """Return the name of diffusers' pipeline in ``model_index.json``.

    Raises:
        UnsupportedCheckpoint: The file does not say.
    """
    try:
        name = json.loads((checkpoint / MODEL_INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnsupportedCheckpoint(f"{checkpoint / MODEL_INDEX} names no pipeline: {error!r}") from error
    return str(name)


def load_part(cls: type[_Module], checkpoint: Path, name: str, part: Part, **options: Any) -> _Module:
    """Load a part, and refuse one whose loader initialized or ignored any tensor.

    Args:
        cls: Class of diffusers or transformers.
        checkpoint: Folder of the checkpoint.
        name: Of the part's folder.
        part: Its files.
        options: For ``from_pretrained``.

    Raises:
        UnusableWeights: Its files do not hold all of its weights, or others.
    """
    files = find_weight_files(checkpoint / name, part.stem)
    loader: Any = cls
    try:
        loaded: Any = loader.from_pretrained(
            checkpoint, subfolder=name, variant=files.variant, output_loading_info=True, **options
        )
    except (RuntimeError, ValueError) as error:
        raise UnusableWeights(f"{files.folder} cannot be loaded: {error}") from error
    module: _Module
    module, info = loaded
    if wrong := {what: found for what, found in info.items() if found}:
        raise UnusableWeights(f"{files.folder} does not hold the {name} that it describes: {wrong}")
    return module
