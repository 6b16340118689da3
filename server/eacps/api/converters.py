"""From the domain to the wire. What comes from the wire is `eacps.api.validation`'s."""

from collections.abc import Mapping
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from eacps.durable import SearchState, StoredSearch
from eacps.evaluation.single import PreparedPrior, RenderedCandidate, ScoredPictures
from eacps.evaluation.updates import (
    Box,
    CandidateScored,
    Evaluation,
    PriorReady,
    RoundFinished,
    SearchFinished,
    SearchStarted,
    SearchUpdate,
)
from eacps.search.budget import Spent, StopReason
from eacps.search.diversity import Diversity
from eacps.search.recipe import Recipe
from eacps.v1 import search_service_pb2 as pb

_STOP_REASONS = {
    StopReason.COMPLETED: pb.STOP_REASON_COMPLETED,
    StopReason.NFE: pb.STOP_REASON_NFE,
    StopReason.PICTURES: pb.STOP_REASON_PICTURES,
    StopReason.VLM_CALLS: pb.STOP_REASON_VLM_CALLS,
    StopReason.WALL_TIME: pb.STOP_REASON_WALL_TIME,
    StopReason.TARGET_REACHED: pb.STOP_REASON_TARGET_REACHED,
    StopReason.LOW_DIVERSITY: pb.STOP_REASON_LOW_DIVERSITY,
}

STATE_NUMBERS = {
    SearchState.QUEUED: pb.SEARCH_STATE_QUEUED,
    SearchState.RUNNING: pb.SEARCH_STATE_RUNNING,
    SearchState.SUCCEEDED: pb.SEARCH_STATE_SUCCEEDED,
    SearchState.FAILED: pb.SEARCH_STATE_FAILED,
    SearchState.CANCELLED: pb.SEARCH_STATE_CANCELLED,
}


def event_of(update: SearchUpdate, *, sequence: int) -> pb.SearchEvent:
    """Give the message for an update, the ``sequence``-th of its search, from 1; pictures are named, not contained."""
    match update:
        case SearchStarted():
            return pb.SearchEvent(sequence=sequence, started=_started(update))
        case PriorReady():
            return pb.SearchEvent(sequence=sequence, prior_ready=_prior_ready(update))
        case CandidateScored():
            return pb.SearchEvent(sequence=sequence, candidate_scored=_candidate_scored(update))
        case RoundFinished():
            return pb.SearchEvent(sequence=sequence, round_finished=_round_finished(update))
        case SearchFinished():
            return pb.SearchEvent(sequence=sequence, finished=_finished(update))


def prior_of(prepared: PreparedPrior) -> pb.PreparePriorResponse:
    """Give the message for a prior."""
    return pb.PreparePriorResponse(
        prior=pb.Image(data=prepared.picture),
        scene=pb.Image(data=prepared.scene),
        scene_face=_box(prepared.scene_box),
        character_face=_box(prepared.character_box),
        scene_faces=[_box(box) for box in prepared.scene_faces],
        character_faces=[_box(box) for box in prepared.character_faces],
        versions=dict(prepared.versions),
        frame=_box(prepared.frame),
        delivered=pb.Image(data=prepared.delivered),
    )


def rendered_of(rendered: RenderedCandidate) -> pb.RenderCandidateResponse:
    """Give the message for a picture made from its recipe."""
    return pb.RenderCandidateResponse(
        picture=pb.Image(data=rendered.picture),
        picture_sha256=rendered.picture_sha256,
        steps=rendered.steps,
        versions=dict(rendered.versions),
        delivered=pb.Image(data=rendered.delivered),
    )


def scored_of(scored: ScoredPictures) -> pb.ScoreImagesResponse:
    """Give the message for scores of pictures."""
    return pb.ScoreImagesResponse(
        evaluations=[_evaluation(one) for one in scored.evaluations], versions=dict(scored.versions)
    )


def search_of(search: StoredSearch, *, brief: bool = False) -> pb.Search:
    """Give the message for a search as it stands; ``brief``, without its request and result."""
    message = pb.Search(
        search_id=search.id,
        state=STATE_NUMBERS[search.state],
        request_id=search.request_id or "",
        labels=search.labels,
        priority=search.priority,
        last_sequence=search.events,
    )
    for name, time_s in (("create", search.created_s), ("start", search.started_s), ("finish", search.finished_s)):
        if time_s is not None:
            getattr(message, f"{name}_time").FromNanoseconds(round(time_s * 1e9))
    if not brief:
        message.request.MergeFromString(search.request)
    if search.result is not None and not brief:
        message.result.CopyFrom(pb.SearchEvent.FromString(search.result).finished)
    if search.failure is not None:
        message.failure.CopyFrom(failure_of(status_pb2.Status.FromString(search.failure)))
    return message


