"""What was measured on networks beforehand, and whether it belongs to those of this export.

``calibration.json`` (see `eacps.search.calibration`) says in its section ``measured_with`` with which networks each
scorer's scale and each other section was measured: ``{"scorers.identity": {"face_recognizer": "<SHA-256>", ...}}``.
What was measured with other networks means nothing here, and is left out by name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eacps.errors import InvalidSearchSpec
from eacps.manifest import CalibrationRecord, digest_of
from eacps.scoring.score_maps import ScoreMaps
from eacps.search.calibration import Calibration
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, FACE_VERIFIER, JUDGE_NETWORK
from export.face_pack import FaceFiles, network_sha256
from export.request import Ingredients

CALIBRATION_FILE = "calibration.json"
SCORERS, MEASURED_WITH = "scorers", "measured_with"
IDENTITY, HELD_OUT = "identity", "identity_heldout"
OTHER_SECTIONS = ("landscape", "restarts")
CHECKPOINT_PARTS = ("text_encoder", JUDGE_NETWORK, "vae", "transformer", "scheduler")
ANSWERS = "answers"
"""Stands for the part that answers questions: the judge that a checkpoint brings, else its text encoder."""

SCORED_BY = {
    IDENTITY: (FACE_DETECTOR.name, FACE_RECOGNIZER.name),
    HELD_OUT: (FACE_DETECTOR.name, FACE_VERIFIER.name),
    "realism": (ANSWERS,),
    "prompt": (ANSWERS,),
    "preservation": (FACE_DETECTOR.name,),
}
"""Networks whose answers a scorer's raw scores are. Other sections depend on all networks that a search depends on."""
NOT_SEARCHED = (FACE_VERIFIER.name,)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

NOT_MEASURED = "not measured"

Section = dict[str, Any]
Digests = Mapping[str, str]


class UnusableCalibration(Exception):
    """A calibration cannot be read, or was measured with other networks; the message names file and sections."""


@dataclass(frozen=True)
class BelongingCalibration:
    """A calibration without what does not belong to the networks at hand.

    Args:
        data: The sections that do, as `eacps.search.calibration` reads them; empty where none does.
        left_out: Why a section is not among them, by name.
    """

    data: Section
    left_out: Mapping[str, str]

    def records(self) -> dict[str, CalibrationRecord]:
        """Return what the manifest is to hold: for every scorer and section whether, and how, it is calibrated."""
        maps = ScoreMaps.from_calibration(self.data).maps
        found = {
            name: CalibrationRecord(zero=maps[name].zero, one=maps[name].one)
            if name in maps
            else CalibrationRecord(self.left_out.get(f"{SCORERS}.{name}", NOT_MEASURED))
            for name in (*SCORED_BY, *sorted(maps.keys() - SCORED_BY.keys()))
        }
        return found | {
            name: CalibrationRecord("" if name in self.data else self.left_out.get(name, NOT_MEASURED))
            for name in OTHER_SECTIONS
        }


def calibration_for(ingredients: Ingredients, faces: FaceFiles) -> BelongingCalibration:
    """Return what is known of the networks of an export.

    Args:
        ingredients: Of the export.
        faces: Files of its face pack.

    Raises:
        UnusableCalibration: A calibration is malformed, or one that was asked for belongs to other networks.
    """
    source, given = ingredients.source, ingredients.calibration
    own = source.folder / CALIBRATION_FILE
    data = read_calibration(own) if own.exists() else {}
    if not source.has_weights:
        return BelongingCalibration({}, {name: "the weights are not here to compare" for name, _ in sections(data)})
    digests = digests_of(source.folder, faces, ingredients.additions())
    found = belonging(data, digests)
    if given is None:
        return found
    asked = belonging(read_calibration(given), digests)
    if asked.left_out:
        wrong = "; ".join(f"{in_words([name])}: {reason}" for name, reason in asked.left_out.items())
        raise UnusableCalibration(f"{given} belongs to other networks ({wrong})")
    return _merged(found, asked)


def digests_of_faces(faces: FaceFiles) -> dict[str, str]:
    """Return the SHA-256 of a pack's files by the names of their networks."""
    files = {
        FACE_DETECTOR.name: faces.detector,
        FACE_RECOGNIZER.name: faces.recognizer,
        FACE_SWAPPER.name: faces.swapper,
        FACE_VERIFIER.name: faces.verifier,
    }
    return {name: network_sha256(path) for name, path in files.items() if path is not None}


