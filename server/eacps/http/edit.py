"""The search that a form asks for."""

from datetime import timedelta

from eacps.errors import InvalidPicture
from eacps.http.errors import HttpError
from eacps.http.fields import TRAJECTORIES, EditFields
from eacps.http.mask import mask_of
from eacps.v1 import search_service_pb2 as pb

USER_LABEL = "user"


def edit_request(fields: EditFields, request_id: str, most_s: float) -> pb.RunSearchRequest:
    """Return the request of a search.

    Args:
        fields: What is asked for. Decodes the mask.
        request_id: The caller's name for it; with one, the search goes on when the caller leaves.
        most_s: Longest time that it may run.

    Raises:
        HttpError: The mask is at fault.
    """
    request = pb.RunSearchRequest()
    request.CopyFrom(fields.search)
    scene, character, *references = fields.images
    request.scene.data, request.character.data = scene, character
    request.references.extend(pb.Image(data=data) for data in references)
    request.prompt = fields.prompt
    if fields.mask is not None:
        try:
            request.mask.data = mask_of(fields.mask)
        except InvalidPicture as exc:
            raise HttpError(400, f"Invalid 'mask': the picture {exc}", code="invalid_mask", param="mask") from exc
    if request.search.WhichOneof("strategy") is None and fields.quality is not None:
        request.search.eacps_adaptive.trajectories = TRAJECTORIES[fields.quality]
    budget = request.budget
    if not budget.HasField("wall_time") or budget.wall_time.ToTimedelta() > timedelta(seconds=most_s):
        budget.wall_time.FromTimedelta(timedelta(seconds=most_s))
    if fields.user:
        request.labels[USER_LABEL] = fields.user
    request.request_id, request.detach = request_id, bool(request_id)
    return request
