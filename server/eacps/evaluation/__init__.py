"""Run one search, from settings and pictures to its result, around the pure search core.

The runner follows the algorithm; each step has a module:

    runner      prepare, then ask, evaluate and tell in every round, then finish
    prepare     choose the frame, fit the pictures, make the prior
    evaluate    generate and score a cohort in overlapping micro-batches
    generate    make the pictures of a micro-batch
    score       ask all scorers about the pictures of a micro-batch
    finish      find the winner and deliver it in the scene's file

They exchange:

    plan        settings, pictures, fitted inputs and the edit
    state       the state of a search and its records; codec encodes them
    updates     what a search reports while it runs

They use:

    services    models, scorers and limits of a search; calls with retries
    timing      deadline, stopwatch and budget
    observer    interface for metrics and traces

Beside a running search:

    candidates     rank and deliver the candidates of a stored search
    single_steps   run one step without a search

This package does not know gRPC, the wire format, or where progress is stored.
"""

from eacps.artifacts import ArtifactStore, MemoryArtifacts
from eacps.evaluation.observer import Observer
from eacps.evaluation.plan import PriorMode, SearchPictures, SearchPlan, SearchSettings
from eacps.evaluation.runner import SearchRunner
from eacps.evaluation.services import ExecutionLimits, Models, Services
from eacps.evaluation.single_steps import detect_faces, prepare_prior, render_candidate, score_pictures
from eacps.evaluation.state import MemoryRecorder, Progress, Record, Recorder
from eacps.evaluation.timing import Deadline
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
    "Evaluation",
    "ExecutionLimits",
    "MemoryArtifacts",
    "MemoryRecorder",
    "Models",
    "Observer",
    "PriorMode",
    "PriorReady",
    "Progress",
    "Record",
    "Recorder",
    "RoundFinished",
    "SearchFinished",
    "SearchPictures",
    "SearchPlan",
    "SearchRunner",
    "SearchSettings",
    "SearchStarted",
    "SearchUpdate",
    "Services",
    "detect_faces",
    "prepare_prior",
    "render_candidate",
    "score_pictures",
]
