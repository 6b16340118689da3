"""Reading variables of the environment, and naming every one that cannot be read."""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from eacps.errors import FieldViolation

T = TypeVar("T")
D = TypeVar("D")


class Reader:
    """Reads variables and remembers every one that cannot be read."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.violations: list[FieldViolation] = []

    def get(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        """Give the variable's value, or ``default`` where it is not set or empty."""
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as exc:
            self.violations.append(FieldViolation(name, str(exc)))
            return default


def address_of(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"is {text}, not HOST:PORT")
    return text


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(f"is {text}, not a number of seconds of at least 0")
    return value


def rate(text: str) -> float:
    """Read how often a second, above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(f"is {text}, not a number above 0")
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