def digests_of(checkpoint: Path, faces: FaceFiles, additions: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a digest of every network, and of the schedule.

    Args:
        checkpoint: Its folder, weights included.
        faces: The pack's files.
        additions: LoRA and schedule with their digests, where they are added to the checkpoint.
    """
    parts = [part for part in CHECKPOINT_PARTS if (checkpoint / part).is_dir()]
    found = digests_of_faces(faces) | {part: digest_of([checkpoint / part]) for part in parts}
    for part, addition in (("transformer", "lora"), ("scheduler", "schedule")):
        if additions and addition in additions and part in found:
            found[part] = hashlib.sha256(os.fsencode(f"{found[part]} {additions[addition]}")).hexdigest()
    return found


def read_calibration(path: Path) -> Section:
    """Read a calibration file.

    Raises:
        UnusableCalibration: It is none, or malformed.
    """
    try:
        data: Section = json.loads(path.read_text(encoding="utf-8"))
        Calibration.from_dict(data)
        ScoreMaps.from_calibration(data)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, InvalidSearchSpec) as error:
        raise UnusableCalibration(f"{path} cannot be read as a calibration: {error}") from error
    notes = data.get(MEASURED_WITH, {}) if isinstance(data, dict) else None
    if not isinstance(notes, dict) or not all(isinstance(one, dict | None) for one in notes.values()):
        raise UnusableCalibration(f"{path} cannot be read as a calibration: its {MEASURED_WITH} is no table of digests")
    return data


def belonging(data: Mapping[str, Any], digests: Digests) -> BelongingCalibration:
    """Split a calibration into what belongs to networks and what does not.

    Args:
        data: As the file holds it.
        digests: Of the networks.
    """
    kept: Section = {}
    left_out = {}
    for name, section in sections(data):
        if reason := _reason(name, data.get(MEASURED_WITH, {}).get(name), digests):
            left_out[name] = reason
        else:
            _put(kept, name, section)
    return BelongingCalibration(kept, left_out)


def write_sections(path: Path, measured: Mapping[str, Any], digests: Digests) -> None:
    """Write sections into a calibration file; the others stay.

    Args:
        path: The file, made where there is none.
        measured: Sections by name, those of scorers as ``scorers.identity``.
        digests: Of all networks at hand; those that a section depends on are noted beside it.

    Raises:
        UnusableCalibration: There is such a file, and it is no calibration.
    """
    data = read_calibration(path) if path.exists() else {}
    notes = data.setdefault(MEASURED_WITH, {})
    for name, section in measured.items():
        _put(data, name, section)
        notes[name] = {network: digests[network] for network in networks_of_section(name, digests)}
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def networks_of_section(name: str, digests: Digests) -> tuple[str, ...]:
    """Return the networks that a section depends on, of those at hand.

    Args:
        name: Of the section, those of scorers as ``scorers.identity``.
        digests: Of all networks at hand.
    """
    answers = JUDGE_NETWORK if JUDGE_NETWORK in digests else "text_encoder"
    searched = tuple(network for network in digests if network not in NOT_SEARCHED)
    networks = SCORED_BY.get(name.removeprefix(f"{SCORERS}."), searched)
    return tuple(answers if network == ANSWERS else network for network in networks)


def sections(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every section by name; each scorer's is one of its own."""
    for scorer, section in data.get(SCORERS, {}).items():
        yield f"{SCORERS}.{scorer}", section
    for name, section in data.items():
        if name not in (SCORERS, MEASURED_WITH):
            yield name, section


def distribution(values: Sequence[float] | NDArray[np.floating]) -> Section:
    """Describe values by count, mean, standard deviation and quantiles, to six digits: log-odds need them."""
    array = np.asarray(values, np.float64)
    quantiles = {f"{q:g}": round(float(np.quantile(array, q)), 6) for q in QUANTILES}
    return {
        "count": len(array),
        "mean": round(float(array.mean()), 4),
        "sd": round(float(array.std(ddof=1)), 4),
        "quantiles": quantiles,
    }


def in_words(names: Iterable[str]) -> str:
    """List sections for a message."""
    return ", ".join(name.removeprefix(f"{SCORERS}.") for name in names)


def _merged(own: BelongingCalibration, given: BelongingCalibration) -> BelongingCalibration:
    """Put the sections of a given calibration in the place of the checkpoint's own."""
    data: Section = {}
    for name, section in (*sections(own.data), *sections(given.data)):
        _put(data, name, section)
    known = {name for name, _ in sections(data)}
    return BelongingCalibration(data, {name: why for name, why in own.left_out.items() if name not in known})


def _put(data: Section, name: str, section: Any) -> None:
    scorer = name.removeprefix(f"{SCORERS}.")
    if scorer == name:
        data[name] = section
    else:
        data.setdefault(SCORERS, {})[scorer] = section


def _reason(section: str, measured_with: Digests | None, digests: Digests) -> str:
    """Return why a section does not belong to networks; empty if it does."""
    if not measured_with:
        return "it does not say which networks it was measured with"
    absent = [name for name in measured_with if name not in digests]
    added = [name for name in networks_of_section(section, digests) if name not in measured_with]
    other = [name for name, digest in measured_with.items() if name in digests and digests[name] != digest]
    if other:
        return f"measured with another {' and another '.join(other)}"
    if absent:
        return f"measured with a {' and a '.join(absent)}, which is not here"
    return f"measured without the {' and the '.join(added)}" if added else ""
