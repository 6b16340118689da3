"""The backbones that are served: each a folder of this name here, and one in ``export/backbones``.

A folder here holds ``contract.py`` with ``NETWORKS`` and ``config.py`` with ``Config``, neither of which imports torch,
``backbone.py`` with ``Backbone``, and, where its networks can answer questions about pictures, ``judge.py`` with
``Judge``. ``docs/backbones.md`` says how to add one.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from eacps.models.checkpoint_config import CONFIG_FILE, CheckpointConfig, UnsupportedCheckpoint
from eacps.tensors import MODELS, ModelSpec

BACKBONES = ("qwen_image_edit", "flux2_klein")


def networks_of(backbone: str) -> dict[str, ModelSpec]:
    """Return the contracts of a backbone's networks, by name."""
    specs: tuple[ModelSpec, ...] = part_of(backbone, "contract").NETWORKS
    return {spec.name: spec for spec in specs}


def models_of(backbone: str) -> dict[str, ModelSpec]:
    """Return the contracts of all models that a repository of a backbone may hold, by name."""
    return networks_of(backbone) | MODELS


def contract_of(model: str, backbone: str) -> ModelSpec:
    """Return the contract of a model of the repository.

    Args:
        model: Its name.
        backbone: That the repository serves; empty for a model that belongs to none.
    """
    return (models_of(backbone) if backbone else MODELS)[model]


def read_config(assets: Path) -> CheckpointConfig:
    """Read ``checkpoint.json`` of an assets folder, as its backbone has it."""
    text = (assets / CONFIG_FILE).read_text(encoding="utf-8")
    config: CheckpointConfig = part_of(json.loads(text)["backbone"], "config").Config.from_json(text)
    return config


def part_of(backbone: str, part: str) -> Any:
    """Import a module of a backbone's folder.

    Raises:
        UnsupportedCheckpoint: There is no such backbone.
    """
    if backbone not in BACKBONES:
        raise UnsupportedCheckpoint(f"no backbone {backbone!r}; served are {', '.join(BACKBONES)}")
    return import_module(f"{__name__}.{backbone}.{part}")
