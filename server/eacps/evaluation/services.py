"""The services that a search uses, as protocols, and its calls to models: with time limits and retries."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from eacps.arrays import Float32, UInt8
from eacps.artifacts import ArtifactStore, MemoryArtifacts
from eacps.errors import CallTimedOut, DeadlineExceeded, TritonUnavailable
from eacps.evaluation.observer import Observer
from eacps.evaluation.plan import SearchSettings, judge_of
from eacps.evaluation.timing import Deadline
from eacps.imaging import Decoder, LocalDecoder
from eacps.scene.faces import Faces
from eacps.scoring.questions import Judge, Question
from eacps.scoring.scorer import Scorer
from eacps.triton.types import Generated, GenerateRequest, ServedCheckpoint

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 10
"""In units of the first pause."""
T = TypeVar("T")


class Models(Protocol):
    """The models that make pictures; `eacps.triton.TritonGateway` is one."""

    async def describe(self) -> ServedCheckpoint:
        """Return which checkpoint is served."""
        ...

    def expecting(self, build: str) -> AbstractContextManager[None]:
        """Have calls that are begun within the block refused, as `CheckpointChanged`, by models of another build."""
        ...

    async def swap_face(
        self, scene: UInt8, landmarks: Float32, source: Float32, *, timeout_s: float | None = None
    ) -> UInt8:
        """Put an identity over the scene's face that has these landmarks; only where a face swapper is served."""
        ...

    async def embed_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> Sequence[Faces]:
        """Find and embed the faces of pictures of one size; those of each picture."""
        ...

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        """Make one micro-batch of candidates."""
        ...


@dataclass(frozen=True)
class ExecutionLimits:
    """Limits on concurrency, retries and call times.

    Args:
        unscored_batches: Micro-batches under way, being generated or scored; 1 would be no overlap at all.
        retry_delay_s: Pause before a call that found Triton unavailable is tried again; every further one is twice as
            long, up to ten times this.
        retries: Maximum number of retries of a call.
        generate_timeout_s: Time limit of the sampler for one micro-batch, independent of the deadline of the search.
        call_timeout_s: Time limit of any other call of a model.
    """

    unscored_batches: int = 3
    retry_delay_s: float = 1.0
    retries: int = 1
    generate_timeout_s: float = 600.0
    call_timeout_s: float = 60.0


ProvenanceRecord = Mapping[str, Any]
"""How a picture was made, JSON-able."""


class Marker(Protocol):
    """Adds provenance to delivered files; `eacps.provenance.Marking` is one."""

    def packet(self, record: ProvenanceRecord) -> str | None:
        """Return the XMP packet for a file; None for no packet."""
        ...

    def sealed(self, data: bytes, scene: bytes) -> bytes:
        """Return a file signed, given the file of the scene that it was made from."""
        ...


class Unmarked:
    """A `Marker` that adds nothing, for tests."""

    def packet(self, record: ProvenanceRecord) -> str | None:
        """See `Marker.packet`."""
        del record
        return None

    def sealed(self, data: bytes, scene: bytes) -> bytes:
        """See `Marker.sealed`."""
        del scene
        return data


@dataclass(frozen=True)
class Services:
    """The services of one search.

    Args:
        models: Make pictures.
        scorers: Judge them, by name; at least those of the weights, but for questions of the caller's own.
        artifacts: Keeps pictures by content hash.
        limits: Concurrency, retries and call times.
        observer: Receives metrics and spans.
        judges: Judges for questions of callers, by name.
        decoder: Reads the scene's file, and writes it with a result in it.
        marking: Adds provenance to delivered files.
    """

    models: Models
    scorers: Mapping[str, Scorer]
    artifacts: ArtifactStore = field(default_factory=MemoryArtifacts)
    limits: ExecutionLimits = ExecutionLimits()
    observer: Observer = field(default_factory=Observer)
    judges: Mapping[str, Judge] = field(default_factory=dict)
    decoder: Decoder = field(default_factory=LocalDecoder)
    marking: Marker = field(default_factory=Unmarked)

    def scorers_of(self, settings: SearchSettings) -> dict[str, Scorer]:
        """Return the scorers that a search asks, by name."""
        return {name: self._scorer(name, settings.questions.get(name)) for name in settings.scorers}

    def _scorer(self, name: str, question: Question | None) -> Scorer:
        return self.scorers[name] if question is None else self.judges[judge_of(name)](question)


class ModelCalls:
    """Makes the model calls of one search, with time limits and retries.

    Args:
        search_id: Names it in logs.
        models: Checked for an outage after a call that timed out.
        deadline: Of the search.
        limits: Number of retries and the pauses between them.
    """

    def __init__(self, search_id: str, models: Models, deadline: Deadline, *, limits: ExecutionLimits) -> None:
        self._search_id, self._models, self._deadline, self._limits = search_id, models, deadline, limits

    async def with_retries(self, call: Callable[[float], Awaitable[T]], *, cap_s: float) -> T:
        """Make a call, and repeat it after a pause if Triton was unavailable.

        Args:
            call: Takes its time limit in seconds; raises `DeadlineExceeded` when it has passed.
            cap_s: Time limit of one attempt, in seconds, even if the search has more time left.

        Raises:
            DeadlineExceeded: The time of the search is up.
            CallTimedOut: No answer within ``cap_s``, although Triton is available. Not retried.
            TritonUnavailable: Triton was unavailable at every attempt.
        """
        tried = 0
        while True:
            left_s = self._deadline.left_s()
            timeout_s = cap_s if left_s is None else min(cap_s, left_s)
            try:
                return await call(timeout_s)
            except DeadlineExceeded as exc:
                if timeout_s == left_s:
                    raise
                await self._check_availability()
                raise CallTimedOut(f"no answer within {cap_s:g} s ({exc})") from exc
            except TritonUnavailable as exc:
                if tried >= self._limits.retries:
                    raise
                _log.warning("search %s: trying again: %s", self._search_id, exc)
            await asyncio.sleep(self._limits.retry_delay_s * min(2**tried, _LONGEST_PAUSE))
            tried += 1

    async def _check_availability(self) -> None:
        """Check whether Triton answers, to distinguish a hanging model from an outage.

        Raises:
            TritonUnavailable: It does not answer.
        """
        try:
            await self._models.describe()
        except DeadlineExceeded as exc:
            raise TritonUnavailable(f"Triton does not answer: {exc}") from exc
