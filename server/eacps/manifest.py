"""The ``manifest.json`` of a model repository, and the check of its files against it.

The exporter writes it. The sampler reads it before it serves: a repository without one, or with another engine than
the one that passed the parity gate, must not start. Knows neither torch nor Triton.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from eacps.licenses import CommercialUse, License

MANIFEST_FILE = "manifest.json"
_BUILD_DIGITS = 16
_PACKAGE = Path(__file__).parent


class BrokenRepository(Exception):
    """The repository is not what its manifest says, or has none."""


@dataclass(frozen=True)
class ParityFigure:
    """How far a network's answer is from its original's in one case.

    Args:
        case: What was asked, in words.
        error: Distance, the worst output's: max|difference| / max|reference| in FP32; at lower precision the root mean
            square of the difference over that of the reference.
        allowed: Tolerance of the parity gate.
    """

    case: str
    error: float
    allowed: float


@dataclass(frozen=True)
class ModelRecord:
    """One model of the repository.

    Args:
        sha256: Of the model's files.
        origin: Of what a network was exported from and with; empty for programs.
        precision: In which a network computes; empty for programs.
        parity: Figures of the parity gate; empty for programs.
    """

    sha256: str
    origin: str = ""
    precision: str = ""
    parity: tuple[ParityFigure, ...] = ()


@dataclass(frozen=True)
class CalibrationRecord:
    """Whether what a scorer's raw scores mean, or another section of a calibration, was measured with these networks.

    Args:
        reason: Why not; empty where it was.
        zero, one: Raw scores that count as 0 and as 1; None for other sections, and for scorers without a scale.
    """

    reason: str = ""
    zero: float | None = None
    one: float | None = None


@dataclass(frozen=True)
class Manifest:
    """A repository's ``manifest.json``.

    Args:
        checkpoint: Its name.
        revision: Commit of the checkpoint where it came from a hub; empty for a folder.
        checkpoint_sha256: Of all its files.
        additions: What was fused into it or set beside it, by name: LoRA, schedule, face files, with their digests.
        target: Name of the target.
        device: What engines were built on and are tied to, such as ``NVIDIA H100 (9.0)``; empty where there are none.
        request_sha256: Of all that the export was asked for.
        sources_sha256: Of the code that wrote the repository.
        programs_sha256: Of the code that answers requests with its networks (`programs_digest`).
        versions: Of the packages that did.
        models: By name.
        calibration: By scorer, and by section of a calibration.
        licenses: Of the networks and of a LoRA, by name.
    """

    checkpoint: str
    revision: str
    checkpoint_sha256: str
    target: str
    request_sha256: str
    sources_sha256: str
    programs_sha256: str
    versions: Mapping[str, str]
    models: Mapping[str, ModelRecord]
    additions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    calibration: Mapping[str, CalibrationRecord] = field(default_factory=dict)
    licenses: Mapping[str, License] = field(default_factory=dict)

    @property
    def build(self) -> str:
        """Digest of everything that decides what is answered, of networks and programs: 16 hexadecimal digits."""
        networks = {name: record.sha256 for name, record in sorted(self.models.items()) if record.origin}
        code = [self.sources_sha256, self.programs_sha256]
        parts = [self.request_sha256, *code, dict(sorted(self.versions.items())), self.device, networks]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_BUILD_DIGITS]

    @property
    def precisions(self) -> dict[str, str]:
        """In which the networks compute, by name."""
        return {name: record.precision for name, record in self.models.items() if record.precision}

    @property
    def worst_parity(self) -> dict[str, float]:
        """Largest error that the gate saw, by network."""
        return {
            name: max(figure.error for figure in record.parity) for name, record in self.models.items() if record.parity
        }

    def write(self, repository: Path) -> None:
        """Write ``manifest.json``."""
        (repository / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, repository: Path) -> "Manifest | None":
        """Read the manifest; None if it is missing or has another format."""
        try:
            fields = json.loads((repository / MANIFEST_FILE).read_text(encoding="utf-8"))
            models = {name: record_from_json(record) for name, record in fields.pop("models").items()}
            calibration = {name: CalibrationRecord(**record) for name, record in fields.pop("calibration").items()}
            licenses = {name: _license_from_json(license) for name, license in fields.pop("licenses").items()}
            return cls(**fields, models=models, calibration=calibration, licenses=licenses)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def record_from_json(fields: dict[str, object]) -> ModelRecord:
    """Restore a record from what ``dataclasses.asdict`` made of it.

    Raises:
        KeyError, TypeError: It is of another form.
    """
    figures = fields.pop("parity")
    if not isinstance(figures, list):
        raise TypeError("parity is no list")
    return ModelRecord(**fields, parity=tuple(ParityFigure(**figure) for figure in figures))  # type: ignore[arg-type]


def _license_from_json(fields: Mapping[str, str]) -> License:
    return License(fields["name"], CommercialUse(fields["commercial"]), fields["source"])


def verify(repository: Path, build: str) -> Manifest:
    """Check file by file that a repository is the one that passed the parity gate.

    Args:
        repository: Its folder.
        build: As the repository's own configuration states it.

    Raises:
        BrokenRepository: There is no manifest, it is of another build, or files are missing, changed or added.
    """
    manifest = Manifest.read(repository)
    if manifest is None:
        raise BrokenRepository(f"{repository} has no readable {MANIFEST_FILE}: serve what `python -m export` wrote")
    if manifest.build != build:
        raise BrokenRepository(f"{MANIFEST_FILE} is of build {manifest.build}, the configuration of build {build}")
    changed = [name for name, record in manifest.models.items() if not is_intact(repository / name, record)]
    changed += sorted(path.name for path in repository.iterdir() if path.is_dir() and path.name not in manifest.models)
    if changed:
        raise BrokenRepository(f"{', '.join(changed)} changed since the export: export the repository again")
    return manifest


def programs_digest(package: Path = _PACKAGE) -> str:
    """Return the digest of the code that samples, swaps faces and judges: another digest, perhaps other pictures.

    Args:
        package: Folder of `eacps`.
    """
    return digest_of([package / "models", package / "tensors.py"])


def is_intact(model: Path, record: ModelRecord) -> bool:
    """Return whether the files of a model are those recorded."""
    return model.is_dir() and digest_of([model]) == record.sha256


def digest_of(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and contents of files and of all files in folders, linked ones included."""
    total = hashlib.sha256()
    for root in paths:
        for path in sorted(_files_in(root)) if root.is_dir() else [root]:
            total.update(os.fsencode(f"{path.relative_to(root.parent).as_posix()} {content_sha256(path)}\n"))
    return total.hexdigest()


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, without its name."""
    status = path.stat()
    return _content_digest(path, status.st_size, status.st_mtime_ns)


def _files_in(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        if "__pycache__" in folders:
            folders.remove("__pycache__")  # written by Python
        yield from (path for name in names if (path := Path(parent, name)).is_file())


@lru_cache(maxsize=4096)
def _content_digest(path: Path, _size: int, _changed_ns: int) -> str:
    """Hash a file once as long as it is unchanged, because weights take minutes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
