"""The call that is being answered, and the observers of all calls."""

import contextvars
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc.aio

from eacps.api.admission import AdmittedCall

ACCESS_LOG = "eacps.access"
_log = logging.getLogger(ACCESS_LOG)
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class Call:
    """A call that is being answered.

    Args:
        method: Full name, ``/package.Service/Method``.
        tenant: Its owner.
        admitted: Its slots.
    """

    method: str
    tenant: str
    admitted: AdmittedCall


_current: contextvars.ContextVar[Call] = contextvars.ContextVar("call")


def set_current_call(call: Call) -> None:
    """Make this the call that the running task answers."""
    _current.set(call)


def current_call() -> Call:
    """Return the call that the running task answers."""
    return _current.get()


@dataclass(frozen=True)
class FinishedCall:
    """A call that has ended.

    Args:
        method: Name without its service, such as ``GetSearch``.
        tenant: Its owner; empty if the caller is unknown.
        peer: Address of the caller.
        code: Name of the status code; ``CANCELLED`` also where the caller left.
        reason: Reason of its error, such as ``SEARCH_NOT_FOUND``; empty if there was none.
        seconds: Its duration.
    """

    method: str
    tenant: str
    peer: str
    code: str
    reason: str
    seconds: float


class CallObserver(Protocol):
    """Is notified of every call. Methods return at once and raise nothing."""

    def call_began(self, method: str) -> None:
        """Called when a call of this method begins."""
        ...

    def call_ended(self, call: FinishedCall) -> None:
        """Called when a call has ended, for whatever reason."""
        ...


class Unobserved:
    """A `CallObserver` that ignores all calls."""

    def call_began(self, method: str) -> None:
        """See `CallObserver`."""

    def call_ended(self, call: FinishedCall) -> None:
        """See `CallObserver`."""


class SeveralCallObservers:
    """A `CallObserver` that notifies several.

    Args:
        observers: Notified in this order.
    """

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._observers = tuple(observers)

    def call_began(self, method: str) -> None:
        """See `CallObserver`."""
        for one in self._observers:
            one.call_began(method)

    def call_ended(self, call: FinishedCall) -> None:
        """See `CallObserver`."""
        for one in self._observers:
            one.call_ended(call)


class AccessLog:
    """A `CallObserver` that logs a line for every call; in JSON logs each part is a field of its own."""

    def call_began(self, method: str) -> None:
        """See `CallObserver`."""

    def call_ended(self, call: FinishedCall) -> None:
        """See `CallObserver`."""
        fields = {
            "method": call.method,
            "code": call.code,
            "reason": call.reason,
            "tenant": call.tenant,
            "peer": call.peer,
            "seconds": round(call.seconds, 4),
        }
        _log.info("%s %s", call.method, call.code, extra={"fields": fields})
