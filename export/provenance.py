"""Digests of everything that decides what an export writes, to find out whether another export would change it.

Imports no torch, so that finding a repository up to date costs no more than reading files.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import eacps
from eacps.manifest import Manifest, digest_of, is_intact, programs_digest
from eacps.tensors import MODELS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
# Only where they are installed: they decide nothing where they are not.
OPTIONAL_PACKAGES = ("tensorrt", "peft", "onnxruntime-gpu")

# The code that decides what a repository holds, beside that of the programs themselves (`programs_digest`).
REPOSITORY_SOURCES = (
    "server/eacps/manifest.py",
    "server/eacps/tensors.py",
    "export/*.py",
    "export/licenses.toml",
    "export/backbones/*.py",
    "export/backbones/*/*",
    "export/networks/*.py",
    "export/targets/*.py",
    "model_repository/*/1/*.py",
)


def is_current(repository: Path, request: str) -> bool:
    """Return whether another export would write the same: same request, same code, and no file changed since.

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
        and manifest.programs_sha256 == programs_digest()
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


def sources_digest(patterns: Sequence[str]) -> str:
    """Return the digest of the project's files that match ``patterns``.

    Raises:
        FileNotFoundError: Nothing matches one of them: what was renamed must not silently leave the digest.
    """
    found = [sorted(ROOT.glob(pattern)) for pattern in patterns]
    if missing := [pattern for pattern, paths in zip(patterns, found, strict=True) if not paths]:
        raise FileNotFoundError(f"no file matches {', '.join(missing)}")
    return digest_of(path for paths in found for path in paths)
