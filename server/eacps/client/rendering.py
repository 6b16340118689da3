"""From the request of a search to one for a single candidate of it."""

from eacps.v1 import search_service_pb2 as pb
from eacps.wire import copy_fields

_SHARED = (
    "scene",
    "character",
    "mask",
    "prompt",
    "negative_prompt",
    "sampler",
    "framing",
    "prior",
    "scene_face",
    "character_face",
    "more_characters",
    "references",
)
"""Fields that both requests have."""


def render_request(search: pb.RunSearchRequest, recipe: pb.Recipe) -> pb.RenderCandidateRequest:
    """Return the request that renders a candidate again, with the settings of its search.

    Args:
        search: Request of the search, as `AsyncClient.get` returns it.
        recipe: Noise of the candidate.
    """
    request = pb.RenderCandidateRequest(recipe=recipe)
    copy_fields(search, request, _SHARED)
    return request
