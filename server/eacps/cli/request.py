"""Options of a search to the request that says so; what an option leaves open is left to the server."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.v1 import search_service_pb2 as pb


class StrategyName(StrEnum):
    """How a search chooses noise."""

    ADAPTIVE = "adaptive"
    EACPS = "eacps"
    BEST_OF_N = "best-of-n"


class LocalMoveName(StrEnum):
    """How a child's noise comes from its parent's."""

    SPHERICAL = "spherical"
    SEED_OFFSET = "seed-offset"


_STRATEGIES = {
    StrategyName.ADAPTIVE: pb.STRATEGY_EACPS_ADAPTIVE,
    StrategyName.EACPS: pb.STRATEGY_EACPS,
    StrategyName.BEST_OF_N: pb.STRATEGY_BEST_OF_N,
}
_MOVES = {
    LocalMoveName.SPHERICAL: pb.LOCAL_MOVE_SPHERICAL,
    LocalMoveName.SEED_OFFSET: pb.LOCAL_MOVE_SEED_OFFSET,
}


@dataclass(frozen=True)
class SearchOptions:
    """What was asked for on the command line; None leaves a setting to the server. Fields as in the request."""

    scene: Path
    character: Path
    prompt: str
    mask: Path | None = None
    negative_prompt: str | None = None
    scene_face: int | None = None
    character_face: int | None = None
    sampler: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def build_request(options: SearchOptions) -> pb.RunSearchRequest:
    """Read the pictures and put the request together.

    Raises:
        CommandFailed: A picture cannot be read.
    """
    search = {name: value for name, value in options.search.items() if value is not None}
    if "strategy" in search:
        search["strategy"] = _STRATEGIES[search["strategy"]]
    if "local_move" in search:
        search["local_move"] = _MOVES[search["local_move"]]
    return pb.RunSearchRequest(
        scene=_image(options.scene),
        character=_image(options.character),
        mask=None if options.mask is None else _image(options.mask),
        prompt=options.prompt,
        negative_prompt=options.negative_prompt,
        scene_face=options.scene_face,
        character_face=options.character_face,
        sampler=pb.SamplerSettings(**{name: value for name, value in options.sampler.items() if value is not None}),
        search=pb.SearchSettings(**search),
        scorers=[pb.ScorerSettings(name=name, weight=weight) for name, weight in options.weights.items()],
    )


def parse_weights(texts: list[str]) -> dict[str, float]:
    """Read ``NAME=NUMBER`` pairs.

    Raises:
        ValueError: One is malformed, or a name comes twice.
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not name or not equals:
            raise ValueError(f"{text!r} is not of the form NAME=NUMBER")
        if name in weights:
            raise ValueError(f"{name!r} is given twice")
        try:
            weights[name] = float(number)
        except ValueError:
            raise ValueError(f"{number!r} is not a number") from None
    return weights


def describe_pictures(request: pb.RunSearchRequest) -> dict[str, Any]:
    """Names the pictures of a request by content: SHA-256 and bytes of the encoded files. Never the pictures."""
    present = (name for name in ("scene", "character", "mask") if request.HasField(name))
    files = {name: getattr(request, name).data for name in present}
    return {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}


def _image(path: Path) -> pb.Image:
    try:
        return pb.Image(data=path.read_bytes())
    except OSError as exc:
        raise CommandFailed(f"cannot read {path}: {exc.strerror}", ExitCode.REQUEST, code="UNREADABLE_FILE") from exc
