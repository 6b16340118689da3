"""Values on the command line: text that can be sent, numbers in their ranges, ``KEY=VALUE`` pairs."""

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

from eacps.enums import Oneof, Words
from eacps.limits import INT32_MAX, UINT32_MAX, Range

T = TypeVar("T")
N = TypeVar("N", int, float)
MAX_SECONDS = 30 * 24 * 3600  # a month; also keeps infinity and NaN out


def checked(parse: Callable[[str], object]) -> Callable[[str | None], str | None]:
    """Return a callback that accepts a text if ``parse`` does.

    Args:
        parse: Raises ValueError for any other.
    """

    def check(value: str | None) -> str | None:
        if value is None:
            return None
        sent = _utf8(value)
        _tried(parse, sent)
        return sent

    return check


def checked_list(parse: Callable[[list[str]], object]) -> Callable[[list[str]], list[str]]:
    """Return a callback that accepts repeated texts if ``parse`` accepts them together."""

    def check(values: list[str]) -> list[str]:
        sent = texts(values)
        _tried(parse, sent)
        return sent

    return check


def text(value: str | None) -> str | None:
    """Accept text that can be sent: words whose bytes are UTF-8, whatever the locale takes them for."""
    return None if value is None else _utf8(value)


def texts(values: list[str]) -> list[str]:
    """Accept repeated texts; see `text`."""
    return [_utf8(value) for value in values]


def _utf8(value: str) -> str:
    try:
        return os.fsencode(value).decode()
    except UnicodeError:
        pass
    try:
        value.encode()  # given in another way than by the command line
    except UnicodeEncodeError:
        raise typer.BadParameter("is not valid UTF-8") from None
    return value


def sendable(accepted: Range) -> Callable[[N | None], N | None]:
    """Return a callback that accepts a number that the field can hold.

    Whether it is in range is checked by the server, which names all violations at once.
    """
    least, most = (0, UINT32_MAX) if accepted.most == UINT32_MAX else (-INT32_MAX, max(INT32_MAX, accepted.most))

    def check(value: N | None) -> N | None:
        if isinstance(value, int) and not least <= value <= most:
            raise typer.BadParameter(f"{value} is not in [{least}, {most}]")
        return value

    return check


def seconds(value: float | None) -> float | None:
    """Accept a duration above 0."""
    if value is not None and not 0 < value <= MAX_SECONDS:
        raise typer.BadParameter(f"{value:g} is not above 0 and at most {MAX_SECONDS}")
    return value


def shown(words: Words | Oneof) -> list[str]:
    """Return the words of an enum or a oneof as they are written on the command line."""
    return [word.replace("_", "-") for word in words.words]


def one_of(offered: Sequence[str]) -> Callable[[str | None], str | None]:
    """Return a callback that accepts one of some words."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in offered:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(offered)}")
        return value

    return check


def some_of(offered: Sequence[str]) -> Callable[[list[str]], list[str]]:
    """Return a callback that accepts some of some words."""

    def check(values: list[str]) -> list[str]:
        for value in values:
            one_of(offered)(value)
        return values

    return check


def number_of(words: Words, word: str) -> int:
    """Return the API's number for a word of the command line that was accepted."""
    number: int = words.number_of(word.replace("-", "_"))
    return number


def parse_numbers(pairs: Sequence[str]) -> dict[str, float]:
    """Read ``NAME=NUMBER`` pairs.

    Raises:
        ValueError: One is malformed, or a name comes twice.
    """
    return {name: _number(value) for name, value in _pairs(pairs, "NAME=NUMBER").items()}


def parse_questions(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=QUESTION`` pairs; the question may hold further equals signs.

    Raises:
        ValueError: One is malformed, or a name comes twice.
    """
    return _pairs(pairs, "NAME=QUESTION")


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` pairs.

    Raises:
        ValueError: One is malformed, or a key comes twice.
    """
    return _pairs(pairs, "KEY=VALUE")


def _pairs(pairs: Sequence[str], form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ValueError(f"{pair!r} is not of the form {form}")
        if name in found:
            raise ValueError(f"{name!r} is given twice")
        found[name] = value
    return found


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None


def _tried(parse: Callable[[T], object], value: T) -> None:
    try:
        parse(value)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
