"""What an export is asked for, and where its ingredients lie. Imports no torch: see `export.provenance`."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from eacps.manifest import content_sha256, digest_of
from export.face_pack import files_of
from export.sources import MissingSource, Source, locate_checkpoint, locate_file

PACK_ROOT = Path("~/.insightface").expanduser()


class InvalidOption(ValueError):
    """An option is out of range, or names nothing."""


@dataclass(frozen=True)
class ExportRequest:
    """The options of ``python -m export``.

    Args:
        checkpoint: A folder, or a name on the hub.
        revision: Of a name on the hub.
        faces: A folder, or the name of an InsightFace pack; None for the checkpoint's own.
        swapper: An inswapper's ONNX file; None for the one of the faces' folder, if it has one.
        without_swapper: Whether to leave that one out.
        calibration: A file of `export.calibrate`; None for the checkpoint's own.
        licenses: What whoever exports knows of licenses, as ``NETWORK=SPDX``; see `export.licenses`.
        verifier: A held-out recognizer's ONNX file; None for the checkpoint's own, if it has one.
        lora: A safetensors file to fuse into the denoiser, here or on the hub.
        lora_scale: Factor on its effect.
        schedule: ``lightning``, or a scheduler's JSON file; None for the checkpoint's own.
        steps: Default number of denoising steps; None for the checkpoint's own.
        target: What runs the networks.
        precision: Of denoiser, text encoder and judge; None for the target's own.
        sizes: Width and height of results in pixels, the default first; none for the checkpoint's own.
        pictures: Most conditioning pictures; None for all that the checkpoint takes.
        batch: Largest batch; None for the checkpoint's own.
    """

    checkpoint: str
    target: str = "embedded"
    revision: str | None = None
    faces: str | None = None
    swapper: str | None = None
    verifier: str | None = None
    lora: str | None = None
    lora_scale: float = 1.0
    schedule: str | None = None
    steps: int | None = None
    precision: str | None = None
    sizes: tuple[tuple[int, int], ...] = field(default=())
    pictures: int | None = None
    batch: int | None = None
    without_swapper: bool = False
    calibration: str | None = None
    licenses: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Ingredients:
    """A request whose files are on this machine.

    Args:
        request: As asked.
        source: The checkpoint.
        faces: Folder of a face pack; None for the checkpoint's own.
        swapper, verifier, lora, schedule, calibration: Files; None where not asked for, ``schedule`` also where it is a
            name.
    """

    request: ExportRequest
    source: Source
    faces: Path | None
    swapper: Path | None
    verifier: Path | None
    lora: Path | None
    schedule: Path | None
    calibration: Path | None = None

    @cached_property
    def checkpoint_sha256(self) -> str:
        """Digest of all the checkpoint's files, wherever its folder lies and whatever it is called."""
        return digest_of(sorted(self.source.folder.iterdir()))

    def additions(self) -> dict[str, str]:
        """What is added to the checkpoint, by name, each with its digest."""
        paths = {name: getattr(self, name) for name in ("faces", "swapper", "verifier", "lora", "schedule")}
        files = {
            name: files_of(path) if name in ("swapper", "verifier") else [path]
            for name, path in paths.items()
            if path is not None
        }
        added = {name: f"{found[0].name}@{digest_of(found)[:16]}" for name, found in files.items()}
        if self.lora is not None and self.request.lora_scale != 1.0:
            added["lora"] += f"*{self.request.lora_scale!r}"
        if self.request.schedule is not None and self.schedule is None:
            added["schedule"] = self.request.schedule
        return added

    def sha256(self) -> str:
        """Digest of the request and of the contents of all its files."""
        options = asdict(self.request)
        del options["checkpoint"], options["revision"]  # their contents count
        # The scale of scores decides no picture, so it is no addition; it decides what is served.
        calibration = "" if self.calibration is None else content_sha256(self.calibration)
        state = [repr(options), self.source.name, self.checkpoint_sha256, repr(self.additions()), calibration]
        return hashlib.sha256(os.fsencode("\n".join(state))).hexdigest()


def gather(request: ExportRequest, *, weights: bool = True) -> Ingredients:
    """Find everything that a request names, fetching what is not on this machine.

    Args:
        request: As asked.
        weights: Whether to fetch the checkpoint's weights, or its settings alone.

    Raises:
        InvalidOption: An option is out of range or has no use, or two exclude each other.
        MissingSource: Something is nowhere.
    """
    _check_lora_scale(request)
    if request.swapper is not None and request.without_swapper:
        raise InvalidOption("--swapper and --no-swapper exclude each other")
    source = locate_checkpoint(request.checkpoint, request.revision, weights=weights)
    named = request.schedule is not None and not request.schedule.endswith(".json")
    schedule = None if request.schedule is None or named else locate_file(request.schedule, ".json")
    return Ingredients(
        request,
        source,
        faces=None if request.faces is None else locate_face_pack(request.faces),
        swapper=None if request.swapper is None else locate_file(request.swapper, ".onnx"),
        verifier=None if request.verifier is None else locate_file(request.verifier, ".onnx"),
        lora=None if request.lora is None else locate_file(request.lora, ".safetensors"),
        schedule=schedule,
        calibration=None if request.calibration is None else locate_file(request.calibration, ".json"),
    )


def _check_lora_scale(request: ExportRequest) -> None:
    if request.lora is None and request.lora_scale != 1.0:
        raise InvalidOption("--lora-scale needs a --lora")
    if request.lora_scale == 0 or not math.isfinite(request.lora_scale):
        raise InvalidOption(f"--lora-scale {request.lora_scale:g} is not a finite number other than 0")


def locate_face_pack(reference: str) -> Path:
    """Find the folder of a face pack, or have InsightFace fetch the pack of that name.

    Raises:
        MissingSource: It is neither.
    """
    if reference and Path(reference).is_dir():
        return Path(reference)
    fetched = PACK_ROOT / "models" / reference
    if reference and fetched.is_dir():
        return fetched
    if not reference.replace("_", "").isalnum():
        raise MissingSource(f"there is no face pack at {reference or 'an empty path'}")
    from insightface.utils.storage import ensure_available

    try:
        return Path(ensure_available("models", reference, root=str(PACK_ROOT)))
    # The library raises whatever its download raised.
    except Exception as error:
        raise MissingSource(f"{reference} is neither a folder nor a pack that InsightFace gives: {error}") from error
