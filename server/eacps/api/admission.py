"""Admission control: limits on each kind of call, beyond which calls are refused at once.

Until its request has arrived, a call holds a *receiving* slot, so that callers who open calls and send nothing do not
block others. While it is answered, it holds an *answering* slot of its kind. There are no queues: a call that finds no
slot is refused within milliseconds, with a hint when to retry.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from eacps.api.rate_limit import RateLimit
from eacps.errors import TooManyCalls

ANYONE = "anyone"
"""The tenant of all callers if the server does not authenticate them."""


class CallKind(StrEnum):
    """Kind of a call, by the resources that it needs."""

    READ = "reads"
    CHANGE = "changes"
    SUBMISSION = "submissions"
    STREAM = "streams"
    PICTURES = "calls for pictures or scores"
    UPLOAD = "uploads"
    DOWNLOAD = "downloads"
    PROBE = "health checks"
    STANDING = "streams of health and reflection"


KINDS: Mapping[str, CallKind] = {
    "/eacps.v1.SearchService/RunSearch": CallKind.SUBMISSION,
    "/eacps.v1.SearchService/CreateSearch": CallKind.SUBMISSION,
    "/eacps.v1.SearchService/GetSearch": CallKind.READ,
    "/eacps.v1.SearchService/ListSearches": CallKind.READ,
    "/eacps.v1.SearchService/WatchSearch": CallKind.STREAM,
    "/eacps.v1.SearchService/CancelSearch": CallKind.CHANGE,
    "/eacps.v1.SearchService/DeleteSearch": CallKind.CHANGE,
    "/eacps.v1.SearchService/UploadImage": CallKind.UPLOAD,
    "/eacps.v1.SearchService/DownloadArtifact": CallKind.DOWNLOAD,
    "/eacps.v1.SearchService/DetectFaces": CallKind.PICTURES,
    "/eacps.v1.SearchService/PreparePrior": CallKind.PICTURES,
    "/eacps.v1.SearchService/RenderCandidate": CallKind.PICTURES,
    "/eacps.v1.SearchService/PickCandidate": CallKind.PICTURES,
    "/eacps.v1.SearchService/RankCandidates": CallKind.PICTURES,
    "/eacps.v1.SearchService/ScoreImages": CallKind.PICTURES,
    "/eacps.v1.SearchService/GetCapabilities": CallKind.READ,
    "/grpc.health.v1.Health/Check": CallKind.PROBE,
    "/grpc.health.v1.Health/List": CallKind.PROBE,
}
"""Kinds by the full name of the method; what is not named here is `CallKind.STANDING`."""
_BECOME_STREAMS = {"/eacps.v1.SearchService/RunSearch"}
"""Methods that hold a slot of a stream as well, which they keep after the submission."""
_RATED_AS_READS = {CallKind.READ, CallKind.CHANGE, CallKind.STREAM, CallKind.DOWNLOAD}
"""Kinds that cost little, and have the rate limits of reads."""
_UNRATED = {CallKind.PROBE, CallKind.STANDING}


@dataclass(frozen=True)
class CallLimits:
    """How many calls of each kind one server answers at once.

    No tenant gets more than ``tenant_share`` of them, unless the server does not authenticate callers.

    Args:
        reads: Calls that read one search or a list of them.
        changes: Calls that cancel or delete a search, and wait until it has stopped.
        submissions: Requests for searches, while they are checked and stored.
        streams: Searches that are watched or waited for.
        pictures: Calls for priors, candidates, scores and rankings, which need Triton or much of the processor.
        uploads: Pictures that have arrived and are checked and stored.
        downloads: Pictures that are sent.
        receiving: Calls of each kind whose request is still arriving.
        probes: Health checks. They need no API key, so that the share of a tenant is that of a host here.
        standing: Streams of health and reflection.
        tenant_share: Largest part of the slots that one tenant may hold, in (0, 1].
        calls_per_second: Calls of one tenant that submit searches or need pictures; None for no limit.
        reads_per_second: All other calls of one tenant; None for no limit.
        all_calls_per_second, all_reads_per_second: The same limits for all tenants together. Beyond what the processor
            can do, calls would wait before they can even be refused.
        request_timeout_s: How long a request may take to arrive.
    """

    reads: int = 16
    changes: int = 16
    submissions: int = 16
    streams: int = 2000
    pictures: int = 16
    uploads: int = 16
    downloads: int = 64
    receiving: int = 64
    probes: int = 64
    standing: int = 64
    tenant_share: float = 0.75
    calls_per_second: float | None = 100.0
    reads_per_second: float | None = 200.0
    all_calls_per_second: float | None = 200.0
    all_reads_per_second: float | None = 400.0
    request_timeout_s: float = 30.0

    @property
    def answered(self) -> Mapping[CallKind, int]:
        """Most calls of each kind that are answered at once."""
        return {
            CallKind.READ: self.reads,
            CallKind.CHANGE: self.changes,
            CallKind.SUBMISSION: self.submissions,
            CallKind.STREAM: self.streams,
            CallKind.PICTURES: self.pictures,
            CallKind.UPLOAD: self.uploads,
            CallKind.DOWNLOAD: self.downloads,
            CallKind.PROBE: self.probes,
            CallKind.STANDING: self.standing,
        }


class Slots:
    """A number of slots, of which no tenant gets all.

    Args:
        what: Description of the calls in error messages.
        most: Number of slots.
        tenant_share: Largest part that one tenant may hold, rounded up; in (0, 1].
        owner: What tenants are called in error details.
    """

    def __init__(self, what: str, most: int, tenant_share: float, owner: str = "tenant") -> None:
        self._what, self._most, self._share, self._owner = what, most, tenant_share, owner
        self._taken = Counter[str]()

    def take(self, tenant: str) -> None:
        """Take a slot.

        Raises:
            TooManyCalls: No slot is free, or the tenant has its share.
        """
        share = self._most if tenant == ANYONE else math.ceil(self._most * self._share)
        if self._taken[tenant] >= share:
            raise TooManyCalls(
                f"{share} {self._what} of yours, as many as you may have at once",
                limit=share,
                count=self._taken[tenant],
                subject=f"{self._owner}:{tenant}",
                retry_after_s=1.0,
            )
        if self._taken.total() >= self._most:
            raise TooManyCalls(
                f"{self._most} {self._what}, as many as are served at once",
                limit=self._most,
                count=self._taken.total(),
                retry_after_s=1.0,
            )
        self._taken[tenant] += 1

    def release(self, tenant: str) -> None:
        """Release a slot that was taken."""
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]


class Admission:
    """Admits calls within limits.

    Args:
        limits: The limits; None for the defaults.
    """

    def __init__(self, limits: CallLimits | None = None) -> None:
        self.limits = limits or CallLimits()
        share = self.limits.tenant_share
        self._answered = {
            kind: Slots(kind, most, share, "host" if kind is CallKind.PROBE else "tenant")
            for kind, most in self.limits.answered.items()
        }
        self._receiving = {
            kind: Slots(f"{kind} that are still coming in", self.limits.receiving, share) for kind in CallKind
        }
        reads = RateLimit(self.limits.reads_per_second), RateLimit(self.limits.all_reads_per_second)
        calls = RateLimit(self.limits.calls_per_second), RateLimit(self.limits.all_calls_per_second)
        self._rates = {True: reads, False: calls}

    def admit(self, method: str, tenant: str) -> "AdmittedCall":
        """Admit a call, in a receiving slot.

        Args:
            method: Full name, ``/package.Service/Method``.
            tenant: Tenant of the caller; for health checks its host.

        Raises:
            TooManyCalls: A rate limit is exceeded, or no slot is free.
        """
        kind = KINDS.get(method, CallKind.STANDING)
        if kind not in _UNRATED:
            of_tenant, of_all = self._rates[kind in _RATED_AS_READS]
            of_tenant.take(tenant)
            of_all.take(None)
        answered = [self._answered[CallKind.STREAM]] if method in _BECOME_STREAMS else []
        return AdmittedCall(tenant, self._receiving[kind], [*answered, self._answered[kind]])


class AdmittedCall:
    """The slots that one call holds. Leaving the context releases them.

    Args:
        tenant: Tenant of the caller.
        receiving: Receiving slots, of which it takes one at once.
        answered: Answering slots; one of each is taken when the request has arrived; the last can be released early.

    Raises:
        TooManyCalls: No receiving slot is free.
    """

    def __init__(self, tenant: str, receiving: Slots, answered: list[Slots]) -> None:
        self._tenant, self._wanted = tenant, answered
        receiving.take(tenant)
        self._held = [receiving]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def received(self) -> None:
        """Exchange the receiving slot for the answering slots; has no effect the second time.

        Raises:
            TooManyCalls: No slot is free.
        """
        wanted, self._wanted = self._wanted, []
        for slots in wanted:
            slots.take(self._tenant)
            self._held.append(slots)
        if wanted:
            self._held.pop(0).release(self._tenant)

    def submitted(self) -> None:
        """Release the slot of the submission; the call goes on as a stream."""
        self._held.pop().release(self._tenant)

    def end(self) -> None:
        """Release all slots."""
        self._wanted = []
        while self._held:
            self._held.pop().release(self._tenant)
