"""What a search needs from outside, as protocols, so that it can be run against Triton or a double alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from eacps.evaluation.artifacts import ArtifactStore, MemoryArtifacts
from eacps.evaluation.observer import Observer, Silent
from eacps.evaluation.plan import SearchPlan, judge_of
from eacps.evaluation.steps import DirectRunner, StepRunner
from eacps.scoring.questions import Judge, Question
from eacps.scoring.scorer import Scorer
from eacps.triton.types import Faces, Float32, Generated, GenerateRequest, Prior, ServedCheckpoint, UInt8


class Models(Protocol):
    """The models that make pictures; `eacps.triton.TritonGateway` is one."""

    async def describe(self) -> ServedCheckpoint:
        """Say which checkpoint is served."""
        ...

    async def prepare_prior(
        self,
        scene: UInt8,
        character: UInt8,
        *,
        scene_face: int = -1,
        character_face: int = -1,
        source: Float32 | None = None,
        timeout_s: float | None = None,
    ) -> Prior:
        """Put the character's face, or another identity (``source``), into the scene."""
        ...

    async def embed_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> Faces:
        """Find and embed the faces of pictures of one size: at most 8 of each, largest first."""
        ...

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        """Make one micro-batch of candidates."""
        ...


@dataclass(frozen=True)
class Pace:
    """How much runs at once, and how patiently.

    Args:
        unscored_batches: Micro-batches under way, being generated or scored; 1 would be no overlap at all.
        updates_ahead: Updates that may wait for a slow reader before the search waits for it.
        retry_delay_s: Pause before a call that found Triton unavailable is tried again; every further one is twice as
            long, up to ten times this.
        retries: How often at most.
        generate_timeout_s: Most time for the sampler's work on one micro-batch, whatever the search's deadline.
        call_timeout_s: Most time for any other call of a model.
    """

    unscored_batches: int = 3
    updates_ahead: int = 64
    retry_delay_s: float = 1.0
    retries: int = 1
    generate_timeout_s: float = 600.0
    call_timeout_s: float = 60.0


@dataclass(frozen=True)
class Laboratory:
    """Where one search is run.

    Args:
        models: Make pictures.
        scorers: Judge them, by name; at least those of the plan's weights, but for questions of the caller's own.
        artifacts: Keeps pictures by content hash.
        steps: Runs and records the steps.
        pace: How much at once.
        observer: Watches.
        judges: Whom callers may ask questions of their own, by name.
    """

    models: Models
    scorers: Mapping[str, Scorer]
    artifacts: ArtifactStore = field(default_factory=MemoryArtifacts)
    steps: StepRunner = field(default_factory=DirectRunner)
    pace: Pace = Pace()
    observer: Observer = field(default_factory=Silent)
    judges: Mapping[str, Judge] = field(default_factory=dict)

    def scorers_of(self, plan: SearchPlan) -> dict[str, Scorer]:
        """Give the scorers that a plan asks, by name."""
        return {name: self._scorer(name, plan.questions.get(name)) for name in plan.scorers}

    def _scorer(self, name: str, question: Question | None) -> Scorer:
        return self.scorers[name] if question is None else self.judges[judge_of(name)](question)
