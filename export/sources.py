"""Where the weights come from: folders and files, or models on the Hugging Face hub and InsightFace's packs by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# What diffusers' layout holds, without duplicates in other formats.
SETTINGS_FILES = ("*.json", "*.txt", "*.jinja", "LICENSE*", "README.md")
WEIGHT_FILES = ("*.safetensors", "*.onnx")


class MissingSource(Exception):
    """Weights cannot be found where they were said to be."""


@dataclass(frozen=True)
class Source:
    """A checkpoint on this machine.

    Args:
        folder: In diffusers' layout.
        name: Of the checkpoint.
        revision: The hub's commit; empty for a folder.
        has_weights: Whether the weights are in the folder, or the settings alone.
    """

    folder: Path
    name: str
    revision: str = ""
    has_weights: bool = True


def locate_checkpoint(reference: str, revision: str | None, *, weights: bool = True) -> Source:
    """Find a checkpoint, or fetch it into the hub's own cache.

    Args:
        reference: A folder, or a name on the hub such as ``Qwen/Qwen-Image-Edit-2511``.
        revision: Branch, tag or commit on the hub; None for its newest.
        weights: Whether to fetch the weights, or the settings alone.

    Raises:
        MissingSource: It is neither.
    """
    folder = Path(reference)
    if reference and folder.is_dir():
        if revision is not None:
            raise MissingSource(f"{reference} is a folder, which has no revisions")
        return Source(folder, folder.name)
    if folder.exists() or not HUB_NAME.fullmatch(reference):
        raise MissingSource(f"there is no checkpoint at {reference or 'an empty path'}")
    patterns = [*SETTINGS_FILES, *(WEIGHT_FILES if weights else ())]
    try:
        found = Path(snapshot_download(reference, revision=revision, allow_patterns=patterns))
    except (RepositoryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise MissingSource(f"{reference} is neither a folder nor a model that the hub gives: {error}") from error
    # A snapshot's folder is named by its commit.
    return Source(found, reference.split("/")[1], found.name, has_weights=weights)


def locate_file(reference: str, suffix: str) -> Path:
    """Find a file, or fetch it from the hub.

    Args:
        reference: A file, or ``owner/model/path/in/it`` on the hub.
        suffix: That it must have.

    Raises:
        MissingSource: It is neither.
    """
    file = Path(reference)
    if not reference.endswith(suffix):
        raise MissingSource(f"{reference} does not end in {suffix}")
    if file.is_file():
        return file
    parts = reference.split("/", 2)
    if len(parts) < 3 or not HUB_NAME.fullmatch("/".join(parts[:2])):
        raise MissingSource(f"there is no file {reference}")
    try:
        return Path(hf_hub_download("/".join(parts[:2]), parts[2]))
    except (RepositoryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise MissingSource(f"{reference} is neither a file nor one that the hub gives: {error}") from error
