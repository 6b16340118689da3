"""Prometheus metrics of the search server, on a separate port.

Names follow Prometheus's conventions: base units, ``_total`` for counters. Labels have few values: never a search, a
picture or a prompt.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from eacps.errors import AddressUnavailable
from eacps.evaluation import CandidateScored, Observer, SearchFinished, SearchUpdate
from eacps.evaluation.plan import judge_of

_STAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SEARCH_BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_DATABASE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_GAIN_BUCKETS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)


class SearchMetrics(Observer):
    """An `eacps.evaluation.observer.Observer` that counts.

    Args:
        registry: Where the metrics live; a new one by default, so that several servers in one process keep apart.
        offered: Names of the server's own scorers; None where no others are asked.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, offered: Collection[str] | None = None) -> None:
        self._offered = offered
        self.registry = target = registry or CollectorRegistry()
        self._running = Gauge("eacps_searches_running", "Searches under way.", registry=target)
        self._searches = Counter(
            "eacps_searches", "Searches, by how and why they ended.", ("outcome", "reason"), registry=target
        )
        self._search_s = Histogram(
            "eacps_search_seconds", "Wall-clock time of finished searches.", buckets=_SEARCH_BUCKETS, registry=target
        )
        self._gain = Histogram(
            "eacps_search_gain",
            "Potential of the best over that of the first seed.",
            buckets=_GAIN_BUCKETS,
            registry=target,
        )
        self._candidates = Counter(
            "eacps_candidates",
            "Candidates, scored or failed.",
            ("outcome",),
            registry=target,
        )
        work = "by all searches, those that failed or were cancelled included."
        self._evaluations = Counter("eacps_denoiser_evaluations", f"Evaluations {work}", registry=target)
        self._pictures = Counter("eacps_pictures", f"Pictures made and scored {work}", registry=target)
        self._vlm_calls = Counter("eacps_vlm_calls", f"Calls of VLMs {work}", registry=target)
        self._queue_s = Histogram(
            "eacps_search_queue_seconds",
            "Time from a search's creation until it first ran.",
            buckets=_SEARCH_BUCKETS,
            registry=target,
        )
        self._database_s = Histogram(
            "eacps_database_seconds",
            "Time of a transaction, waiting for a connection included.",
            ("kind",),
            buckets=_DATABASE_BUCKETS,
            registry=target,
        )
        self._scorer_failures = Counter("eacps_scorer_failures", "Scores that failed.", ("scorer",), registry=target)
        self._stage_s = Histogram(
            "eacps_stage_seconds", "Time of one piece of work.", ("stage",), buckets=_STAGE_BUCKETS, registry=target
        )
        self._kept = Gauge(
            "eacps_searches_kept",
            "Searches in the database, by state; reported by one server of all that share it.",
            ("state",),
            registry=target,
        )
        self._queued_s = Gauge(
            "eacps_search_queue_oldest_seconds",
            "Wait of the oldest queued search of the database so far; 0 on all but one of the servers that share it.",
            registry=target,
        )
        self._ready = Gauge("eacps_triton_ready", "Whether Triton was ready at the last check.", registry=target)

    def began(self) -> None:
        """See `Observer`."""
        self._running.inc()

    def updated(self, update: SearchUpdate) -> None:
        """See `Observer`."""
        match update:
            case CandidateScored():
                self._count_candidate(update)
            case SearchFinished():
                self._count_search(update)

    def measured(self, stage: str, seconds: float) -> None:
        """See `Observer`."""
        self._stage_s.labels(stage).observe(seconds)

    def waited(self, seconds: float) -> None:
        """See `Observer`."""
        self._queue_s.observe(seconds)

    def worked(self, *, evaluations: int, pictures: int, vlm_calls: int) -> None:
        """See `Observer`."""
        self._evaluations.inc(evaluations)
        self._pictures.inc(pictures)
        self._vlm_calls.inc(vlm_calls)

    def transacted(self, kind: str, seconds: float) -> None:
        """See `Observer`."""
        self._database_s.labels(kind).observe(seconds)

    def ended(self, outcome: str, reason: str) -> None:
        """See `Observer`."""
        self._running.dec()
        self._searches.labels(outcome, reason).inc()

    def refused(self, reason: str) -> None:
        """See `Observer`."""
        self._searches.labels("refused", reason).inc()

    def ready(self, ready: bool) -> None:
        """See `Observer`."""
        self._ready.set(ready)

    def counted(self, searches: Mapping[str, int]) -> None:
        """See `Observer`."""
        self._kept.clear()
        for state, count in searches.items():
            self._kept.labels(state).set(count)

    def queued_for(self, seconds: float) -> None:
        """See `Observer`."""
        self._queued_s.set(seconds)

    def _count_candidate(self, update: CandidateScored) -> None:
        self._candidates.labels("failed" if update.failure else "scored").inc()
        if update.evaluation is not None:
            for scorer in update.evaluation.card.missing:
                self._scorer_failures.labels(self._label_of(scorer)).inc()

    def _label_of(self, scorer: str) -> str:
        """Return the label of a scorer: callers name their questions freely, so only the judge is counted."""
        return scorer if self._offered is None or scorer in self._offered else f"{judge_of(scorer)}.*"

    def _count_search(self, update: SearchFinished) -> None:
        self._search_s.observe(update.timings_s["total"])
        if update.statistics.gain_over_first is not None:
            self._gain.observe(update.statistics.gain_over_first)


