"""Converts options to search settings: which strategy is meant, and which options are settings of it.

Options are named as on the command line, with underscores. An option of another strategy is an error.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.enums import LOCAL_MOVE, STRATEGY
from eacps.v1 import search_service_pb2 as pb

_COMMON = {"seed": "random_seed", "first_seed": "first_seed", "micro_batch": "micro_batch"}
_OF_STRATEGIES = {
    "trajectories": ("eacps_adaptive.trajectories", "best_of_n.trajectories"),
    "global_candidates": ("eacps.global_candidates",),
    "parents": ("eacps.parents",),
    "children": ("eacps.children_per_parent",),
    "rounds": ("eacps.local_rounds",),
    "local_move": tuple(f"eacps.{word}" for word in LOCAL_MOVE.words),
    "angle": ("eacps.spherical.angle",),
    "angle_decay": ("eacps.spherical.angle_decay",),
    "seed_radius": ("eacps.seed_offset.radius",),
}
"""Fields of the search settings by option. A new strategy adds its fields here."""


def search_settings(options: Mapping[str, Any]) -> pb.SearchSettings:
    """Build the settings from the options that are given, those that are not None.

    Raises:
        CommandFailed: Options contradict each other.
    """
    given = {name: value for name, value in options.items() if value is not None}
    settings = pb.SearchSettings(**{_COMMON[name]: value for name, value in given.items() if name in _COMMON})
    named = given.get("strategy")
    mine = {name: value for name, value in given.items() if name in _OF_STRATEGIES}
    if named is None and not mine:
        return settings
    strategy = _word(named) if named is not None else _meant(mine)
    getattr(settings, strategy).SetInParent()
    for name, value in mine.items():
        _set(settings, strategy, name, value)
    return settings


def _meant(options: Mapping[str, Any]) -> str:
    """Return the first strategy that has all of these options."""
    for strategy in STRATEGY.words:
        if all(_paths(name, strategy) for name in options):
            return strategy
    names = " and ".join(_option(name) for name in options)
    raise CommandFailed(f"no strategy has all of {names}", ExitCode.REQUEST, code="STRATEGY")


def _set(settings: pb.SearchSettings, strategy: str, name: str, value: Any) -> None:
    paths = _paths(name, strategy)
    if not paths:
        text = f"{_option(name)} is no option of --strategy {strategy.replace('_', '-')}"
        raise CommandFailed(text, ExitCode.REQUEST, code="STRATEGY")
    if name == "local_move":
        getattr(settings.eacps, _word(value)).SetInParent()
        return
    *parents, field = paths[0].split(".")
    message: Message = settings
    for parent in parents:
        _check_oneof(message, parent, name)
        message = getattr(message, parent)
    setattr(message, field, value)


def _check_oneof(message: Message, field: str, name: str) -> None:
    """Refuse an option that contradicts another one."""
    oneof = message.DESCRIPTOR.fields_by_name[field].containing_oneof
    chosen = None if oneof is None else message.WhichOneof(oneof.name)
    if chosen not in (None, field):
        text = f"{_option(name)} contradicts {chosen.replace('_', '-')}, which another option asks for"
        raise CommandFailed(text, ExitCode.REQUEST, code="STRATEGY")


def _paths(name: str, strategy: str) -> list[str]:
    return [path for path in _OF_STRATEGIES[name] if path.startswith(f"{strategy}.")]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _word(text: str) -> str:
    return text.replace("-", "_")
