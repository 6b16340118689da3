"""Declares options, with ranges, defaults and words of the API's own tables."""

from typing import Any

import typer

from eacps.cli.parsing import one_of, sendable, shown
from eacps.enums import Oneof, Words
from eacps.limits import RANGES

_SHOWN_UP_TO = 10_000
"""A bound beyond this is one of representation, and nothing that a person has to know."""


def option(help_text: str, *names: str, default: str | None = None, panel: str | None = None, **more: Any) -> Any:
    """Declare an option.

    Args:
        help_text: A sentence.
        names: If it is not called as the parameter is.
        default: What is taken without it, for the help text.
        panel: Heading under which the help lists it.
        more: See `typer.Option`.
    """
    text = help_text if default is None else f"{help_text} \\[default: {default}]"
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def number(path: str, help_text: str, *names: str, default: str | None = None, panel: str | None = None) -> Any:
    """Declare a number of the API, and tell its range and default; see `eacps.limits.RANGES`.

    Args:
        path: Of the field in the request.
        help_text: A sentence.
        names: If it is not called as the parameter is.
        default: For a field whose default is no number.
        panel: Heading under which the help lists it.
    """
    accepted = RANGES[path]
    default = default if accepted.default is None else f"{accepted.default:g}"
    text = help_text if accepted.most > _SHOWN_UP_TO else f"{help_text} It lies in {accepted}."
    metavar = "N" if isinstance(accepted.least, int) else "X"
    return option(
        text.replace("[", "\\["), *names, default=default, panel=panel, metavar=metavar, callback=sendable(accepted)
    )


def choice(words: Words | Oneof, help_text: str, *names: str, panel: str | None = None) -> Any:
    """Declare an enum or a oneof of the API."""
    default = None if words.default is None else words.default.replace("_", "-")
    offered = shown(words)
    return option(help_text, *names, default=default, panel=panel, metavar="|".join(offered), callback=one_of(offered))
