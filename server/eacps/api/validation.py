"""Checks requests and converts them to plans. All violations are reported, not only the first.

Ranges and defaults are those that the comments in ``search_service.proto`` state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, TypeVar

from google.protobuf.message import Message

from eacps.api.objectives import budget_of, objective_of
from eacps.api.priors import asked_prior_of
from eacps.api.questions import RESERVED_MARK, questions_of
from eacps.api.recipes import checked_recipe
from eacps.api.request_faces import request_faces_of
from eacps.api.request_pictures import DirectReader, PictureReader
from eacps.api.search_settings import spec_of
from eacps.api.violations import Violations
from eacps.arrays import Mask, Picture
from eacps.enums import FRAMING
from eacps.errors import FieldViolation, InvalidPicture, InvalidRequest
from eacps.evaluation.plan import SearchPictures, SearchPlan, SearchSettings
from eacps.imaging import Decoder, Limits, LocalDecoder
from eacps.limits import DEFAULT_WEIGHTS, MAX_PROMPT_CHARACTERS, MAX_SCORED_IMAGES, MAX_UPLOAD_BYTES
from eacps.scene.frame import Framing
from eacps.search.recipe import Recipe
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import copy_fields

T = TypeVar("T")
_UNUSED_PROMPT = "none"  # a prior is made without one
_FACES = ("scene_face", "character_face", "more_characters")


@dataclass(frozen=True)
class Rules:
    """What a server accepts.

    Args:
        scorers: Names of its scorers.
        default_weights: Weights for requests that name no scorer; a subset of ``scorers``.
        default_held_out: Scorers that are reported beside them; a subset of ``scorers``.
        pictures: Limits of a picture within a request.
        uploads: Limits of an uploaded picture.
        decoder: Decodes pictures for a `reader`.
        judges: Scorers that callers may ask questions of their own.
        face_swap: Whether priors can be made by face swap.
        negative_prompts: Whether negative prompts guide the checkpoint.
    """

    scorers: frozenset[str]
    default_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    default_held_out: frozenset[str] = frozenset()
    pictures: Limits = field(default_factory=Limits)
    uploads: Limits = field(default_factory=lambda: Limits(max_bytes=MAX_UPLOAD_BYTES))
    decoder: Decoder = field(default_factory=LocalDecoder)
    judges: frozenset[str] = frozenset()
    face_swap: bool = True
    negative_prompts: bool = True

    @property
    def reader(self) -> PictureReader:
        """Reader that decodes the pictures of a request when they are read."""
        return DirectReader(self.decoder, self.pictures, self.uploads)


def gathered(known: Sequence[FieldViolation], check: Callable[[], T]) -> T:
    """Check a request of which some fields are known to be invalid, so that all violations are named together.

    Args:
        known: Violations found already.
        check: Returns what the request asks for, or raises `InvalidRequest`.

    Raises:
        InvalidRequest: Names every invalid field.
    """
    try:
        result = check()
    except InvalidRequest as exc:
        raise InvalidRequest([*known, *exc.violations]) from exc
    if known:
        raise InvalidRequest(known)
    return result


def plan_of(
    request: pb.RunSearchRequest,
    rules: Rules,
    *,
    search_id: str,
    drawn_seed: int,
    reader: PictureReader | None = None,
    accepted_before: bool = False,
) -> SearchPlan:
    """Check a request. Blocks while its pictures are read.

    Args:
        request: As it came.
        rules: What the server accepts.
        search_id: Id of the new search.
        drawn_seed: Seed for a request without ``search.random_seed``; in ``[0, 2**32)``.
        reader: Reads its pictures; None for the reader of ``rules``.
        accepted_before: Whether it is a stored request, which lowered limits do not refuse.

    Raises:
        InvalidRequest: Names every invalid field.
    """
    violations, reader = Violations(accepted_before=accepted_before), reader or rules.reader
    scene = _picture(violations, request, "scene", reader)
    character = _picture(violations, request, "character", reader)
    mask = _mask(violations, request, scene, reader)
    spec = spec_of(violations, request.search, drawn_seed)
    questions = questions_of(violations, request.scorers, rules.scorers, rules.judges)
    offered = rules.scorers | questions.keys()
    objective = objective_of(violations, request, offered, rules.default_weights, rules.default_held_out)
    budget = budget_of(violations, request)
    settings = _settings(violations, request)
    if not rules.negative_prompts and settings["negative_prompt"] is not None and settings["true_cfg_scale"] > 1.0:
        violations.add("negative_prompt", "cannot guide this checkpoint, into which guidance was distilled")
    character_shown = settings["character_as_reference"] is not False
    faces = request_faces_of(violations, request, reader, character_shown=character_shown)
    prior = asked_prior_of(violations, request, reader, face_swap=rules.face_swap)
    if violations.found or scene is None or character is None or spec is None or objective is None:
        raise InvalidRequest(violations.found)
    return SearchPlan(
        SearchSettings(
            search_id,
            spec=spec,
            objective=objective,
            budget=budget,
            questions=questions,
            prior=prior.mode,
            notes=tuple(f"{path} {note}" for path, notes in reader.notes.items() for note in notes),
            **settings,
        ),
        SearchPictures(
            scene,
            character,
            mask=mask,
            given_prior=prior.given,
            scene_file=reader.file("scene", request.scene),
            **faces,
        ),
    )


def face_picture_of(request: pb.DetectFacesRequest, reader: PictureReader) -> Picture:
    """Check a request for the faces of a picture.

    Raises:
        InvalidRequest: Names the invalid field.
    """
    violations = Violations()
    picture = _picture(violations, request, "picture", reader)
    if picture is None:
        raise InvalidRequest(violations.found)
    return picture


def prior_plan_of(request: pb.PreparePriorRequest, rules: Rules, reader: PictureReader, *, call_id: str) -> SearchPlan:
    """Check a request for a prior; otherwise as `plan_of`."""
    search = pb.RunSearchRequest(prompt=_UNUSED_PROMPT)
    copy_fields(request, search, ("scene", "character", "framing", "prior", *_FACES))
    return plan_of(search, rules, search_id=call_id, drawn_seed=0, reader=reader)


def render_plan_of(
    request: pb.RenderCandidateRequest, rules: Rules, reader: PictureReader, *, call_id: str
) -> tuple[SearchPlan, Recipe]:
    """Check a request for a picture, recipe included; otherwise as `plan_of`."""
    search = pb.RunSearchRequest(prompt=request.prompt)
    shared = ("scene", "character", "mask", "negative_prompt", "sampler", "references", "framing", "prior", *_FACES)
    copy_fields(request, search, shared)
    violations = Violations()
    recipe = checked_recipe(violations, request.recipe, "recipe")
    plan = _plan_beside(violations, search, rules, reader, call_id)
    if violations.found or plan is None or recipe is None:
        raise InvalidRequest(violations.found)
    return plan, recipe


def score_plan_of(
    request: pb.ScoreImagesRequest, rules: Rules, reader: PictureReader, *, call_id: str
) -> tuple[SearchPlan, list[Picture]]:
    """Check a request for scores, pictures included; otherwise as `plan_of`."""
    search = pb.RunSearchRequest(prompt=request.prompt, scorers=request.scorers, scalarization=request.scalarization)
    copy_fields(request, search, ("scene", "character", "mask", "framing", "prior", *_FACES))
    violations, pictures = Violations(), []
    if not 1 <= len(request.images) <= MAX_SCORED_IMAGES:
        violations.add("images", f"are {len(request.images)}, not 1 to {MAX_SCORED_IMAGES}")
    for index, image in enumerate(request.images[:MAX_SCORED_IMAGES]):
        try:
            pictures.append(reader.picture(f"images[{index}]", image))
        except InvalidPicture as exc:
            violations.add_picture(f"images[{index}]", exc)
    plan = _plan_beside(violations, search, rules, reader, call_id)
    if violations.found or plan is None:
        raise InvalidRequest(violations.found)
    return plan, pictures


def _plan_beside(
    violations: Violations, search: pb.RunSearchRequest, rules: Rules, reader: PictureReader, call_id: str
) -> SearchPlan | None:
    """Check what a request shares with a search, so that its violations are named beside the others."""
    try:
        return plan_of(search, rules, search_id=call_id, drawn_seed=0, reader=reader)
    except InvalidRequest as exc:
        for violation in exc.violations:
            violations.add(violation.field, violation.description)
        return None


class _Settings(TypedDict):
    """The fields of `SearchSettings` that are plain values."""

    prompt: str
    negative_prompt: str | None
    steps: int | None
    true_cfg_scale: float
    character_as_reference: bool | None
    micro_batch: int
    score_repeats: int
    framing: Framing


def _settings(violations: Violations, request: pb.RunSearchRequest) -> _Settings:
    negative = request.negative_prompt if request.HasField("negative_prompt") else None
    return {
        "prompt": _text(violations, "prompt", request.prompt),
        "negative_prompt": None if negative is None else _text(violations, "negative_prompt", negative, blank=True),
        "steps": violations.given_integer(request.sampler, "sampler.steps"),
        "true_cfg_scale": violations.real(request.sampler, "sampler.true_cfg_scale"),
        "character_as_reference": _flag(request.sampler, "character_as_reference"),
        "micro_batch": violations.integer(request.search, "search.micro_batch"),
        "score_repeats": violations.integer(request.search, "search.score_repeats"),
        "framing": violations.choice(request, "framing", FRAMING, Framing, default=Framing.AUTO),
    }


def _flag(message: pb.SamplerSettings, name: str) -> bool | None:
    return bool(getattr(message, name)) if message.HasField(name) else None


def _picture(violations: Violations, request: Message, name: str, reader: PictureReader) -> Picture | None:
    if not request.HasField(name):
        violations.add(name, "is required")
        return None
    try:
        return reader.picture(name, getattr(request, name))
    except InvalidPicture as exc:
        violations.add_picture(name, exc)
        return None


def _mask(
    violations: Violations, request: pb.RunSearchRequest, scene: Picture | None, reader: PictureReader
) -> Mask | None:
    if not request.HasField("mask"):
        return None
    try:
        mask = reader.mask("mask", request.mask)
    except InvalidPicture as exc:
        violations.add_picture("mask", exc)
        return None
    if scene is not None and mask.shape != scene.shape[:2]:
        (height, width), (scene_height, scene_width) = mask.shape, scene.shape[:2]
        violations.add("mask.data", f"is {width}x{height}, the scene {scene_width}x{scene_height}; they must be equal")
    return mask


def _text(violations: Violations, name: str, text: str, *, blank: bool = False) -> str:
    # A negative prompt of one space is the usual way to ask for plain guidance.
    if not (text if blank else text.strip()):
        violations.add(name, "is empty")
    elif len(text) > MAX_PROMPT_CHARACTERS:
        violations.add_limit(name, f"has {len(text)} characters; at most {MAX_PROMPT_CHARACTERS} are accepted")
    elif mark := RESERVED_MARK.search(text):
        violations.add(name, f"holds the reserved mark {mark.group()[:40]}")
    return text
