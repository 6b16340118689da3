"""The fields of POST /v1/images/edits, checked one by one."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf import json_format

from eacps.errors import InvalidPicture
from eacps.http.errors import HttpError
from eacps.http.form import Form
from eacps.http.output import Output, size_for, upright_size
from eacps.v1 import search_service_pb2 as pb

T = TypeVar("T")
TRAJECTORIES = {"low": 16, "medium": 32, "high": 64, "xhigh": 128, "max": 256}
"""What a search costs, by OpenAI's word for quality."""
DEFAULT_QUALITY = "medium"
"""What a search costs by the search server's own default, which is left as it is where nothing is said."""
_QUALITIES = {"auto": None, "standard": None} | {name: name for name in TRAJECTORIES}
_IMAGES, _MASKS = ("image", "image[]"), ("mask",)
_FIXED = {
    "response_format": (("b64_json",), "a URL that opens without a key would give the picture to others"),
    "background": (("auto",), "the result has the background of the scene"),
    "input_fidelity": (("high",), "the person's face always counts"),
}
"""Fields with one possible value, and why."""
_GIVEN = ("scene", "character", "references", "mask", "prompt", "request_id", "detach")
"""Fields of the search that the form itself gives."""
_NAMES = {
    *_FIXED,
    *("prompt", "model", "n", "size", "quality", "output_format", "output_compression", "stream", "partial_images"),
    *("user", "safety_identifier", "eacps"),
}
MAX_PICTURES, MAX_PARTIAL = 10, 3
_LEAST_SIDE, _MOST_SIDE = 16, 8192
_MOST_PIXELS = 200_000_000
"""Of all pictures of a response."""


@dataclass(frozen=True)
class EditFields:
    """A checked form.

    Args:
        images: Scene, character and references, encoded; at least two.
        mask: In OpenAI's form; None if there is none.
        prompt: The edit in words.
        model: As asked for; None if it was not.
        n: Number of pictures to return.
        output: How to return them.
        quality: Key of `TRAJECTORIES`; None for the search server's default.
        stream: Whether to return events.
        partial_images: How many pictures to send before the last ones.
        user: Whom the request is for; empty if that was not said.
        search: Everything else that a search may be asked for.
        size: Of the pictures returned, width and height.
    """

    images: Sequence[bytes]
    mask: bytes | None
    prompt: str
    model: str | None
    n: int
    output: Output
    quality: str | None
    stream: bool
    partial_images: int
    user: str
    search: pb.RunSearchRequest
    size: tuple[int, int]


def fields_of(form: Form) -> EditFields:
    """Check a form.

    Raises:
        HttpError: A field is at fault; the first one is named.
    """
    _check_names(form)
    images = [data for name in _IMAGES for data in form.files.get(name, [])]
    if len(images) < 2:
        message = f"{len(images)} of at least 2 pictures: 'image[]' takes the scene, then the person, then references."
        raise HttpError(400, message, code="missing_required_parameter", param="image")
    masks = form.files.get("mask", [])
    if len(masks) > 1:
        raise HttpError(400, "Only one mask is accepted.", param="mask")
    for name, (values, why) in _FIXED.items():
        if _text(form, name, values[0]) not in values:
            raise HttpError(400, f"Only '{values[0]}' is accepted: {why}.", code="unsupported_value", param=name)
    if not (prompt := _text(form, "prompt", "")):
        raise HttpError(400, "Missing required parameter: 'prompt'.", code="missing_required_parameter", param="prompt")
    quality = _QUALITIES[_word(form, "quality", "auto", tuple(_QUALITIES))]
    output, size = _output(form, images[0])
    n = _whole(form, "n", 1, 1, MAX_PICTURES)
    if n * size[0] * size[1] > _MOST_PIXELS:
        raise HttpError(400, f"{n} pictures of {size[0]}x{size[1]} are too many for one response.", param="n")
    return EditFields(
        images=images,
        mask=masks[0] if masks else None,
        prompt=prompt,
        model=_text(form, "model", "") or None,
        n=n,
        output=output,
        quality=quality,
        stream=_word(form, "stream", "false", ("true", "false")) == "true",
        partial_images=_whole(form, "partial_images", 0, 0, MAX_PARTIAL),
        user=_text(form, "safety_identifier", "") or _text(form, "user", ""),
        search=_search(_text(form, "eacps", "")),
        size=size,
    )