def failure_of(status: status_pb2.Status) -> pb.SearchFailed:
    """Give the message for why a search failed."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return pb.SearchFailed(code=code_pb2.Code.Name(status.code), reason=info.reason, message=status.message)


def _started(update: SearchStarted) -> pb.SearchStarted:
    return pb.SearchStarted(
        search_id=update.search_id,
        planned_candidates=update.planned_candidates,
        random_seed=update.random_seed,
        checkpoint=update.checkpoint.name,
        steps=update.steps,
        scorers=[
            pb.ScorerSettings(
                name=name,
                weight=weight,
                floor=update.floors.get(name),
                held_out=name in update.held_out,
                question=update.questions.get(name),
            )
            for name, weight in sorted(update.weights.items())
        ],
    )


def _prior_ready(update: PriorReady) -> pb.PriorReady:
    return pb.PriorReady(
        prior=pb.Image(artifact=update.prior),
        scene=pb.Image(artifact=update.scene),
        evaluation=_evaluation(update.evaluation),
        scene_face=_box(update.scene_box),
        character_face=_box(update.character_box),
        frame=_box(update.frame),
    )


def _candidate_scored(update: CandidateScored) -> pb.CandidateScored:
    candidate = update.candidate
    message = pb.CandidateScored(
        candidate_id=candidate.id,
        stop_step=update.stop_step,
        generation=candidate.generation,
        move=candidate.move.value,
        parents=candidate.parents,
        recipe=_recipe(candidate.recipe),
        done=update.done,
        picture_sha256=update.picture_sha256,
        failure=update.failure or "",
        best_potential=update.best_potential,
    )
    if update.evaluation is not None:
        message.evaluation.CopyFrom(_evaluation(update.evaluation))
    if update.picture is not None:
        message.picture.artifact = update.picture
    if update.thumbnail:
        message.thumbnail.data = update.thumbnail
    return message


def _round_finished(update: RoundFinished) -> pb.RoundFinished:
    note = update.note
    message = pb.RoundFinished(
        generation=update.generation,
        best_candidate_id=update.best_candidate_id,
        best_potential=update.best_potential,
        mean_potential=update.mean_potential,
    )
    if note is not None:
        message.kind, message.fresh, message.crossovers = note.kind.value, note.fresh, note.crossovers
        for name in ("angle", "predicted_gain", "curvature"):
            if (value := getattr(note, name)) is not None:
                setattr(message, name, value)
    return message


def _finished(update: SearchFinished) -> pb.SearchFinished:
    return pb.SearchFinished(
        best_candidate_id="" if update.best is None else update.best.id,
        best=pb.Image(artifact=update.picture),
        recipe=None if update.recipe is None else _recipe(update.recipe),
        evaluation=_evaluation(update.evaluation),
        lineage=update.lineage,
        statistics=_statistics(update),
        timings=_durations(update.timings_s),
        versions=dict(update.versions),
        noise_shape=update.noise_shape,
        delivered=pb.Image(artifact=update.delivered),
        stop_reason=_STOP_REASONS[update.stop_reason],
        spent=_spent(update.spent),
        pareto_front=update.pareto_front,
        gains=[
            pb.ScorerGain(scorer=name, held_out=gain.held_out, over_first=gain.over_first, over_prior=gain.over_prior)
            for name, gain in sorted(update.gains.items())
        ],
        pruning=update.pruning,
        diversity=None if update.diversity is None else _diversity(update.diversity),
    )


def _spent(spent: Spent) -> pb.Spent:
    message = pb.Spent(denoiser_evaluations=spent.nfe, pictures=spent.pictures, vlm_calls=spent.vlm_calls)
    message.wall_time.FromTimedelta(timedelta(seconds=spent.wall_s))
    return message


def _diversity(found: Diversity) -> pb.Diversity:
    return pb.Diversity(spread=found.spread, expected=found.expected, p_value=found.p_value, low=found.low)


def _statistics(update: SearchFinished) -> pb.Statistics:
    pool = update.statistics
    return pb.Statistics(
        candidates=pool.evaluated,
        failed=pool.failed,
        incomplete=pool.incomplete,
        missing_scores=update.missing_scores,
        first_potential=pool.first,
        best_potential=pool.best,
        prior_potential=update.prior_potential,
        gain_over_first=pool.gain_over_first,
        gain_over_prior=update.gain_over_prior,
        mean_potential=pool.explored_mean,
        sd_potential=pool.explored_sd,
        expected_best=[pb.ExpectedBest(n=n, potential=value) for n, value in pool.explored_best_of],
        denoiser_evaluations=update.spent.nfe,
    )


def _evaluation(evaluation: Evaluation) -> pb.Evaluation:
    card, known = evaluation.card, evaluation.potential
    scores = {
        name: pb.Score(scorer=name, value=value, raw=card.raw[name], asked=card.repeats.get(name))
        for name, value in card.values.items()
    }
    scores |= {name: pb.Score(scorer=name, failure=reason) for name, reason in card.missing.items()}
    return pb.Evaluation(
        scores=[scores[name] for name in sorted(scores)],
        potential=None if known is None else known.value,
        complete=known is not None and known.complete,
        shortfall=0.0 if known is None else known.shortfall,
    )


def _recipe(recipe: Recipe) -> pb.Recipe:
    return pb.Recipe(terms=[pb.RecipeTerm(seed=seed, coefficient=value) for seed, value in recipe.terms])


def _box(box: Box) -> pb.Box:
    left, top, right, bottom = box
    return pb.Box(left=left, top=top, right=right, bottom=bottom)


def _durations(seconds: Mapping[str, float]) -> dict[str, Duration]:
    durations = {name: Duration() for name in seconds}
    for name, duration in durations.items():
        duration.FromTimedelta(timedelta(seconds=seconds[name]))
    return durations
