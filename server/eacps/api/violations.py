"""Collects the violations of a request, field by field."""

from enum import StrEnum
from typing import TypeVar

from google.protobuf.message import Message

from eacps.enums import Words
from eacps.errors import FieldViolation, InvalidPicture
from eacps.limits import RANGES

E = TypeVar("E", bound=StrEnum)


class UnusableName(InvalidPicture):
    """The name of a picture cannot be used, whatever its bytes."""


class Violations:
    """The violations found so far. Reading goes on after the first one, so that all are reported together.

    Args:
        accepted_before: Whether the request is a stored one. Limits that were lowered since then do not refuse it.
    """

    def __init__(self, *, accepted_before: bool = False) -> None:
        self.found: list[FieldViolation] = []
        self._accepted_before = accepted_before

    def add(self, path: str, description: str) -> None:
        """Add a violation of the field at ``path``."""
        self.found.append(FieldViolation(path, description))

    def add_limit(self, path: str, description: str) -> None:
        """Add a violation of a limit, unless the request was accepted before."""
        if not self._accepted_before:
            self.add(path, description)

    def add_picture(self, path: str, error: InvalidPicture) -> None:
        """Add a violation of the picture in the field at ``path``: of its bytes, or of its name."""
        self.add(f"{path}.{'artifact' if isinstance(error, UnusableName) else 'data'}", str(error))

    def integer(self, message: Message, path: str) -> int:
        """Read an optional integer that has a default.

        Args:
            message: Holds the field that ``path`` ends with.
            path: From the request's root; see `eacps.limits.RANGES` for range and default.
        """
        return int(self.real(message, path))

    def real(self, message: Message, path: str) -> float:
        """Read an optional number that has a default; see `integer`."""
        value, default = self.given(message, path), RANGES[path].default
        if default is None:
            raise KeyError(f"{path} has no default")
        return default if value is None else value

    def given(self, message: Message, path: str) -> float | None:
        """Read an optional number; None if it is absent or out of range; see `integer`."""
        name, accepted = path.rpartition(".")[2], RANGES[path]
        if not message.HasField(name):
            return None
        value: float = getattr(message, name)
        if value not in accepted and not self._accepted_before:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            self.add(path, f"is {shown}, not in {accepted}")
            return None
        return value

    def given_integer(self, message: Message, path: str) -> int | None:
        """Read an optional integer; see `given`."""
        value = self.given(message, path)
        return None if value is None else int(value)

    def choice(self, message: Message, path: str, words: Words, kind: type[E], *, default: E) -> E:
        """Read an enum.

        Args:
            message: Holds the field that ``path`` ends with.
            path: From the request's root.
            words: The API's enum.
            kind: The domain's.
            default: Taken if the value is unspecified or not known.
        """
        try:
            word = words.word_of(getattr(message, path.rpartition(".")[2]))
        except ValueError as exc:
            self.add(path, str(exc))
            return default
        return default if word is None else kind(word)
