"""How the identity prior is made: the field of a request, checked, and what it says in the place of a default."""

from dataclasses import dataclass

from eacps.api.request_pictures import PictureReader
from eacps.api.violations import Violations
from eacps.arrays import Picture
from eacps.errors import InvalidPicture
from eacps.evaluation.plan import PriorMode
from eacps.evaluation.prepare import NO_SWAPPER
from eacps.v1 import search_service_pb2 as pb


@dataclass(frozen=True, eq=False)
class AskedPrior:
    """How the prior is made; ``given`` is the caller's picture for `PriorMode.GIVEN`."""

    mode: PriorMode
    given: Picture | None = None


def asked_prior_of(
    violations: Violations, request: pb.RunSearchRequest, reader: PictureReader, *, face_swap: bool
) -> AskedPrior:
    """Check the field.

    Args:
        violations: Collects what is wrong with them.
        request: As it came.
        reader: Of its pictures.
        face_swap: Whether a face swapper is served, which is then the default.
    """
    asked = request.prior.WhichOneof("by") if request.HasField("prior") else ("swap" if face_swap else "none")
    if asked is None:
        violations.add("prior", "sets neither swap nor none nor given")
        return AskedPrior(PriorMode.NONE)
    if asked == "swap" and not face_swap:
        violations.add("prior.swap", NO_SWAPPER)
    shown = request.sampler.character_as_reference or not request.sampler.HasField("character_as_reference")
    if asked == "none" and not shown:
        violations.add(
            "sampler.character_as_reference", "is false: without a prior the model sees the person nowhere else"
        )
    given = _given(violations, request.prior.given, reader) if asked == "given" else None
    return AskedPrior(PriorMode(asked), given)


def settings_of(mode: PriorMode) -> pb.PriorSettings:
    """Return the field of a request that asks for a prior without a picture.

    Raises:
        ValueError: It takes a picture.
    """
    match mode:
        case PriorMode.SWAP:
            return pb.PriorSettings(swap=pb.FaceSwap())
        case PriorMode.NONE:
            return pb.PriorSettings(none=pb.NoPrior())
        case PriorMode.GIVEN:
            raise ValueError("a given prior is a picture")


def _given(violations: Violations, image: pb.Image, reader: PictureReader) -> Picture | None:
    try:
        return reader.picture("prior.given", image)
    except InvalidPicture as exc:
        violations.add_picture("prior.given", exc)
        return None
