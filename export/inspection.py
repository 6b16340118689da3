"""Everything that can be refused before anything is computed or written, for an export and for its dry run alike."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from transformers import PreTrainedModel

from export.face_checks import check_faces
from export.prepared import PreparedCheckpoint
from export.request import Ingredients, InvalidOption
from export.serving import config_details, programs_of
from export.staging import check_replaceable, staging_area_of
from export.weights import check_headers, check_tied, check_values


def inspect(prepared: PreparedCheckpoint, output: Path) -> None:
    """Check all files that networks are made from, and that the output can be written.

    Raises:
        UnusableCalibration: A calibration cannot be read, or one that was asked for belongs to other networks.
        UnsupportedFacePack: A file of the face pack cannot play its role.
        NotARepository: ``output`` holds something else.
        InvalidOption: A license was stated for no network; or ``output`` lies in what is exported, or holds it.
        OSError: ``output`` cannot be written to.
        UnusableLora: The LoRA would not be applied as it is.
        UnusableWeights: The checkpoint's files do not hold what its configuration describes.
    """
    check_output(output)
    check_apart(prepared.ingredients, output)
    if prepared.lora is not None:
        prepared.lora.check(prepared.pipeline.transformer)
    check_faces(prepared.faces, fixed=prepared.target.fixed_shapes)
    for spec in programs_of(prepared):
        config_details(prepared, spec)
    _ = prepared.licenses
    if not prepared.ingredients.source.has_weights:
        return
    folder = prepared.ingredients.source.folder
    parts = prepared.backbone.parts_of(folder)
    modules = {name: getattr(prepared.pipeline, name) for name in parts}
    for name, files in check_headers(folder, modules, parts).items():
        if isinstance(modules[name], PreTrainedModel):
            check_tied(files, modules[name].config)
        check_values(files)


def check_output(output: Path) -> None:
    """Check that a repository could be written to an output. Writes nothing.

    Raises:
        NotARepository: It holds something else.
        OSError: A folder that leads to it is none, or may not be written to; it is mounted or write-protected itself,
            so that it cannot be moved; or its name is too long for a staging area beside it.
    """
    check_replaceable(output)
    with suppress(FileNotFoundError, NotADirectoryError):
        output.stat()  # not `resolve`, which from Python 3.13 on returns a link that leads to itself
    with suppress(FileNotFoundError, NotADirectoryError):
        staging_area_of(output).stat()
    _check_movable(output.resolve())
    parent = output.resolve().parent
    nearest = next(path for path in (parent, *parent.parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is not a folder, so {output} cannot be written")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"{nearest} may not be written to, so {output} cannot be written")


def _check_movable(output: Path) -> None:
    """Check that a folder can be moved aside, and files can be moved out of it, to make room for a new repository."""
    if output.is_mount():
        raise OSError(f"{output} is where a file system is mounted, so it cannot be replaced: name a folder in it")
    folders = [folder for folder, _, _ in os.walk(output)] if output.is_dir() else []
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} may not be written to, so {output} cannot be replaced")


def check_apart(ingredients: Ingredients, output: Path) -> None:
    """Check that an output neither holds what the repository is made from, nor lies in it.

    What lies in the output is replaced with it, and what is written into a folder changes its digest.

    Raises:
        InvalidOption: It does.
    """
    output = output.resolve()
    files = (ingredients.swapper, ingredients.verifier, ingredients.lora, ingredients.schedule, ingredients.calibration)
    for folder in (ingredients.source.folder, ingredients.faces):
        if folder is not None and output.is_relative_to(folder.resolve()):
            raise InvalidOption(f"--output {output} lies in {folder}, of which the repository is made")
    for path in (ingredients.source.folder, ingredients.faces, *files):
        if path is not None and path.resolve().is_relative_to(output):
            raise InvalidOption(f"--output {output} holds {path}, of which the repository is made")
