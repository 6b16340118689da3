"""Triton's own counters, as differences over a stretch of time."""

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r'^(nv_inference_\w+)\{model="([^"]+)",version="[^"]+"\} (\S+)$', re.MULTILINE)
_FIELDS = {
    "requests": "nv_inference_request_success",
    "rows": "nv_inference_count",
    "executions": "nv_inference_exec_count",
    "queue_us": "nv_inference_queue_duration_us",
    "compute_us": "nv_inference_compute_infer_duration_us",
}


@dataclass(frozen=True)
class ModelCounters:
    """Of one model.

    Args:
        requests: Answered.
        rows: Batch items evaluated.
        executions: Runs of the model that took.
        queue_us: Microseconds that requests waited, added over requests.
        compute_us: Microseconds that requests were computed, added over requests: those of one batch count each.
    """

    requests: float = 0.0
    rows: float = 0.0
    executions: float = 0.0
    queue_us: float = 0.0
    compute_us: float = 0.0

    def __sub__(self, earlier: "ModelCounters") -> "ModelCounters":
        return ModelCounters(**{name: getattr(self, name) - getattr(earlier, name) for name in _FIELDS})

    def __add__(self, other: "ModelCounters") -> "ModelCounters":
        return ModelCounters(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    @property
    def mean_batch(self) -> float | None:
        """Rows a run; None where there was no run."""
        return self.rows / self.executions if self.executions else None


Counters = Mapping[str, ModelCounters]


def read_counters(metrics_url: str) -> Counters:
    """Read the counters of all models from Triton's metrics endpoint."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(metrics_url, timeout=5) as answer:
        return parse_counters(answer.read().decode())


def parse_counters(text: str) -> Counters:
    """Read counters from Prometheus' text form."""
    values: dict[str, dict[str, float]] = {}
    for metric, model, value in _LINE.findall(text):
        values.setdefault(model, {})[metric] = float(value)
    return {
        model: ModelCounters(**{name: found.get(metric, 0.0) for name, metric in _FIELDS.items()})
        for model, found in values.items()
    }


def difference(later: Counters, earlier: Counters) -> Counters:
    """What was counted in between, by model, where anything was."""
    gone = {model: counted - earlier.get(model, ModelCounters()) for model, counted in later.items()}
    return {model: counted for model, counted in gone.items() if counted.requests or counted.rows}
