"""Searches as a client sees them, built by hand: every event of the stream, with flat pictures of many colors."""

import io
import math
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from PIL import Image

from eacps.client.record import CompleteSearch, SearchRecord
from eacps.v1 import search_service_pb2 as pb

WEIGHTS = {"identity": 0.5, "prompt": 0.2, "realism": 0.3}


def picture(hue: int, *, size: tuple[int, int] = (128, 128)) -> bytes:
    """A flat picture, PNG."""
    data = io.BytesIO()
    Image.new("HSV", size, (hue % 256, 120, 200)).convert("RGB").save(data, "PNG")
    return data.getvalue()


def half_white() -> bytes:
    """A mask."""
    file = io.BytesIO()
    mask = Image.new("L", (128, 96))
    mask.paste(255, (0, 0, 64, 96))
    mask.save(file, "PNG")
    return file.getvalue()


def request(*, mask: bool = False) -> pb.RunSearchRequest:
    """A request whose answer `events` could be."""
    return pb.RunSearchRequest(
        scene=pb.Image(data=picture(10)),
        character=pb.Image(data=picture(100, size=(64, 96))),
        mask=pb.Image(data=half_white()) if mask else None,
        prompt="make the person smile",
        search=pb.SearchSettings(eacps={"global_candidates": 4}, random_seed=7),
    )


def evaluation(scores: Sequence[float | None]) -> pb.Evaluation:
    """Scores in order of `WEIGHTS`, None being one that is missing."""
    known = {name: value for name, value in zip(WEIGHTS, scores, strict=True) if value is not None}
    return pb.Evaluation(
        scores=[
            pb.Score(scorer=name, value=known[name], saturated=known[name] >= 0.995)
            if name in known
            else pb.Score(scorer=name, failure="timed out")
            for name in WEIGHTS
        ],
        potential=math.fsum(WEIGHTS[name] * value for name, value in known.items()) if known else None,
        complete=len(known) == len(WEIGHTS),
    )


def candidate(
    name: str, scores: Sequence[float | None] | None, *, parent: str | None = None, hue: int = 0
) -> pb.CandidateScored:
    """A candidate; without scores, one that could not be made."""
    terms = [pb.RecipeTerm(seed=41 + hue, coefficient=1.0)]
    if parent:
        terms = [pb.RecipeTerm(seed=41, coefficient=math.cos(0.6)), pb.RecipeTerm(seed=9, coefficient=math.sin(0.6))]
    return pb.CandidateScored(
        candidate_id=name,
        steps=8,
        generation=int(name[1:].partition("-")[0]),
        move=pb.MOVE_SPHERICAL if parent else pb.MOVE_EXPLORE,
        parents=[parent] if parent else [],
        recipe=pb.Recipe(terms=terms),
        evaluation=None if scores is None else evaluation(scores),
        thumbnail=None if scores is None else pb.Image(data=picture(hue)),
        picture_sha256="" if scores is None else f"{hue:064x}",
        failure="" if scores is not None else "the sampler ran out of memory",
    )


CANDIDATES = (
    candidate("g0-000", (0.30, 0.50, 0.40), hue=0),
    candidate("g0-002", (0.60, 0.70, 0.50), hue=40),
    candidate("g0-001", None),
    candidate("g0-003", (0.20, None, 0.90), hue=80),
    candidate("g1-000", (0.80, 0.75, 0.70), parent="g0-002", hue=120),
    candidate("g1-001", (0.10, 0.20, 0.30), parent="g0-002", hue=160),
)


def events(candidates: Sequence[pb.CandidateScored] = CANDIDATES) -> list[pb.SearchEvent]:
    """The stream of a search; the winner and the statistics follow from the candidates."""
    prior = evaluation((0.35, 0.55, 0.30))
    scored = [one for one in candidates if one.evaluation.HasField("potential")]
    best = max(scored, key=lambda one: one.evaluation.potential)
    statistics = pb.Statistics(
        candidates=len(scored),
        failed=len(candidates) - len(scored),
        incomplete=sum(not one.evaluation.complete for one in scored),
        missing_scores=sum(bool(score.failure) for one in scored for score in one.evaluation.scores),
        best_potential=best.evaluation.potential,
        prior_potential=prior.potential,
        gain_over_prior=best.evaluation.potential - prior.potential,
    )
    first = min(candidates, key=lambda one: one.candidate_id)
    if first.evaluation.HasField("potential"):
        statistics.first_potential = first.evaluation.potential
        statistics.gain_over_first = statistics.best_potential - statistics.first_potential
    finished = pb.SearchFinished(
        best_candidate_id=best.candidate_id,
        best=pb.Image(data=picture(120)),
        recipe=best.recipe,
        evaluation=best.evaluation,
        lineage=[best.candidate_id, *best.parents],
        statistics=statistics,
        versions={"eacps": "0.1.0", "checkpoint": "studio-mini@0123abcd", "noise": "torch-cpu-1", "triton": "2.51.0"},
        noise_shape=[16, 16, 16],
        stop_reason=pb.STOP_REASON_WALL_TIME,
        spent=pb.Spent(denoiser_evaluations=48, pictures=6, vlm_calls=3, wall_time=Duration(seconds=4)),
        pareto_front=[best.candidate_id],
        gains=[
            pb.ScorerGain(scorer="identity", over_first=0.5, over_prior=0.45),
            pb.ScorerGain(scorer="verifier", held_out=True, over_first=0.125),
        ],
        diversity=pb.Diversity(spread=0.1, low=False),
    )
    for stage, seconds in (("prepare", 0.25), ("generate", 3.5), ("score", 1.25), ("total", 4.0)):
        finished.timings[stage].FromMilliseconds(int(1000 * seconds))
    told = [
        pb.SearchEvent(
            started=pb.SearchStarted(
                search_id="0a1b",
                planned_candidates=len(candidates),
                random_seed=7,
                checkpoint="studio-mini",
                steps=8,
                scorers=[pb.ScorerSettings(name=name, weight=weight) for name, weight in WEIGHTS.items()],
            )
        ),
        pb.SearchEvent(
            prior_ready=pb.PriorReady(
                prior=pb.Image(data=picture(30)), scene=pb.Image(data=picture(10)), evaluation=prior
            )
        ),
        *(pb.SearchEvent(candidate_scored=one) for one in candidates),
        pb.SearchEvent(
            round_finished=pb.RoundFinished(
                generation=0, best_candidate_id=best.candidate_id, best_potential=best.evaluation.potential
            )
        ),
        pb.SearchEvent(finished=finished),
    ]
    for number, event in enumerate(told, start=1):
        event.sequence = number
    return told


def complete(candidates: Sequence[pb.CandidateScored] = CANDIDATES) -> CompleteSearch:
    """A finished search, as a client has recorded it."""
    record = SearchRecord()
    for event in events(candidates):
        record.add(event)
    return record.complete()
