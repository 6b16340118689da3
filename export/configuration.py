"""What the configuration files of a checkpoint say: read with errors that name the part, and compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eacps.models.checkpoint_config import UnsupportedCheckpoint
from export.backbones import exporter_for
from export.backbones.backbone import BackboneExporter
from export.checkpoint import MODEL_INDEX, SETTINGS_FILE, CheckpointSettings, IncompleteCheckpoint
from export.request import Ingredients
from export.schedules import check_schedule, schedule_named, scheduler_with

SCHEDULER_FILE = Path("scheduler", "scheduler_config.json")
# The vocabulary in one file, or in two.
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))


def check_parts(folder: Path) -> BackboneExporter[Any, Any]:
    """Return the exporter of a checkpoint's backbone, after seeing that no part is missing.

    Raises:
        IncompleteCheckpoint: Parts are missing.
        UnsupportedCheckpoint: It is of another pipeline.
    """
    if not (folder / MODEL_INDEX).exists():
        raise IncompleteCheckpoint(f"{folder} lacks {MODEL_INDEX}")
    backbone = exporter_for(folder)
    missing = [part for part in backbone.readers_of(folder) if not (folder / part).exists()]
    tokenizer = folder / backbone.tokenizer_folder
    if not missing and not any(all((tokenizer / name).is_file() for name in names) for names in TOKENIZER_FILES):
        missing = [f"a tokenizer: {' or '.join(' and '.join(names) for names in TOKENIZER_FILES)} in {tokenizer.name}"]
    if missing:
        raise IncompleteCheckpoint(f"{folder} lacks {', '.join(missing)}")
    return backbone


def read_settings(ingredients: Ingredients, backbone: BackboneExporter[Any, Any]) -> CheckpointSettings:
    """Read what a checkpoint says of itself.

    Raises:
        IncompleteCheckpoint: ``eacps.json`` is malformed.
    """
    folder, request = ingredients.source.folder, ingredients.request
    try:
        settings: CheckpointSettings = backbone.settings(folder, ingredients.source.name)
    except (TypeError, ValueError) as error:
        raise IncompleteCheckpoint(f"{folder / SETTINGS_FILE} cannot be read: {error}") from error
    if wrong := settings.violations():
        raise IncompleteCheckpoint(f"{folder / SETTINGS_FILE} cannot be read: {', '.join(wrong)} is out of range")
    return settings if request.steps is None else replace(settings, default_steps=request.steps)


def read_pipeline(ingredients: Ingredients, backbone: BackboneExporter[Any, Any]) -> Any:
    """Put diffusers' pipeline together without weights, with the schedule that was asked for.

    Raises:
        IncompleteCheckpoint: A part's configuration cannot be read, or does not fit another's.
        InvalidOption: There is no such schedule, or it is of another sampler.
        UnsupportedCheckpoint: The scheduler is of another sampler.
    """
    folder, schedule = ingredients.source.folder, ingredients.request.schedule
    try:
        pipeline = backbone.skeleton(folder)
    except UnsupportedCheckpoint:
        raise
    except Exception as error:  # the libraries raise whatever a malformed configuration leads to
        raise IncompleteCheckpoint(_unreadable(folder, backbone, error)) from error
    backbone.check_tokenizer(folder, pipeline)
    if schedule is not None:
        pipeline.scheduler = scheduler_with(schedule_named(schedule))
        return pipeline
    if wrong := check_schedule(json.loads((folder / SCHEDULER_FILE).read_text(encoding="utf-8"))):
        raise UnsupportedCheckpoint(f"{folder / SCHEDULER_FILE} {wrong}")
    return pipeline


def _unreadable(folder: Path, backbone: BackboneExporter[Any, Any], error: Exception) -> str:
    """Describe which part's configuration cannot be read, and why."""
    for part, read in backbone.readers_of(folder).items():
        try:
            with torch.device("meta"):
                read(folder)
        except Exception as why:  # see above
            return f"{folder / part} cannot be read: {type(why).__name__}: {why}"
    return f"{folder} cannot be read as {MODEL_INDEX} describes it: {type(error).__name__}: {error}"
