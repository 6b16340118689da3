"""Groups of options that several commands share, declared once.

A command names a group as the default of a parameter. `grouped` puts the group's options in its place, and hands the
command one object made of their values::

    @app.command()
    @grouped
    def cancel(search_id: options.SearchId, via: Connection = CONNECTION) -> None: ...
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Group:
    """Options, and what becomes of their values.

    Args:
        parameters: The options as parameters of a function.
        gather: Makes the object that the command gets of their values, by name.
    """

    parameters: Mapping[str, inspect.Parameter]
    gather: Callable[[dict[str, Any]], Any]

    @classmethod
    def of(cls, declared: Callable[..., Any], gather: Callable[[dict[str, Any]], Any]) -> Any:
        """Make a group of a function's parameters. Typed as Any: it is the default of a parameter of another type."""
        return cls(inspect.signature(declared).parameters, gather)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Expand the groups among a command's parameters.

    Arguments and required options come first, whichever group they are of.
    """
    own = inspect.signature(command).parameters
    groups = {name: one.default for name, one in own.items() if isinstance(one.default, Group)}

    def run(**given: Any) -> None:
        objects = {
            name: group.gather({option: given.pop(option) for option in group.parameters})
            for name, group in groups.items()
        }
        command(**given, **objects)

    parameters = _expanded(own, groups)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _expanded(own: Mapping[str, inspect.Parameter], groups: Mapping[str, Group]) -> list[inspect.Parameter]:
    found: list[inspect.Parameter] = []
    for name, one in own.items():
        found += groups[name].parameters.values() if name in groups else [one]
    return [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found]
