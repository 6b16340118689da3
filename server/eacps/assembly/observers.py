"""Observers of searches and calls: metrics, traces, the access log."""

from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass

import eacps
from eacps.api.calls import AccessLog, CallObserver, SeveralCallObservers
from eacps.api.server import SEARCH_SERVICE, STREAM_METHODS, UPLOAD_METHODS
from eacps.assembly.tracing import exported_traces
from eacps.evaluation import Observer
from eacps.evaluation.observer import CompositeObserver
from eacps.metrics import CallMetrics, SearchMetrics, describe_process, exposed
from eacps.settings import Settings
from eacps.triton import ServedCheckpoint


@dataclass(frozen=True)
class Observers:
    """Who watches.

    Args:
        searches: Searches.
        calls: Calls.
    """

    searches: Observer
    calls: CallObserver


def observers_of(
    settings: Settings, scorers: Collection[str], checkpoint: ServedCheckpoint, stack: AsyncExitStack
) -> Observers:
    """Return who watches, as the settings say.

    Args:
        settings: Of the server.
        scorers: Names of the server's own scorers.
        checkpoint: What Triton serves.
        stack: Ends what serves metrics and sends traces.

    Raises:
        AddressUnavailable: The address of the metrics cannot be bound.
        InvalidRequest: Traces are asked for, and their exporter is not installed.
    """
    searches, calls = list[Observer](), list[CallObserver]([AccessLog()])
    if settings.metrics is not None:
        metrics = SearchMetrics(offered=frozenset(scorers))
        calls.append(
            CallMetrics(metrics.registry, service=SEARCH_SERVICE, streams=STREAM_METHODS, uploads=UPLOAD_METHODS)
        )
        describe_process(
            metrics.registry,
            version=eacps.__version__,
            checkpoint=f"{checkpoint.name}@{checkpoint.fingerprint[:12]}",
            triton=checkpoint.triton_version,
        )
        stack.enter_context(exposed(metrics, settings.metrics))
        searches.append(metrics)
    if settings.otlp is not None:
        searches.append(stack.enter_context(exported_traces(settings.otlp)))
    return Observers(CompositeObserver(searches), SeveralCallObservers(calls))