def _check_names(form: Form) -> None:
    for name in form.files:
        if name not in (*_IMAGES, *_MASKS):
            raise _unknown(name)
    for name, values in form.texts.items():
        if name in (*_IMAGES, *_MASKS):
            message = f"'{name}' must be a file: send it with a file name."
            raise HttpError(400, message, code="invalid_type", param=name.removesuffix("[]"))
        if name not in _NAMES:
            raise _unknown(name)
        if len(values) > 1:
            raise HttpError(400, f"Duplicate parameter: '{name}'.", code="duplicate_parameter", param=name)


def _unknown(name: str) -> HttpError:
    hint = " Send 'eacps' as one field of JSON." if name.startswith("eacps") else ""
    shown = name[:100]
    return HttpError(400, f"Unknown parameter: '{shown}'.{hint}", code="unknown_parameter", param=shown)


def _text(form: Form, name: str, default: str) -> str:
    return form.texts.get(name, [default])[0]


def _word(form: Form, name: str, default: str, words: Sequence[str]) -> str:
    value = _text(form, name, default)
    if value not in words:
        message = f"Invalid value: '{value[:100]}'. Supported values are: {', '.join(map(repr, words))}."
        raise HttpError(400, message, code="invalid_value", param=name)
    return value


def _whole(form: Form, name: str, default: int, least: int, most: int) -> int:
    text = _text(form, name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise HttpError(400, f"'{name}' must be a whole number.", code="invalid_type", param=name)
    value = int(text)
    if not least <= value <= most:
        code = "integer_below_min_value" if value < least else "integer_above_max_value"
        raise HttpError(400, f"'{name}' is {value}; it must be {least} to {most}.", code=code, param=name)
    return value


def _output(form: Form, scene: bytes) -> tuple[Output, tuple[int, int]]:
    """Return how to return pictures, and how large they are."""
    wanted, kind = _text(form, "size", "auto"), _word(form, "output_format", "png", ("png", "jpeg", "webp"))
    quality = _whole(form, "output_compression", 100, 0, 100)
    upright = _naming("image", lambda: upright_size(scene))
    if wanted == "auto":
        return Output(kind, None, quality), upright
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", wanted)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(_LEAST_SIDE <= side <= _MOST_SIDE for side in size):
        message = f"Invalid value: '{wanted[:100]}'. It must be 'auto' or WIDTHxHEIGHT, {_LEAST_SIDE} to {_MOST_SIDE}."
        raise HttpError(400, message, param="size")
    return Output(kind, _naming("size", lambda: size_for(size, upright)), quality), size


def _naming(param: str, work: Callable[[], T]) -> T:
    """Do work on a picture; what is wrong with it is an error of a field."""
    try:
        return work()
    except InvalidPicture as exc:
        raise HttpError(400, f"Invalid '{param}': the picture {exc}", code="invalid_image", param=param) from exc


def _search(text: str) -> pb.RunSearchRequest:
    """Read the extension: a RunSearchRequest in JSON, without what the form itself gives."""
    search = pb.RunSearchRequest()
    if not text:
        return search
    try:
        json_format.Parse(text, search, max_recursion_depth=20)
    except json_format.ParseError as exc:
        raise HttpError(400, f"Invalid 'eacps': {exc}", code="invalid_json", param="eacps") from exc
    given = [descriptor.name for descriptor, _ in search.ListFields() if descriptor.name in _GIVEN]
    if given:
        message = f"Invalid 'eacps': '{given[0]}' is given by the form itself."
        raise HttpError(400, message, param="eacps")
    return search
