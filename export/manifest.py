"""What an exported repository was made of: its record, and whether making it again would change anything.

Imports no torch, so that finding a repository up to date costs no more than reading files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import eacps
from eacps.tensors import MODELS, ModelSpec

MANIFEST_FILE = "manifest.json"
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")

# The code that decides what a repository holds.
REPOSITORY_SOURCES = (
    "server/eacps/tensors.py",
    "export/*.py",
    "export/networks/*.py",
    "server/eacps/models/facts.py",
    "server/eacps/models/noise.py",
    "server/eacps/models/prompt.py",
    "model_repository/*/1/*.py",
)


@dataclass(frozen=True)
class ParityFigure:
    """How far a graph is from its original in one case: max|difference| / max|reference|, the worst output."""

    case: str
    error: float


@dataclass(frozen=True)
class ModelRecord:
    """One model of the repository.

    Args:
        sha256: Of the model's files.
        origin: Of what a network was exported from and with; empty for programs.
        parity: Figures of the parity gate; empty for programs.
    """

    sha256: str
    origin: str = ""
    parity: tuple[ParityFigure, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A repository's ``manifest.json``.

    Args:
        checkpoint: Its name.
        checkpoint_sha256: Of all its files.
        target: Name of the target.
        sources_sha256: Of the code that wrote the repository.
        versions: Of the packages that did.
        models: By name.
    """

    checkpoint: str
    checkpoint_sha256: str
    target: str
    sources_sha256: str
    versions: dict[str, str]
    models: dict[str, ModelRecord]

    def write(self, repository: Path) -> None:
        """Write ``manifest.json``."""
        (repository / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, repository: Path) -> Manifest | None:
        """Read the manifest; None where there is none or one of another form."""
        try:
            fields = json.loads((repository / MANIFEST_FILE).read_text(encoding="utf-8"))
            models = {
                name: ModelRecord(
                    record["sha256"], record["origin"], tuple(ParityFigure(**figure) for figure in record["parity"])
                )
                for name, record in fields.pop("models").items()
            }
            return cls(**fields, models=models)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def is_current(repository: Path, checkpoint: Path, target: str) -> bool:
    """Tell whether exporting again would write the same: same inputs, same code, and no file since touched."""
    manifest = Manifest.read(repository)
    return (
        manifest is not None
        and manifest.target == target
        and manifest.versions == versions()
        and manifest.sources_sha256 == sources_digest(REPOSITORY_SOURCES)
        and {name for name, spec in MODELS.items() if not spec.optional} <= set(manifest.models)
        and manifest.checkpoint_sha256 == digest_of([checkpoint])
        and all(is_intact(repository / name, record) for name, record in manifest.models.items())
    )


def is_intact(model: Path, record: ModelRecord) -> bool:
    """Tell whether the files of a model are those recorded."""
    return digest_of([model]) == record.sha256


def origin_of(spec: ModelSpec, target: str, files: Iterable[Path], settings: str, code: Iterable[Path]) -> str:
    """Return the digest of all that a network depends on.

    Args:
        spec: Its contract.
        target: Name of the target.
        files: Parts of the checkpoint.
        settings: What else decides its graph.
        code: Files of the code that exports it.
    """
    packages = json.dumps(versions(), sort_keys=True)
    state = [repr(spec), target, digest_of(files), settings, digest_of(code), packages]
    return hashlib.sha256("\n".join(state).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of EACPS and of the packages that decide what is exported."""
    return {"eacps": eacps.__version__} | {package: importlib.metadata.version(package) for package in PACKAGES}


def sources_digest(patterns: Iterable[str]) -> str:
    """Return the digest of the project's files that match ``patterns``."""
    return digest_of(path for pattern in patterns for path in sorted(ROOT.glob(pattern)))


def digest_of(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and contents of files and of all files in folders."""
    total = hashlib.sha256()
    for root in paths:
        files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
        for path in files:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{path.relative_to(root.parent).as_posix()} {content}\n".encode())
    return total.hexdigest()
