"""Which license each network of an export is under, and what states it.

In this order: ``--license`` states it; the file is known by its content; a model card or a license's text lies beside
it; it is known by its name. Otherwise it is "not stated". A judge may come from elsewhere than the checkpoint that it
is put into, so only a card or a text in its own folder counts. The facts are in ``licenses.toml``, those of a
backbone's checkpoints in its folder.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import metadata_load

from eacps.licenses import CommercialUse, License
from eacps.manifest import content_sha256
from eacps.tensors import (
    FACE_DETECTOR,
    FACE_RECOGNIZER,
    FACE_SWAPPER,
    FACE_VERIFIER,
    JUDGE_NETWORK,
)
from export.face_pack import FaceFiles
from export.request import Ingredients, InvalidOption

TABLE = Path(__file__).with_name("licenses.toml")
BACKBONES = Path(__file__).with_name("backbones")
CARD = "README.md"
LORA = "lora"
FACES = (FACE_DETECTOR.name, FACE_RECOGNIZER.name)
STATED = re.compile(r"(?P<network>\w+)=(?P<name>[A-Za-z0-9.+-]+)(:(?P<commercial>commercial|non-commercial))?")
STRICTEST_FIRST = (CommercialUse.NO, CommercialUse.NOT_STATED, CommercialUse.YES)
DECORATION = re.compile(r"^\W*(the\s)?\W*", re.IGNORECASE)
WORDS = 60
"""Of a license's text, enough to tell which it is."""


@dataclass(frozen=True)
class _Known:
    """Weights that the table knows."""

    what: str
    license: str
    source: str
    names: Sequence[str] = ()
    sha256: Sequence[str] = ()


def licenses_of(ingredients: Ingredients, faces: FaceFiles, networks: Sequence[str]) -> dict[str, License]:
    """Return the license of every network, and of a LoRA.

    Args:
        ingredients: Of the export.
        faces: Files of its face pack.
        networks: Names of those that are made of the checkpoint.

    Raises:
        InvalidOption: ``--license`` is of another form, or names no network of the export.
    """
    request, checkpoint = ingredients.request, ingredients.source.folder
    backbone = _of_folder(checkpoint, ingredients.source.name, [ingredients.source.name])
    found = dict.fromkeys(networks, backbone)
    if JUDGE_NETWORK in found:
        found[JUDGE_NETWORK] = _of_folder(checkpoint / JUDGE_NETWORK, f"{ingredients.source.name}/{JUDGE_NETWORK}", [])
    files = {
        FACE_DETECTOR.name: (faces.detector, request.faces),
        FACE_RECOGNIZER.name: (faces.recognizer, request.faces),
        FACE_SWAPPER.name: (faces.swapper, request.swapper or request.faces),
        FACE_VERIFIER.name: (faces.verifier, request.verifier or request.faces),
        LORA: (ingredients.lora, request.lora),
    }
    for network, (path, reference) in files.items():
        if path is not None:
            found[network] = _of_file(path, reference, checkpoint, backbone)
    return found | _stated(request.licenses, found, {"checkpoint": tuple(networks), "faces": FACES})


def _stated(
    texts: Iterable[str], networks: Mapping[str, License], groups: Mapping[str, Sequence[str]]
) -> dict[str, License]:
    """Read ``--license NETWORK=SPDX`` and ``--license NETWORK=SPDX:commercial``."""
    said: dict[str, License] = {}
    for text in texts:
        parts = STATED.fullmatch(text)
        if parts is None:
            raise InvalidOption(f"--license {text!r} is not of the form NETWORK=SPDX or NETWORK=SPDX:commercial")
        named = groups.get(parts["network"], (parts["network"],))
        if unknown := [network for network in named if network not in networks]:
            raise InvalidOption(f"--license names {', '.join(unknown)}; networks are {', '.join([*networks, *groups])}")
        allows = {"commercial": CommercialUse.YES, "non-commercial": CommercialUse.NO}.get(parts["commercial"])
        name = _known_spelling(parts["name"]) or parts["name"]
        said |= dict.fromkeys(named, License(name, allows or _commercial(name), "as stated by --license"))
    return said


