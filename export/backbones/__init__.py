"""How the checkpoints of each backbone are exported: a folder of the same name as in ``eacps.models.backbones``.

Its ``__init__.py`` holds ``PIPELINES``, the pipelines of diffusers that it exports, by their names in
``model_index.json``, and imports no torch; its ``exporter.py`` holds ``EXPORTER``, a `BackboneExporter`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eacps.models.backbones import BACKBONES
from eacps.models.checkpoint_config import UnsupportedCheckpoint

if TYPE_CHECKING:
    from export.backbones.backbone import BackboneExporter


def exporter_for(checkpoint: Path) -> BackboneExporter[Any, Any]:
    """Return the exporter of a checkpoint's backbone, by its ``model_index.json``.

    Raises:
        UnsupportedCheckpoint: It is of another pipeline than those served, or does not say of which.
    """
    from export.checkpoint import pipeline_name

    name, known = pipeline_name(checkpoint), served_pipelines()
    if name not in known:
        raise UnsupportedCheckpoint(f"{checkpoint} is for {name}; served are {', '.join(known)}")
    exporter: BackboneExporter[Any, Any] = import_module(f"{__name__}.{known[name]}.exporter").EXPORTER
    return exporter


def served_pipelines() -> dict[str, str]:
    """Return the backbone of every pipeline that is served."""
    return {
        pipeline: backbone for backbone in BACKBONES for pipeline in import_module(f"{__name__}.{backbone}").PIPELINES
    }
