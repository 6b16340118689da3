"""JSON-able forms of what a strategy remembers; what is written here is read back bit for bit."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from eacps.search.cohort import Candidate, Cohort, CohortKind, Evaluated, Failed, Outcome, RoundNote, Skipped
from eacps.search.potential import Potential


def cohort_to_dict(cohort: Cohort) -> dict[str, Any]:
    """Return a JSON-able form; `cohort_from` restores an equal cohort."""
    return {
        "generation": cohort.generation,
        "candidates": [candidate.to_dict() for candidate in cohort.candidates],
        "keep": cohort.keep,
        "note": None if cohort.note is None else asdict(cohort.note),
    }


def cohort_from(data: Mapping[str, Any]) -> Cohort:
    """Restore a cohort; raises KeyError, TypeError or ValueError on another form."""
    candidates = tuple(Candidate.from_dict(candidate) for candidate in data["candidates"])
    note = None if data["note"] is None else RoundNote(**{**data["note"], "kind": CohortKind(data["note"]["kind"])})
    return Cohort(data["generation"], candidates, data["keep"], note)


def evaluated_to_dict(one: Evaluated) -> dict[str, Any]:
    """Return a JSON-able form; `evaluated_from` restores an equal one."""
    return {"candidate": one.candidate.to_dict(), **_outcome_to_dict(one.outcome)}


def evaluated_from(data: Mapping[str, Any]) -> Evaluated:
    """Restore a candidate with its outcome; raises KeyError, TypeError or ValueError on another form."""
    return Evaluated(Candidate.from_dict(data["candidate"]), _outcome_from(data))


def rng_to_dict(rng: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state; 128-bit numbers go as text: many JSON readers know no ints that long."""
    state = rng.bit_generator.state
    return {**state, "state": {name: str(number) for name, number in state["state"].items()}}


def rng_from(data: Mapping[str, Any]) -> np.random.Generator:
    """Restore a generator on PCG64."""
    bits = np.random.PCG64(0)  # whatever the seed, the state below replaces it
    # Any: numpy types the state of PCG64 more narrowly than a snapshot can promise; the setter checks it.
    state: Any = {**data, "state": {name: int(number) for name, number in data["state"].items()}}
    bits.state = state
    return np.random.Generator(bits)


def _outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Failed(reason):
            return {"failed": reason}
        case Skipped():
            return {"skipped": True}
    return {
        "value": outcome.value,
        "missing": list(outcome.missing),
        "shortfall": outcome.shortfall,
        "scores": dict(outcome.scores),
    }


def _outcome_from(data: Mapping[str, Any]) -> Outcome:
    if "failed" in data:
        return Failed(data["failed"])
    if "skipped" in data:
        return Skipped()
    missing = tuple(data["missing"])
    return Potential(data["value"], not missing, missing, data["shortfall"], data["scores"])
