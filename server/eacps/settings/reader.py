"""Reads variables of the environment, and names every one that cannot be read."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from eacps.errors import FieldViolation

T = TypeVar("T")
D = TypeVar("D")


class Reader:
    """Reads variables, and records a violation for every one that cannot be read."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.violations: list[FieldViolation] = []

    def has(self, name: str) -> bool:
        """Return whether a variable is set and not empty."""
        return bool(self._environment.get(name, "").strip())

    def get(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        """Return the variable's value, or ``default`` if it is unset or empty."""
        given = self._environment.get(name, "")
        if not given.strip():
            return default
        # White space and bytes that are no text are parts of a file's name.
        of_file = parse in (Path, folder_or_url)
        text = given if of_file else given.strip()
        if not of_file and not _is_unicode(text):
            self.violations.append(FieldViolation(name, "is not valid UTF-8"))
            return default
        try:
            return parse(text)
        except ValueError as exc:
            self.violations.append(FieldViolation(name, str(exc)))
            return default


def _is_unicode(text: str) -> bool:
    """Return whether a text came from valid UTF-8; only names of files may hold anything else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def folder_or_url(text: str) -> str:
    """Read a folder or a URL as it is written; `eacps.durable.open_store` tells them apart."""
    return text


def duration_s(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(f"is {text}, not a number of seconds of at least 0")
    return value


def timeout(text: str) -> float:
    """Read a number of seconds above 0."""
    value = duration_s(text)
    if value == 0:
        raise ValueError("is 0: no call ends in no time")
    return value


def header_value(text: str) -> str:
    """Read a key that is sent in a header: visible ASCII. It is not quoted."""
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("holds a space, a line break or another character that is not visible ASCII")
    return text


def rate(text: str) -> float:
    """Read a number per second, above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(f"is {text}, not a number above 0")
    return value


def share(text: str) -> float:
    """Read a part of a whole, in (0, 1]."""
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError(f"is {text}, not above 0 and at most 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(f"is {text}, below 0")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(f"is {text}, below 1")
    return value


def weights(text: str) -> Mapping[str, float]:
    pairs = [entry.partition("=") for entry in text.split(",")]
    weights = {name.strip(): float(value) for name, _, value in pairs}
    if not all(0 <= value < math.inf for value in weights.values()) or not any(weights.values()):
        raise ValueError(f"is {text}: weights are numbers of at least 0, not all 0")
    return weights
