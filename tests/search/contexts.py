"""Strategies of one scorer, for tests that only care how potentials come and go."""

from eacps.search import factory
from eacps.search.calibration import Calibration
from eacps.search.context import SearchContext
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import SearchSpec
from eacps.search.strategy import Strategy

OBJECTIVE = Objective(Weights({"potential": 1.0}))


def create(spec: SearchSpec, *, steps: int, calibration: Calibration | None = None) -> Strategy:
    """Make a strategy that climbs one scorer."""
    return factory.create(spec, SearchContext(steps, OBJECTIVE, calibration or Calibration()))
