"""Licenses of the networks in a model repository, and whether a business may use it. Knows no license by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class CommercialUse(StrEnum):
    """Whether a license allows commercial use."""

    YES = "yes"
    NO = "no"
    NOT_STATED = "not stated"


@dataclass(frozen=True)
class License:
    """The license of one network's weights.

    Args:
        name: SPDX identifier, or ``LicenseRef-`` and a name of ours where SPDX has none; ``not stated`` where nothing
            states one.
        commercial: Whether it allows commercial use.
        source: What states it.
    """

    name: str = "not stated"
    commercial: CommercialUse = CommercialUse.NOT_STATED
    source: str = ""


@dataclass(frozen=True)
class BusinessUse:
    """Whether a business may use a repository.

    Args:
        answer: ``yes``, ``no`` or ``not known``.
        reasons: Why, a license each.
    """

    answer: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Answer in one line."""
        because = ": " if self.answer == "yes" else ", because "
        return f"may a business use this: {self.answer}{because}{'; '.join(self.reasons)}"


def business_use(licenses: Mapping[str, License]) -> BusinessUse:
    """Answer for all networks together: one that forbids commercial use decides, then one whose license is not known.

    Args:
        licenses: By network.
    """
    for commercial, answer in ((CommercialUse.NO, "no"), (CommercialUse.NOT_STATED, "not known")):
        deciding = {name: license for name, license in licenses.items() if license.commercial is commercial}
        if deciding:
            return BusinessUse(answer, _grouped(deciding))
    return BusinessUse("yes", _grouped(licenses))


def _grouped(licenses: Mapping[str, License]) -> tuple[str, ...]:
    """List networks by license, those of one together."""
    groups: dict[License, list[str]] = {}
    for name, license in licenses.items():
        groups.setdefault(license, []).append(name)
    return tuple(f"{', '.join(names)} {_in_words(license, len(names))}" for license, names in groups.items())


def _in_words(license: License, networks: int) -> str:
    if not license.source:
        return f"{'has' if networks == 1 else 'have'} no license that is stated"
    return f"{'is' if networks == 1 else 'are'} under {license.name} ({license.source})"
