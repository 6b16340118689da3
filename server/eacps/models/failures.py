"""What can go wrong with a request to a Python model, apart from the networks failing."""

from collections.abc import Sequence


class InvalidInput(ValueError):
    """The request's tensors break the contract.

    Args:
        faults: Everything found wrong, not only the first; each reads "<tensor>: <what is wrong>", without ";".
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(faults))


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
