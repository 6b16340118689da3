"""More like this one: a search that begins around candidates of another one."""

from collections.abc import Sequence

from eacps.v1 import search_service_pb2 as pb


def variation_of(
    search: pb.Search, candidate_ids: Sequence[str], *, trajectories: int | None = None
) -> pb.RunSearchRequest:
    """Return a request for the same edit that begins around candidates of a search.

    Its random seed is drawn anew, so that it finds other pictures. Only adaptive searches can begin around candidates.

    Args:
        search: With its request, as `Client.get` returns it.
        candidate_ids: Candidates of it, at least one.
        trajectories: What the new search costs; None for the server's default, or what the adaptive search cost.
    """
    request = pb.RunSearchRequest()
    request.CopyFrom(search.request)
    for name in ("request_id", "detach"):
        request.ClearField(name)
    cost = trajectories or request.search.eacps_adaptive.trajectories or None
    settings = request.search
    for name in ("random_seed", "first_seed", "start"):
        settings.ClearField(name)
    if settings.WhichOneof("strategy") != "eacps_adaptive":
        settings.eacps_adaptive.SetInParent()
    if cost is not None:
        settings.eacps_adaptive.trajectories = cost
    for candidate_id in candidate_ids:
        reference = pb.CandidateReference(search_id=search.search_id, candidate_id=candidate_id)
        settings.start.add(candidate=reference)
    return request
