"""What decides what an export writes, as digests: whether doing it again, or doing a network again, would change it.

Imports no torch, so that finding a repository up to date costs no more than reading files.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

import eacps
from eacps.manifest import Manifest, digest_of, is_intact
from eacps.tensors import MODELS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")
# Only where they are installed: they decide nothing where they are not.
OPTIONAL_PACKAGES = ("tensorrt", "peft", "onnxruntime-gpu")

# The code that decides what a repository holds.
REPOSITORY_SOURCES = (
    "server/eacps/manifest.py",
    "server/eacps/tensors.py",
    "export/*.py",
    "export/networks/*.py",
    "export/targets/*.py",
    "server/eacps/models/facts.py",
    "server/eacps/models/noise.py",
    "server/eacps/models/preprocessing.py",
    "server/eacps/models/prompt.py",
    "server/eacps/models/vision_tables.py",
    "model_repository/*/1/*.py",
)


def is_current(repository: Path, request: str) -> bool:
    """Tell whether exporting again would write the same: same request, same code, and no file since touched.

    Args:
        repository: Its folder.
        request: Digest of all that the export is asked for, files included.
    """
    manifest = Manifest.read(repository)
    return (
        manifest is not None
        and manifest.request_sha256 == request
        and manifest.versions == versions()
        and manifest.sources_sha256 == sources_digest(REPOSITORY_SOURCES)
        and {name for name, spec in MODELS.items() if not spec.optional} <= set(manifest.models)
        and all(is_intact(repository / name, record) for name, record in manifest.models.items())
    )


def versions() -> dict[str, str]:
    """Return the versions of EACPS and of the packages that decide what is exported."""
    found = {package: importlib.metadata.version(package) for package in PACKAGES}
    for package in OPTIONAL_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"eacps": eacps.__version__} | found


def sources_digest(patterns: Iterable[str]) -> str:
    """Return the digest of the project's files that match ``patterns``."""
    return digest_of(path for pattern in patterns for path in sorted(ROOT.glob(pattern)))