def _of_file(path: Path, reference: str | None, checkpoint: Path, backbone: License) -> License:
    digest = content_sha256(path)
    for known in _table():
        if digest in known.sha256:
            return _known_by_content(known, path.parent)
    if checkpoint.resolve() in path.resolve().parents:
        return backbone
    # A file of the hub's comes without its card; the folder that it lies in bears the name of a commit.
    named = reference.split("/")[:2] if reference is not None and not Path(reference).exists() else []
    return _of_folder(path.parent, path.parent.name, [path.stem, path.parent.name, *named])


def _known_by_content(known: _Known, folder: Path) -> License:
    """Return the license of a file that the table knows, and say so where a card beside it states another."""
    license = _license(known.license, f"{known.what}, by content: {known.source}")
    stated = _of_folder(folder, folder.name, [])
    if not stated.source or stated.name == license.name:
        return license
    return replace(license, source=f"{license.source}; {stated.source} says {stated.name}, but the file is not its own")


def _of_folder(folder: Path, label: str, names: Sequence[str]) -> License:
    """Return the license of what lies in a folder.

    Args:
        folder: The folder.
        label: What it is called in the manifest, which holds no path of this machine.
        names: By which its content may be known.
    """
    return next(_statements(folder, label, names), License())


def _statements(folder: Path, label: str, names: Sequence[str]) -> Iterator[License]:
    """Yield what states the license, the surest first."""
    card = folder / CARD
    if card.is_file() and (names_in_card := _names_in(card)):
        stated = [_license(name, f"model card {label}/{CARD}") for name in names_in_card]
        yield min(stated, key=lambda license: STRICTEST_FIRST.index(license.commercial))
    for path in sorted(path for path in folder.glob("LICENSE*") if path.is_file()):
        opening = " ".join(path.read_text(encoding="utf-8", errors="replace").split()[:WORDS])
        title = DECORATION.sub("", opening).lower()
        for beginning, name in _data()["texts"].items():
            # What only mentions a license may say that another holds.
            if title.startswith(beginning.lower()):
                yield _license(name, f"{label}/{path.name}")
    for known in _table():
        if match := next((name for name in names for form in known.names if fnmatch(name.lower(), form.lower())), None):
            yield _license(known.license, f"{known.what}, by the name {match}: {known.source}")


def _names_in(card: Path) -> list[str]:
    """Return the licenses that a model card states; more than one may hold for parts of the weights."""
    try:
        metadata: Mapping[str, Any] = metadata_load(card) or {}
    except (yaml.YAMLError, ValueError):  # a text of another kind
        return []
    stated = metadata.get("license")
    other = metadata.get("license_name")
    return [str(other if one == "other" and other else one) for one in _listed(stated) if one]


def _listed(stated: object) -> list[object]:
    return list(stated) if isinstance(stated, list) else [stated]


def _license(name: str, source: str) -> License:
    canonical = _canonical(name)
    return License(canonical, _commercial(canonical), source)


def _canonical(name: str) -> str:
    """Return SPDX's spelling of a license that a model card names, or a reference of our own."""
    return _known_spelling(name) or f"LicenseRef-{re.sub(r'[^A-Za-z0-9.+-]+', '-', name)}"


def _known_spelling(name: str) -> str | None:
    """Return how the table spells a license, which model cards write in small letters; None where it has none."""
    spellings = {identifier.lower(): identifier for identifier in _data()["commercial"]} | _data()["aliases"]
    return spellings.get(name.lower())


def _commercial(name: str) -> CommercialUse:
    return CommercialUse(_data()["commercial"].get(name, CommercialUse.NOT_STATED))


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


@cache
def _table() -> tuple[_Known, ...]:
    tables = [_data(), *(tomllib.loads(path.read_text(encoding="utf-8")) for path in BACKBONES.glob("*/licenses.toml"))]
    return tuple(_Known(**entry) for table in tables for entry in table.get("known", []))
