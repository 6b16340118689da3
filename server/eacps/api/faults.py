"""Collecting what is wrong with a request, field by field."""

from google.protobuf.message import Message

from eacps.errors import FieldViolation


class Faults:
    """Grows while a request is read; whoever reads it goes on after a fault."""

    def __init__(self) -> None:
        self.found: list[FieldViolation] = []

    def add(self, path: str, description: str) -> None:
        """Note that the field at ``path`` is at fault."""
        self.found.append(FieldViolation(path, description))

    def count(self, message: Message, path: str, least: int, most: int, *, default: int) -> int:
        """Read an optional integer.

        Args:
            message: Holds the field that ``path`` ends with.
            path: From the request's root.
            least: Smallest value accepted.
            most: Largest value accepted.
            default: Taken where the field is absent or at fault.
        """
        name = path.rpartition(".")[2]
        if not message.HasField(name):
            return default
        value: int = getattr(message, name)
        if not least <= value <= most:
            self.add(path, f"is {value}, not in [{least}, {most}]")
            return default
        return value

    def real(
        self, message: Message, path: str, least: float, most: float, *, default: float, above: bool = False
    ) -> float:
        """Read an optional number; see `count`. NaN is never accepted.

        Args:
            message: Holds the field that ``path`` ends with.
            path: From the request's root.
            least: Smallest value accepted, or with ``above`` the largest that is not.
            most: Largest value accepted.
            default: Taken where the field is absent or at fault.
            above: Whether the interval is open at ``least``.
        """
        name = path.rpartition(".")[2]
        if not message.HasField(name):
            return default
        value: float = getattr(message, name)
        if not least <= value <= most or (above and value == least):
            self.add(path, f"is {value:g}, not in {'(' if above else '['}{least:g}, {most:.6g}]")
            return default
        return value
