"""One search from plan to result: prepare, generate, score, as replayable steps around the pure search core.

    plan        what to search for
    updates     what happened, as it happens
    run         a plan to a stream of updates
    single      its stages one at a time
    placing     where in the scene it works, and the result back in the scene; sight finds the faces there
    pipeline    micro-batches: scoring of one overlaps generation of the next
    stages      the work itself, each piece of it one step
    steps       running steps, recording and replaying them
    artifacts   bytes by content hash
    shelf       pictures in them, arrays at hand
    calls       calls within their time, tried twice
    deadline, stopwatch   time left, time spent
    observer    who watches from outside

It knows nothing of gRPC or of how requests look on the wire.
"""

from eacps.evaluation.artifacts import ArtifactStore, MemoryArtifacts
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.observer import Observer, Silent
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory, Models, Pace
from eacps.evaluation.run import run_search
from eacps.evaluation.single import prepare_prior, render_candidate, score_pictures
from eacps.evaluation.steps import DirectRunner, JournalRunner, StepRecord, StepRunner
from eacps.evaluation.updates import (
    CandidateScored,
    Evaluation,
    PriorReady,
    RoundFinished,
    SearchFinished,
    SearchStarted,
    SearchUpdate,
)

__all__ = [
    "ArtifactStore",
    "CandidateScored",
    "Deadline",
    "DirectRunner",
    "Evaluation",
    "JournalRunner",
    "Laboratory",
    "MemoryArtifacts",
    "Models",
    "Observer",
    "Pace",
    "PriorReady",
    "RoundFinished",
    "SearchFinished",
    "SearchPlan",
    "SearchStarted",
    "SearchUpdate",
    "Silent",
    "StepRecord",
    "StepRunner",
    "prepare_prior",
    "render_candidate",
    "run_search",
    "score_pictures",
]
