"""What can go wrong with a request to a Python model, apart from the networks failing."""

from collections.abc import Sequence

from eacps.tensors import OTHER_BUILD


class InvalidInput(ValueError):
    """The request's tensors break the contract.

    Args:
        violations: Everything found wrong, not only the first; each reads "<tensor>: <what is wrong>", without ";".
    """

    def __init__(self, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(violations))


class OtherBuild(Exception):
    """The caller works with another build than the one that is served.

    Args:
        served: Build of this repository.
        expected: The caller's.
    """

    def __init__(self, served: str, expected: str) -> None:
        super().__init__(f"{OTHER_BUILD}: {served} is served, {expected} was expected")


class SamplingCancelled(Exception):
    """The caller went away.

    Args:
        step: Step that was not begun, counted from 0.
        steps: Steps of the full schedule.
    """

    def __init__(self, step: int, steps: int) -> None:
        self.step, self.steps = step, steps
        super().__init__(f"cancelled at step {step} of {steps}")


class NetworkFailed(RuntimeError):
    """A network called from a Python model answered with an error."""
