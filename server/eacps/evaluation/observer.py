"""Who watches searches from outside: metrics, for one. A watcher never changes what a search does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol

from eacps.evaluation.updates import SearchUpdate

Attribute = str | int | float | bool
"""Of a span."""


class Observer(Protocol):
    """Told of all searches of a server. Every method returns at once and raises nothing."""

    def began(self) -> None:
        """A search was accepted."""
        ...

    def updated(self, update: SearchUpdate) -> None:
        """A search reports what happened."""
        ...

    def measured(self, stage: str, seconds: float) -> None:
        """One piece of work of a stage (``prepare``, ``generate``, ``score``, ``deliver``) took so long."""
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

    def counted(self, searches: Mapping[str, int]) -> None:
        """So many searches are kept, by their state; those of all servers that share a database."""
        ...

    def span(
        self, name: str, attributes: Mapping[str, Attribute], *, search_id: str = "", current: bool = True
    ) -> AbstractContextManager[None]:
        """Watch a piece of work while the block lasts.

        Args:
            name: What is done.
            attributes: Names and numbers; never a picture, a prompt or a key.
            search_id: Of the search that it begins the work for; empty for a part of what is being done already.
            current: Whether what is begun within the block is a part of it.
        """
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

    def counted(self, searches: Mapping[str, int]) -> None:
        """See `Observer`."""

    def span(
        self,
        name: str,  # noqa: ARG002 - the protocol's names
        attributes: Mapping[str, Attribute],  # noqa: ARG002
        *,
        search_id: str = "",  # noqa: ARG002
        current: bool = True,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """See `Observer`."""
        return nullcontext()


class Several(Silent):
    """An `Observer` that hands on to others.

    Args:
        observers: In order.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def began(self) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.began()

    def updated(self, update: SearchUpdate) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.updated(update)

    def measured(self, stage: str, seconds: float) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.measured(stage, seconds)

    def ended(self, outcome: str, reason: str) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.ended(outcome, reason)

    def refused(self, reason: str) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.refused(reason)

    def ready(self, ready: bool) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.ready(ready)

    def counted(self, searches: Mapping[str, int]) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.counted(searches)

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Attribute], *, search_id: str = "", current: bool = True
    ) -> Iterator[None]:
        """See `Observer`."""
        with ExitStack() as stack:
            for one in self._observers:
                stack.enter_context(one.span(name, attributes, search_id=search_id, current=current))
            yield
