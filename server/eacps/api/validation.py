"""From a request on the wire to a plan that may be trusted. Every field at fault is named, not only the first.

Ranges and defaults are those that the comments in ``search_service.proto`` state.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypedDict

from eacps.api.faults import Faults
from eacps.errors import InvalidPicture, InvalidRequest, InvalidSearchSpec
from eacps.evaluation.plan import SearchPlan
from eacps.imaging import Limits, Mask, Picture, decode_mask, decode_picture
from eacps.search.potential import Weights
from eacps.search.spec import (
    DEFAULT_ANGLE_RAD,
    DEFAULT_CANDIDATES,
    DEFAULT_CHILDREN,
    DEFAULT_DECAY,
    DEFAULT_OFFSET_RADIUS,
    DEFAULT_PARENTS,
    DEFAULT_ROUNDS,
    MIN_ANGLE_RAD,
    BestOfNSpec,
    EacpsSpec,
    LocalMove,
    SearchSpec,
    SeedOffset,
    SphericalMove,
)
from eacps.tensors import MAX_FACES
from eacps.v1 import search_service_pb2 as pb

MAX_PROMPT_CHARACTERS = 2000
MAX_SCORERS = 16
MAX_MICRO_BATCH = 16
# Marks of the text encoder's chat form: within a prompt they would be read as structure, not as words.
RESERVED_MARK = re.compile(r"<\|\w+\|>")
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType({"identity": 0.5, "realism": 0.3, "prompt": 0.2})

# Where the search core's own checks point, in terms of the request.
_SPEC_FIELDS = {
    "seed": "random_seed",
    "candidates": "global_candidates",
    "rounds": "local_rounds",
    "local.angle": "angle",
    "local.decay": "angle_decay",
    "local.radius": "seed_radius",
}


@dataclass(frozen=True)
class Rules:
    """What this server accepts.

    Args:
        scorers: Names of the scorers it offers.
        default_weights: Weights where the request names no scorer; a subset of ``scorers``.
        pictures: Bounds on every picture.
    """

    scorers: frozenset[str]
    default_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    pictures: Limits = field(default_factory=Limits)


def plan_of(request: pb.RunSearchRequest, rules: Rules, *, search_id: str, drawn_seed: int) -> SearchPlan:
    """Check a request and decode its pictures. Takes as long as decoding does: keep it off the event loop.

    Args:
        request: As it came.
        rules: What is accepted.
        search_id: Of the search to be.
        drawn_seed: Takes the place of ``search.random_seed`` where the request has none; in ``[0, 2**32)``.

    Raises:
        InvalidRequest: Names every field at fault.
    """
    faults = Faults()
    scene = _picture(faults, request, "scene", rules.pictures)
    character = _picture(faults, request, "character", rules.pictures)
    mask = _mask(faults, request, scene, rules.pictures)
    spec = _spec(faults, request.search, drawn_seed)
    weights = _weights(faults, request, rules)
    settings = _settings(faults, request)
    if faults.found or scene is None or character is None or spec is None or weights is None:
        raise InvalidRequest(faults.found)
    return SearchPlan(search_id, scene, character, spec=spec, weights=weights, mask=mask, **settings)


class _Settings(TypedDict):
    """The fields of a plan that are plain values."""

    prompt: str
    negative_prompt: str | None
    steps: int | None
    true_cfg_scale: float
    character_as_reference: bool
    scene_face: int
    character_face: int
    micro_batch: int


def _settings(faults: Faults, request: pb.RunSearchRequest) -> _Settings:
    negative = request.negative_prompt if request.HasField("negative_prompt") else None
    return {
        "prompt": _text(faults, "prompt", request.prompt),
        "negative_prompt": None if negative is None else _text(faults, "negative_prompt", negative, blank=True),
        "steps": faults.count(request.sampler, "sampler.steps", 1, 100, default=0) or None,
        "true_cfg_scale": faults.real(request.sampler, "sampler.true_cfg_scale", 1.0, 20.0, default=1.0),
        "character_as_reference": request.sampler.character_as_reference,
        "scene_face": faults.count(request, "scene_face", 0, MAX_FACES - 1, default=-1),
        "character_face": faults.count(request, "character_face", 0, MAX_FACES - 1, default=-1),
        "micro_batch": faults.count(request.search, "search.micro_batch", 1, MAX_MICRO_BATCH, default=8),
    }


def _picture(faults: Faults, request: pb.RunSearchRequest, name: str, limits: Limits) -> Picture | None:
    if not request.HasField(name):
        faults.add(name, "is required")
        return None
    try:
        return decode_picture(getattr(request, name).data, limits)
    except InvalidPicture as exc:
        faults.add(f"{name}.data", str(exc))
        return None


def _mask(faults: Faults, request: pb.RunSearchRequest, scene: Picture | None, limits: Limits) -> Mask | None:
    if not request.HasField("mask"):
        return None
    try:
        mask = decode_mask(request.mask.data, limits)
    except InvalidPicture as exc:
        faults.add("mask.data", str(exc))
        return None
    if scene is not None and mask.shape != scene.shape[:2]:
        (height, width), (scene_height, scene_width) = mask.shape, scene.shape[:2]
        faults.add("mask.data", f"is {width}x{height}, the scene {scene_width}x{scene_height}; they must be equal")
    elif not mask.any():
        faults.add("mask.data", "is black everywhere: nothing may change")
    return mask


def _text(faults: Faults, name: str, text: str, *, blank: bool = False) -> str:
    # A negative prompt of one space is the usual way to ask for plain guidance.
    if not (text if blank else text.strip()):
        faults.add(name, "is empty")
    elif len(text) > MAX_PROMPT_CHARACTERS:
        faults.add(name, f"has {len(text)} characters; at most {MAX_PROMPT_CHARACTERS} are accepted")
    elif mark := RESERVED_MARK.search(text):
        faults.add(name, f"holds the reserved mark {mark.group()[:40]}")
    return text


def _spec(faults: Faults, search: pb.SearchSettings, drawn_seed: int) -> SearchSpec | None:
    before = len(faults.found)
    if search.strategy not in pb.Strategy.values():
        faults.add("search.strategy", f"{int(search.strategy)} is not known")
    candidates = faults.count(search, "search.global_candidates", 1, 512, default=DEFAULT_CANDIDATES)
    parents = faults.count(search, "search.parents", 1, 64, default=DEFAULT_PARENTS)
    children = faults.count(search, "search.children_per_parent", 1, 64, default=DEFAULT_CHILDREN)
    rounds = faults.count(search, "search.local_rounds", 0, 16, default=DEFAULT_ROUNDS)
    local = _local_move(faults, search)
    if len(faults.found) > before:
        return None
    seed = search.random_seed if search.HasField("random_seed") else drawn_seed
    first = search.first_seed if search.HasField("first_seed") else None
    try:
        if search.strategy == pb.STRATEGY_BEST_OF_N:
            return BestOfNSpec(seed, candidates, first)
        # Defaults never contradict what the caller did say.
        parents = parents if search.HasField("parents") else min(parents, candidates)
        return EacpsSpec(seed, candidates, parents, children, rounds, local, first)
    except InvalidSearchSpec as exc:
        for violation in exc.violations:
            faults.add(f"search.{_SPEC_FIELDS.get(violation.field, violation.field)}", violation.description)
        return None


def _local_move(faults: Faults, search: pb.SearchSettings) -> LocalMove:
    if search.local_move not in pb.LocalMove.values():
        faults.add("search.local_move", f"{int(search.local_move)} is not known")
    angle = faults.real(search, "search.angle", MIN_ANGLE_RAD, math.pi / 2, default=DEFAULT_ANGLE_RAD)
    decay = faults.real(search, "search.angle_decay", 0.0, 1.0, default=DEFAULT_DECAY, above=True)
    radius = faults.count(search, "search.seed_radius", 1, 2**31 - 1, default=DEFAULT_OFFSET_RADIUS)
    if search.local_move != pb.LOCAL_MOVE_SEED_OFFSET:
        return SphericalMove(angle, decay)
    return SeedOffset(radius)


def _weights(faults: Faults, request: pb.RunSearchRequest, rules: Rules) -> Weights | None:
    if not request.scorers:
        return Weights(dict(rules.default_weights))
    if len(request.scorers) > MAX_SCORERS:
        faults.add("scorers", f"are {len(request.scorers)}; at most {MAX_SCORERS} are accepted")
        return None
    before, raw = len(faults.found), {}
    for index, scorer in enumerate(request.scorers):
        if scorer.name not in rules.scorers:
            offered = ", ".join(sorted(rules.scorers))
            faults.add(f"scorers[{index}].name", f"{scorer.name[:40]!r} is not offered; there are {offered}")
        elif scorer.name in raw:
            faults.add(f"scorers[{index}].name", f"{scorer.name!r} is named twice")
        if not (math.isfinite(scorer.weight) and scorer.weight >= 0):
            faults.add(f"scorers[{index}].weight", f"is {scorer.weight}, not a finite number of at least 0")
        raw[scorer.name] = scorer.weight
    if len(faults.found) > before:
        return None
    if not any(weight > 0 for weight in raw.values()):
        faults.add("scorers", "have no weight above 0")
        return None
    return Weights(raw)
