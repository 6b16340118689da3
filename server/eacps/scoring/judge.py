"""An external vision-language model as a judge: one call per picture, many in flight, with retries.

`PictureJudge` is the one scorer over all providers. A provider's own module (`Provider`) says what its endpoint may be
asked for, and makes one call: it returns a `Reply`, or raises an answer that cannot be read (`ScorerFailed`), a refusal
(`CallRefused`), or a call that failed (`JudgeCallFailed`), perhaps with the time after which to come again.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eacps.arrays import Picture
from eacps.errors import ScorerFailed
from eacps.imaging import encode_png
from eacps.scoring.answers import CutOff, NotGraded, Reply, read_grade, read_scores, read_word
from eacps.scoring.endpoint_options import CallOptions, CallRefused, EndpointOptions, Option, UnreadableReply
from eacps.scoring.pictures import side_by_side
from eacps.scoring.provider_limiter import CircuitOpen, ProviderLimiter
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, MissingScore, Score

WORD = "You inspect pictures. Answer the question about them with one word, Yes or No."
GRADE = (
    "You inspect pictures. Judge the question about them and answer with the probability, from 0 to 1, that an "
    'attentive person would answer it with yes. Answer in JSON and with nothing else: {"probability_of_yes": 0.5}'
)
"""Instructions for the form of a judge's answer."""
GRADE_EDGE = 0.01
"""Graded answers are kept this far from 0 and 1: two written decimals are no surer, and log-odds would make them so."""
DEFAULT_MAX_TOKENS = 16_384
"""Of one answer of a model that thinks."""
_LEFT, _RIGHT = "the picture on the left", "the picture on the right"


