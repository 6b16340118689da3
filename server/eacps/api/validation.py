"""From a request on the wire to a plan that may be trusted. Every field at fault is named, not only the first.

Ranges and defaults are those that the comments in ``search_service.proto`` state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypedDict, TypeVar

from eacps.api.faults import Faults
from eacps.api.people import people_of
from eacps.api.questions import RESERVED_MARK, questions_of
from eacps.api.search_settings import (
    DEFAULT_SCORE_REPEATS,
    MAX_SCORE_REPEATS,
    budget_of,
    objective_of,
    spec_of,
)
from eacps.errors import FieldViolation, InvalidPicture, InvalidRequest, InvalidSearchSpec
from eacps.evaluation.plan import SearchPlan
from eacps.imaging import Framing, Limits, Mask, Picture, decode_picture, mask_of
from eacps.search.recipe import Recipe
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import copy_fields

T = TypeVar("T")
MAX_PROMPT_CHARACTERS = 2000
MAX_MICRO_BATCH = 16
MAX_SCORED_IMAGES = 16
_UNUSED_PROMPT = "none"  # a prior is made without one
_FACES = ("scene_face", "character_face", "scene_face_by", "character_face_by", "more_characters")
_FRAMINGS = {
    pb.FRAMING_UNSPECIFIED: Framing.AUTO,
    pb.FRAMING_AUTO: Framing.AUTO,
    pb.FRAMING_WHOLE: Framing.WHOLE,
    pb.FRAMING_FACE: Framing.FACE,
}
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType({"identity": 0.5, "realism": 0.3, "prompt": 0.2})


@dataclass(frozen=True)
class Rules:
    """What this server accepts.

    Args:
        scorers: Names of the scorers it offers.
        default_weights: Weights where the request names no scorer; a subset of ``scorers``.
        default_held_out: Scorers that are then reported beside them; a subset of ``scorers`` too.
        pictures: Bounds on every picture within a request.
        uploads: Bounds on every picture that was uploaded.
        decode: How pictures are decoded; see `eacps.imaging.decode_picture`.
        judges: Whom callers may ask questions of their own.
    """

    scorers: frozenset[str]
    default_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    default_held_out: frozenset[str] = frozenset()
    pictures: Limits = field(default_factory=Limits)
    uploads: Limits = field(default_factory=lambda: Limits(max_bytes=64 * 2**20))
    decode: Callable[[bytes, Limits], Picture] = decode_picture
    judges: frozenset[str] = frozenset()

    def picture_of(self, image: pb.Image) -> Picture:
        """Decode a picture, within the bounds of the way it came.

        Raises:
            InvalidPicture: It is none, or out of bounds.
        """
        return self.decode(image.data, self.uploads if image.artifact else self.pictures)


def gathered(known: Sequence[FieldViolation], check: Callable[[], T]) -> T:
    """Check a request of which some fields are known to be at fault, so that all faults are named together.

    Args:
        known: Faults found already; what ``check`` says of the same fields or of their parts is left out.
        check: Gives what the request asks for, or raises `InvalidRequest`.

    Raises:
        InvalidRequest: Names every field at fault.
    """
    try:
        result = check()
    except InvalidRequest as exc:
        said = tuple(f"{head}." for head, dot, _ in (fault.field.rpartition(".") for fault in known) if dot)
        others = [one for one in exc.violations if not (said and one.field.startswith(said))]
        raise InvalidRequest([*known, *others]) from exc
    if known:
        raise InvalidRequest(known)
    return result


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
    scene = _picture(faults, request, "scene", rules)
    character = _picture(faults, request, "character", rules)
    mask = _mask(faults, request, scene, rules)
    spec = spec_of(faults, request.search, drawn_seed)
    questions = questions_of(faults, request.scorers, rules.scorers, rules.judges)
    offered = rules.scorers | questions.keys()
    objective = objective_of(faults, request, offered, rules.default_weights, rules.default_held_out)
    budget = budget_of(faults, request)
    settings = _settings(faults, request)
    people = people_of(
        faults, request, rules.picture_of, character_shown=settings["character_as_reference"] is not False
    )
    if faults.found or scene is None or character is None or spec is None or objective is None:
        raise InvalidRequest(faults.found)
    return SearchPlan(
        search_id,
        scene,
        character,
        spec=spec,
        objective=objective,
        budget=budget,
        mask=mask,
        questions=questions,
        **settings,
        **people,
    )


def prior_plan_of(request: pb.PreparePriorRequest, rules: Rules, *, call_id: str) -> SearchPlan:
    """Check a request for a prior; otherwise as `plan_of`."""
    search = pb.RunSearchRequest(prompt=_UNUSED_PROMPT)
    copy_fields(request, search, ("scene", "character", "framing", *_FACES))
    return plan_of(search, rules, search_id=call_id, drawn_seed=0)


def render_plan_of(request: pb.RenderCandidateRequest, rules: Rules, *, call_id: str) -> tuple[SearchPlan, Recipe]:
    """Check a request for a picture, recipe included; otherwise as `plan_of`."""
    search = pb.RunSearchRequest(prompt=request.prompt)
    shared = ("scene", "character", "mask", "negative_prompt", "sampler", "references", "framing", *_FACES)
    copy_fields(request, search, shared)
    faults = Faults()
    recipe = None
    try:
        recipe = Recipe(tuple((term.seed, term.coefficient) for term in request.recipe.terms))
    except InvalidSearchSpec as exc:
        for violation in exc.violations:
            faults.add("recipe.terms", violation.description)
    plan = _plan_beside(faults, search, rules, call_id)
    if faults.found or plan is None or recipe is None:
        raise InvalidRequest(faults.found)
    return plan, recipe


def score_plan_of(request: pb.ScoreImagesRequest, rules: Rules, *, call_id: str) -> tuple[SearchPlan, list[Picture]]:
    """Check a request for scores, pictures included; otherwise as `plan_of`."""
    search = pb.RunSearchRequest(prompt=request.prompt, scorers=request.scorers, scalarisation=request.scalarisation)
    copy_fields(request, search, ("scene", "character", "mask", "framing", *_FACES))
    faults, pictures = Faults(), []
    if not 1 <= len(request.images) <= MAX_SCORED_IMAGES:
        faults.add("images", f"are {len(request.images)}, not 1 to {MAX_SCORED_IMAGES}")
    for place, image in enumerate(request.images[:MAX_SCORED_IMAGES]):
        try:
            pictures.append(rules.picture_of(image))
        except InvalidPicture as exc:
            faults.add(f"images[{place}].data", str(exc))
    plan = _plan_beside(faults, search, rules, call_id)
    if faults.found or plan is None:
        raise InvalidRequest(faults.found)
    return plan, pictures


def _plan_beside(faults: Faults, search: pb.RunSearchRequest, rules: Rules, call_id: str) -> SearchPlan | None:
    """Check what a request shares with a search, so that its faults are named beside the others."""
    try:
        return plan_of(search, rules, search_id=call_id, drawn_seed=0)
    except InvalidRequest as exc:
        for violation in exc.violations:
            faults.add(violation.field, violation.description)
        return None


class _Settings(TypedDict):
    """The fields of a plan that are plain values."""

    prompt: str
    negative_prompt: str | None
    steps: int | None
    true_cfg_scale: float
    character_as_reference: bool | None
    micro_batch: int
    score_repeats: int
    framing: Framing


def _settings(faults: Faults, request: pb.RunSearchRequest) -> _Settings:
    negative = request.negative_prompt if request.HasField("negative_prompt") else None
    return {
        "prompt": _text(faults, "prompt", request.prompt),
        "negative_prompt": None if negative is None else _text(faults, "negative_prompt", negative, blank=True),
        "steps": faults.count(request.sampler, "sampler.steps", 1, 100, default=0) or None,
        "true_cfg_scale": faults.real(request.sampler, "sampler.true_cfg_scale", 1.0, 20.0, default=1.0),
        "character_as_reference": _flag(request.sampler, "character_as_reference"),
        "micro_batch": faults.count(request.search, "search.micro_batch", 1, MAX_MICRO_BATCH, default=8),
        "score_repeats": faults.count(
            request.search, "search.score_repeats", 1, MAX_SCORE_REPEATS, default=DEFAULT_SCORE_REPEATS
        ),
        "framing": _framing(faults, request),
    }


def _framing(faults: Faults, request: pb.RunSearchRequest) -> Framing:
    if request.framing not in _FRAMINGS:
        faults.add("framing", f"{int(request.framing)} is not known")
    return _FRAMINGS.get(request.framing, Framing.AUTO)


def _flag(message: pb.SamplerSettings, name: str) -> bool | None:
    return bool(getattr(message, name)) if message.HasField(name) else None


def _picture(faults: Faults, request: pb.RunSearchRequest, name: str, rules: Rules) -> Picture | None:
    if not request.HasField(name):
        faults.add(name, "is required")
        return None
    image = getattr(request, name)
    try:
        return rules.picture_of(image)
    except InvalidPicture as exc:
        faults.add(f"{name}.data", str(exc))
        return None


def _mask(faults: Faults, request: pb.RunSearchRequest, scene: Picture | None, rules: Rules) -> Mask | None:
    if not request.HasField("mask"):
        return None
    try:
        mask = mask_of(rules.picture_of(request.mask))
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
