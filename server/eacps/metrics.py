"""Prometheus metrics of the search server, on a port of their own.

Names follow Prometheus's conventions: base units, ``_total`` for counters. Labels have few values: never a search, a
picture or a prompt.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from eacps.evaluation import CandidateScored, SearchFinished, SearchUpdate, Silent
from eacps.evaluation.plan import judge_of

_STAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SEARCH_BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_GAIN_BUCKETS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)


class SearchMetrics(Silent):
    """An `eacps.evaluation.observer.Observer` that counts.

    Args:
        registry: Where the metrics live; a new one by default, so that several servers in one process keep apart.
        offered: Names of the server's own scorers; None where no others are asked.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, offered: Collection[str] | None = None) -> None:
        self._offered = offered
        self.registry = place = registry or CollectorRegistry()
        self._running = Gauge("eacps_searches_running", "Searches under way.", registry=place)
        self._searches = Counter(
            "eacps_searches", "Searches, by how and why they ended.", ("outcome", "reason"), registry=place
        )
        self._search_s = Histogram(
            "eacps_search_seconds", "Wall-clock time of finished searches.", buckets=_SEARCH_BUCKETS, registry=place
        )
        self._gain = Histogram(
            "eacps_search_gain",
            "Potential of the best over that of the first seed.",
            buckets=_GAIN_BUCKETS,
            registry=place,
        )
        self._candidates = Counter(
            "eacps_candidates",
            "Candidates looked at: previews and final pictures, scored or failed.",
            ("kind", "outcome"),
            registry=place,
        )
        self._evaluations = Counter("eacps_denoiser_evaluations", "Evaluations by finished searches.", registry=place)
        self._pictures = Counter("eacps_pictures", "Pictures made and scored by finished searches.", registry=place)
        self._vlm_calls = Counter("eacps_vlm_calls", "Calls of VLMs by finished searches.", registry=place)
        self._scorer_failures = Counter(
            "eacps_scorer_failures", "Scores that could not be had.", ("scorer",), registry=place
        )
        self._stage_s = Histogram(
            "eacps_stage_seconds", "Time of one piece of work.", ("stage",), buckets=_STAGE_BUCKETS, registry=place
        )
        self._kept = Gauge("eacps_searches_kept", "Searches in the database, by state.", ("state",), registry=place)
        self._ready = Gauge("eacps_triton_ready", "Whether Triton was ready when last looked at.", registry=place)

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
        for state, count in searches.items():
            self._kept.labels(state).set(count)

    def _count_candidate(self, update: CandidateScored) -> None:
        kind = "preview" if update.preview else "final"
        self._candidates.labels(kind, "failed" if update.failure else "scored").inc()
        if update.evaluation is not None:
            for scorer in update.evaluation.card.missing:
                self._scorer_failures.labels(self._label_of(scorer)).inc()

    def _label_of(self, scorer: str) -> str:
        """Callers choose the names of their own questions: of these the judge counts."""
        return scorer if self._offered is None or scorer in self._offered else f"{judge_of(scorer)}.*"

    def _count_search(self, update: SearchFinished) -> None:
        self._search_s.observe(update.timings_s["total"])
        self._evaluations.inc(update.spent.nfe)
        self._pictures.inc(update.spent.pictures)
        self._vlm_calls.inc(update.spent.vlm_calls)
        if update.statistics.gain_over_first is not None:
            self._gain.observe(update.statistics.gain_over_first)


@contextmanager
def exposed(metrics: SearchMetrics, address: str) -> Iterator[int]:
    """Serve metrics over HTTP until the block ends, and give the port.

    Args:
        metrics: Whose.
        address: ``host:port``; port 0 takes a free one.

    Raises:
        RuntimeError: The address cannot be bound.
    """
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry=metrics.registry)
    except OSError as exc:
        raise RuntimeError(f"cannot serve metrics on {address}: {exc.strerror}") from exc
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