class JudgeCallFailed(Exception):
    """A call of the provider failed.

    Args:
        reason: Without anything that the provider said: its message may quote the request, or a key.
        again: Whether the same call may succeed later.
        after_s: Seconds that the provider asks to wait; None if it does not ask.
    """

    def __init__(self, reason: str, *, again: bool, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.again, self.after_s = reason, again, after_s


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after how long a call is made again: exponential back-off with full jitter (Brooker 2015).

    Args:
        attempts: Most tries for one picture, at least 1. Calls that find out what an endpoint accepts are not counted.
        first_s: Longest pause before the second try; doubles with every further one.
        longest_s: Longest pause of all. A provider that asks for more is not waited for.
    """

    attempts: int = 4
    first_s: float = 0.5
    longest_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_s < 0 or self.longest_s < 0:
            raise ValueError("attempts must be at least 1, pauses not below 0")

    def pause_s(self, attempt: int, failure: JudgeCallFailed) -> float | None:
        """Return the pause after failed attempt number ``attempt``, counted from 1; None if there is to be no other."""
        if not failure.again or attempt >= self.attempts:
            return None
        if failure.after_s is not None:
            return failure.after_s if failure.after_s <= self.longest_s else None
        return random.uniform(0.0, min(self.longest_s, self.first_s * 2 ** (attempt - 1)))


DEFAULT_RETRY_POLICY = RetryPolicy()


@dataclass(frozen=True)
class JudgeCall:
    """What one call puts to a model.

    Attributes:
        pngs: Pictures, encoded; the scene first if it is shown.
        instruction: The form of the answer; empty for a reward model, whose question says it all.
        question: The text.
    """

    pngs: Sequence[bytes]
    instruction: str
    question: str


class Provider(Protocol):
    """One model at one endpoint, shared by all scorers that ask it."""

    @property
    def name(self) -> str:
        """First part of the scorers' names."""
        ...

    @property
    def model(self) -> str:
        """Name of the model, for `Scorer.identity`."""
        ...

    @property
    def takes_one_picture(self) -> bool:
        """Whether scene and result are to be put side by side into one picture."""
        ...

    @property
    def options(self) -> EndpointOptions:
        """What is known of the endpoint."""
        ...

    async def call(self, asked: JudgeCall, options: CallOptions) -> Reply:
        """Make one call.

        Raises:
            CallRefused: The endpoint does not take the call as it is.
            ScorerFailed: The answer cannot be read, or the model declined.
            JudgeCallFailed: There is none.
        """
        ...


class PictureJudge:
    """Asks one question about every picture, one call a picture.

    Args:
        provider: Who is asked.
        question: What is asked; see `Question`.
        limiter: The provider's, shared by all scorers that ask it; by default one of its own.
        retry_policy: With calls that fail and answers that cannot be read.
    """

    def __init__(
        self,
        provider: Provider,
        question: Question,
        *,
        limiter: ProviderLimiter | None = None,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    ) -> None:
        self.name = f"{provider.name}.{question.name}"
        self.identity = f"{provider.name}:{provider.model}:{question.identity}"
        self.stochastic, self.vlm_calls = True, 1  # hosted models differ from call to call even at temperature 0
        self.question = question
        self._provider, self._retry_policy = provider, retry_policy
        self._limiter = limiter or ProviderLimiter()

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(self._outcome(one, context)) for name, one in pictures.items()}
        return {name: task.result() for name, task in asked.items()}

    async def _outcome(self, picture: Picture, context: EditContext) -> Score:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(picture, context)
            except CircuitOpen as exc:
                return MissingScore(str(exc))
            except JudgeCallFailed as exc:
                failure = exc
            pause_s = self._retry_policy.pause_s(attempt, failure)
            if pause_s is None:
                return MissingScore(f"{failure.reason} ({attempt} of {self._retry_policy.attempts} attempts)")
            await asyncio.sleep(pause_s)  # without a slot: who waits must not keep others waiting

    async def _attempt(self, picture: Picture, context: EditContext) -> float:
        """Ask once.

        Raises:
            JudgeCallFailed: There is no score.
            CircuitOpen: The provider is not asked at present.
        """
        async with self._limiter.slot():  # around the encoding too: what waits for its turn must not wait encoded
            pngs, question = await asyncio.to_thread(self._shown, picture, context)

            async def call(options: CallOptions) -> Reply:
                instruction = "" if self.question.scale else WORD if options[Option.LOGPROBS] else GRADE
                return await self._answer(JudgeCall(pngs, instruction, question), options)

            try:
                return await self._provider.options.ask(call, self._read)
            except ScorerFailed as exc:
                raise JudgeCallFailed(str(exc), again=True, after_s=0.0) from exc
            except CallRefused as exc:
                raise JudgeCallFailed(exc.reason, again=False) from exc

    async def _answer(self, asked: JudgeCall, options: CallOptions) -> Reply:
        """Make one call. Only an outage leaves the limiter as an exception, so that only outages open its circuit."""
        async with self._limiter.call():
            try:
                return await self._provider.call(asked, options)
            except (CallRefused, ScorerFailed) as exc:
                answered: Exception = exc
            except JudgeCallFailed as exc:
                if exc.again:
                    raise
                answered = exc
        raise answered

    def _shown(self, picture: Picture, context: EditContext) -> tuple[Sequence[bytes], str]:
        """Encode what is shown, and word the question. Takes as long as encoding does."""
        shown = [context.scene, picture] if self.question.shows_scene else [picture]
        if len(shown) > 1 and self._provider.takes_one_picture:
            question = self.question.text(context.prompt, scene=_LEFT, result=_RIGHT)
            return [encode_png(side_by_side(shown))], question
        return [encode_png(one) for one in shown], self.question.text(context.prompt)

    def _read(self, reply: Reply, options: CallOptions) -> float:
        try:
            if self.question.scale:
                return read_scores(reply, self.question.scale)
            if options[Option.LOGPROBS]:
                return read_word(reply)
            return min(1.0 - GRADE_EDGE, max(GRADE_EDGE, read_grade(reply)))
        except CutOff as exc:
            raise UnreadableReply(str(exc), Option.BUDGET) from exc
        except NotGraded as exc:
            raise UnreadableReply(str(exc), Option.LOGPROBS) from exc
