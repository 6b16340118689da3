"""Converts values of the domain to messages. `eacps.api.validation` converts requests."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from eacps.api.recipes import recipe_message
from eacps.api.status import reason_in
from eacps.arrays import Picture
from eacps.durable import Retention, StoredSearch
from eacps.enums import MOVE, PRIOR_MODE, ROUND_KIND, SEARCH_STATE, STOP_REASON
from eacps.evaluation.candidates import Ranking
from eacps.evaluation.single_steps import PreparedPrior, RenderedCandidate, ScoredPictures
from eacps.evaluation.updates import (
    CandidateScored,
    Evaluation,
    PriorReady,
    RoundFinished,
    SearchFinished,
    SearchStarted,
    SearchUpdate,
)
from eacps.scene.faces import Faces
from eacps.scene.geometry import Box
from eacps.search.budget import Spent
from eacps.search.diversity import Diversity
from eacps.search.objective import Objective
from eacps.search.potential import saturated
from eacps.v1 import search_service_pb2 as pb


def event_of(update: SearchUpdate, *, sequence: int) -> pb.SearchEvent:
    """Return the message for an update, the ``sequence``-th of its search, from 1; its pictures are given by hash."""
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


def faces_of(found: Faces, picture: Picture) -> pb.DetectFacesResponse:
    """Return the message for the faces of a picture."""
    height, width = picture.shape[:2]
    scored = zip(found.as_tuples(), found.scores.tolist(), strict=True)
    faces = [pb.Face(box=_box(box), detection_score=score) for box, score in scored]
    return pb.DetectFacesResponse(faces=faces, width=width, height=height)


def prior_of(prepared: PreparedPrior, notes: Sequence[str]) -> pb.PreparePriorResponse:
    """Return the message for a prior."""
    return pb.PreparePriorResponse(
        prior=pb.Image(data=prepared.picture),
        scene=pb.Image(data=prepared.scene),
        scene_face=_face(prepared.scene_box),
        character_face=_box(prepared.character_box),
        scene_faces=[_box(box) for box in prepared.scene_faces],
        character_faces=[_box(box) for box in prepared.character_faces],
        versions=dict(prepared.versions),
        frame=_box(prepared.frame),
        delivered=pb.Image(data=prepared.delivered),
        mode=PRIOR_MODE.number_of(prepared.mode),
        notes=notes,
    )


def rendered_of(rendered: RenderedCandidate, notes: Sequence[str]) -> pb.RenderCandidateResponse:
    """Return the message for a candidate rendered again."""
    return pb.RenderCandidateResponse(
        picture=pb.Image(data=rendered.picture),
        picture_sha256=rendered.picture_sha256,
        steps=rendered.steps,
        versions=dict(rendered.versions),
        delivered=pb.Image(data=rendered.delivered),
        notes=notes,
    )


def scored_of(scored: ScoredPictures) -> pb.ScoreImagesResponse:
    """Return the message for the scores of pictures."""
    return pb.ScoreImagesResponse(
        evaluations=[_evaluation(one) for one in scored.evaluations], versions=dict(scored.versions)
    )


def ranking_of(ranking: Ranking, objective: Objective) -> pb.RankCandidatesResponse:
    """Return the message for candidates by an objective."""
    return pb.RankCandidatesResponse(
        candidates=[
            pb.RankedCandidate(
                candidate_id=one.id, evaluation=_evaluation(evaluation), picture=pb.Image(artifact=one.picture)
            )
            for one, evaluation in ranking.candidates
        ],
        pareto_front=ranking.pareto_front,
        scorers=[
            pb.ScorerSettings(name=name, weight=weight, floor=objective.floors.get(name))
            for name, weight in objective.weights.normalized.items()
        ],
    )


def search_of(search: StoredSearch, retention: Retention, *, brief: bool = False) -> pb.Search:
    """Return the message for a search; with ``brief``, without its request and result."""
    message = pb.Search(
        search_id=search.id,
        state=SEARCH_STATE.number_of(search.state.value),
        request_id=search.request_id or "",
        labels=search.labels,
        priority=search.priority,
        last_sequence=search.events,
        waiting_reason=search.waiting or "",
        queue_position=search.position,
    )
    for name, time_s in (("create", search.created_s), ("start", search.started_s), ("finish", search.finished_s)):
        if time_s is not None:
            set_time(getattr(message, f"{name}_time"), time_s)
    if search.finished_s is not None:
        set_time(message.expire_time, search.finished_s + retention.search_s)
    request = pb.RunSearchRequest.FromString(search.request)
    message.prompt = request.prompt
    if not brief:
        message.request.CopyFrom(request)
    if search.result is not None:
        finished = pb.SearchEvent.FromString(search.result).finished
        if finished.evaluation.HasField("potential"):
            message.best_potential = finished.evaluation.potential
        if not brief:
            message.result.CopyFrom(finished)
    if search.failure is not None:
        message.failure.CopyFrom(search_failed_of(status_pb2.Status.FromString(search.failure)))
    return message


def set_time(message: Timestamp, time_s: float) -> None:
    """Set a point in time, given in seconds since the epoch."""
    message.FromNanoseconds(round(time_s * 1e9))


def search_failed_of(status: status_pb2.Status) -> pb.SearchFailed:
    """Return the message for why a search failed."""
    code: Any = status.code  # ErrorCode has the numbers of gRPC
    return pb.SearchFailed(code=code, reason=reason_in(status), message=status.message)


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
        notes=update.notes,
    )


def _prior_ready(update: PriorReady) -> pb.PriorReady:
    return pb.PriorReady(
        prior=pb.Image(artifact=update.prior),
        scene=pb.Image(artifact=update.scene),
        evaluation=_evaluation(update.evaluation),
        scene_face=_face(update.scene_box),
        character_face=_box(update.character_box),
        frame=_box(update.frame),
        mode=PRIOR_MODE.number_of(update.mode),
    )


def _candidate_scored(update: CandidateScored) -> pb.CandidateScored:
    candidate = update.candidate
    message = pb.CandidateScored(
        candidate_id=candidate.id,
        steps=update.steps,
        generation=candidate.generation,
        move=MOVE.number_of(candidate.move.value),
        parents=candidate.parents,
        recipe=recipe_message(candidate.recipe),
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
        message.kind = ROUND_KIND.number_of(note.kind.value)
        message.fresh, message.crossovers = note.fresh, note.crossovers
        for name in ("angle", "predicted_gain", "curvature"):
            if (value := getattr(note, name)) is not None:
                setattr(message, name, value)
    return message


def _finished(update: SearchFinished) -> pb.SearchFinished:
    return pb.SearchFinished(
        best_candidate_id="" if update.best is None else update.best.id,
        best=pb.Image(artifact=update.picture),
        recipe=None if update.recipe is None else recipe_message(update.recipe),
        evaluation=_evaluation(update.evaluation),
        lineage=update.lineage,
        statistics=_statistics(update),
        timings=_durations(update.timings_s),
        versions=dict(update.versions),
        noise_shape=update.noise_shape,
        delivered=pb.Image(artifact=update.delivered),
        stop_reason=STOP_REASON.number_of(update.stop_reason.value),
        spent=_spent(update.spent),
        pareto_front=update.pareto_front,
        gains=[
            pb.ScorerGain(scorer=name, held_out=gain.held_out, over_first=gain.over_first, over_prior=gain.over_prior)
            for name, gain in sorted(update.gains.items())
        ],
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
        name: pb.Score(
            scorer=name, value=value, raw=card.raw[name], asked=card.repeats.get(name), saturated=saturated(value)
        )
        for name, value in card.values.items()
    }
    scores |= {name: pb.Score(scorer=name, failure=reason) for name, reason in card.missing.items()}
    return pb.Evaluation(
        scores=[scores[name] for name in sorted(scores)],
        potential=None if known is None else known.value,
        complete=known is not None and known.complete,
        shortfall=0.0 if known is None else known.shortfall,
    )


def _face(box: Box) -> pb.Box | None:
    """Return the message for a face; None for the empty box of a missing one."""
    return _box(box) if box[0] < box[2] and box[1] < box[3] else None


def _box(box: Box) -> pb.Box:
    left, top, right, bottom = box
    return pb.Box(left=left, top=top, right=right, bottom=bottom)


def _durations(seconds: Mapping[str, float]) -> dict[str, Duration]:
    durations = {name: Duration() for name in seconds}
    for name, duration in durations.items():
        duration.FromTimedelta(timedelta(seconds=seconds[name]))
    return durations