class Ended(Protocol):
    """What is counted of a call that has ended."""

    @property
    def method(self) -> str:
        """Name without its service."""
        ...

    @property
    def code(self) -> str:
        """Name of the status code, such as ``NOT_FOUND``."""
        ...

    @property
    def seconds(self) -> float:
        """From its beginning to its end."""
        ...


class CallMetrics:
    """An `eacps.api.calls.CallObserver` that counts, under the names that dashboards for gRPC servers know.

    Args:
        registry: Where the metrics live.
        service: Full name of the service.
        streams: Its methods that answer with a stream.
        uploads: Its methods that take a stream.
    """

    def __init__(
        self, registry: CollectorRegistry, *, service: str, streams: Collection[str], uploads: Collection[str]
    ) -> None:
        self._service, self._streams, self._uploads = service, streams, uploads
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "Calls that have come.", labels, registry=registry)
        self._handled = Counter(
            "grpc_server_handled",
            "Calls that have ended, refused ones included.",
            (*labels, "grpc_code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds", "Time from a call's beginning to its end.", labels, registry=registry
        )

    def call_began(self, method: str) -> None:
        """See `CallObserver`."""
        self._started.labels(*self._labels(method)).inc()

    def call_ended(self, call: Ended) -> None:
        """See `CallObserver`."""
        labels = self._labels(call.method)
        self._handled.labels(*labels, _camel(call.code)).inc()
        self._seconds.labels(*labels).observe(call.seconds)

    def _labels(self, method: str) -> tuple[str, str, str]:
        if method in self._uploads:
            return "client_stream", self._service, method
        return "server_stream" if method in self._streams else "unary", self._service, method


def _camel(code: str) -> str:
    """Name a status code as Go does, and with it the usual dashboards."""
    known = {"OK": "OK", "CANCELLED": "Canceled"}
    return known.get(code) or "".join(part.title() for part in code.split("_"))


def describe_process(registry: CollectorRegistry, **build: str) -> None:
    """Add what is known of the process: its memory, processor time and descriptors, and what it was built of.

    Args:
        registry: Where the metrics live.
        build: Labels of ``eacps_build_info``.
    """
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Info("eacps_build", "What runs here.", registry=registry).info(build)


@contextmanager
def exposed(metrics: SearchMetrics, address: str) -> Iterator[int]:
    """Serve metrics over HTTP until the block ends; yield the port.

    Args:
        metrics: Whose.
        address: ``host:port``; port 0 takes a free one.

    Raises:
        AddressUnavailable: The address cannot be bound.
    """
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry=metrics.registry)
    except OSError as exc:
        raise AddressUnavailable(f"cannot serve metrics on {address}: {exc.strerror}") from exc
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
