"""Who watches searches from outside: metrics, for one. A watcher never changes what a search does."""

from typing import Protocol

from eacps.evaluation.updates import SearchUpdate


class Observer(Protocol):
    """Told of all searches of a server. Every method returns at once and raises nothing."""

    def began(self) -> None:
        """A search was accepted."""
        ...

    def updated(self, update: SearchUpdate) -> None:
        """A search reports what happened."""
        ...

    def measured(self, stage: str, seconds: float) -> None:
        """One piece of work of a stage (``prepare``, ``generate``, ``score``) took so long."""
        ...

    def ended(self, outcome: str, reason: str) -> None:
        """A search that began is over.

        Args:
            outcome: ``finished``, ``failed`` or ``cancelled``.
            reason: Why: of those finished the stop reason, of those failed the error's reason; else empty.
        """
        ...

    def refused(self, reason: str) -> None:
        """A search was not accepted: the error's reason in lower case."""
        ...

    def ready(self, ready: bool) -> None:
        """Whether what the server depends on was ready when last looked at."""
        ...


class Silent:
    """An `Observer` that tells nobody."""

    def began(self) -> None:
        """See `Observer`."""

    def updated(self, update: SearchUpdate) -> None:
        """See `Observer`."""

    def measured(self, stage: str, seconds: float) -> None:
        """See `Observer`."""

    def ended(self, outcome: str, reason: str) -> None:
        """See `Observer`."""

    def refused(self, reason: str) -> None:
        """See `Observer`."""

    def ready(self, ready: bool) -> None:
        """See `Observer`."""
