"""What metrics and traces are told. An observer never changes what a search does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from eacps.evaluation.updates import SearchUpdate

Attribute = str | int | float | bool
"""Of a span."""


class Observer:
    """Notified of all searches of a server. By itself it ignores everything; subclasses keep what they are for.

    Every method returns at once and raises nothing.
    """

    def began(self) -> None:
        """A search begins to run on this server, also after a restart."""

    def updated(self, update: SearchUpdate) -> None:
        """A search reports what happened."""

    def measured(self, stage: str, seconds: float) -> None:
        """Record the duration of one piece of work of a stage: ``prepare``, ``generate``, ``score`` or ``deliver``."""

    def waited(self, seconds: float) -> None:
        """Record how long a search waited for a slot."""

    def worked(self, *, evaluations: int, pictures: int, vlm_calls: int) -> None:
        """Count work of a search, whatever its outcome.

        Args:
            evaluations: Of the denoiser.
            pictures: Made and scored.
            vlm_calls: Calls of vision-language models.
        """

    def transacted(self, kind: str, seconds: float) -> None:
        """Record the duration of a ``read`` or ``write`` transaction, including the wait for a connection."""

    def ended(self, outcome: str, reason: str) -> None:
        """A search that began is over.

        Args:
            outcome: ``finished``, ``failed`` or ``cancelled``; ``abandoned`` where the server stops before.
            reason: The error's reason if it failed here; else empty.
        """

    def refused(self, reason: str) -> None:
        """A search was not accepted: the error's reason in lower case."""

    def ready(self, ready: bool) -> None:
        """Record whether the dependencies of the server were ready at the last check."""

    def counted(self, searches: Mapping[str, int]) -> None:
        """Record the number of stored searches by state, over all servers that share the database."""

    def queued_for(self, seconds: float) -> None:
        """Record for how many seconds the oldest queued search of the database has waited; 0 if there is none."""

    def span(
        self,
        name: str,  # noqa: ARG002 - for those that trace
        attributes: Mapping[str, Attribute],  # noqa: ARG002
        *,
        search_id: str = "",  # noqa: ARG002
        current: bool = True,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Trace a piece of work while the block lasts.

        Args:
            name: What is done.
            attributes: Names and numbers; never a picture, a prompt or a key.
            search_id: Of the search whose root span this is; empty for a child of the current span.
            current: Whether spans started within the block are its children.
        """
        return nullcontext()


class CompositeObserver(Observer):
    """An `Observer` that notifies others.

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

    def waited(self, seconds: float) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.waited(seconds)

    def worked(self, *, evaluations: int, pictures: int, vlm_calls: int) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.worked(evaluations=evaluations, pictures=pictures, vlm_calls=vlm_calls)

    def transacted(self, kind: str, seconds: float) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.transacted(kind, seconds)

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

    def queued_for(self, seconds: float) -> None:
        """See `Observer`."""
        for one in self._observers:
            one.queued_for(seconds)

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Attribute], *, search_id: str = "", current: bool = True
    ) -> Iterator[None]:
        """See `Observer`."""
        with ExitStack() as stack:
            for one in self._observers:
                stack.enter_context(one.span(name, attributes, search_id=search_id, current=current))
            yield
