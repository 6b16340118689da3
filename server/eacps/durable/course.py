"""The course of a search, as the identities of its events: what each tells of, whatever it says."""

from collections.abc import Iterable

from eacps.evaluation import CandidateScored, PriorReady, RoundFinished, SearchFinished, SearchStarted, SearchUpdate
from eacps.search.cohort import TrialKey

_TRIAL = "trial"


def identity_of(update: SearchUpdate) -> str:
    """Name what an update tells of; no two updates of a search share it."""
    match update:
        case SearchStarted():
            return "started"
        case PriorReady():
            return "prior"
        case CandidateScored():
            return f"{_TRIAL} {update.candidate.id} {update.stop_step}"
        case RoundFinished():
            return f"round {update.generation}"
        case SearchFinished():
            return "finished"


def trials_in(identities: Iterable[str]) -> list[TrialKey]:
    """Give the trials that events tell of, in their order."""
    words = (identity.split() for identity in identities)
    return [TrialKey(rest[0], int(rest[1])) for kind, *rest in words if kind == _TRIAL]
