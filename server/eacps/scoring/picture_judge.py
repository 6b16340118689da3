"""What judges outside have in common: one call a picture, many in flight, tried again as the provider asks.

A provider's own module makes one call and says what became of it: a number, an answer that cannot be read
(`ScorerFailed`), or a call that failed (`CallFailed`), perhaps with the time after which to come again.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from eacps.errors import ScorerFailed
from eacps.imaging import Picture
from eacps.scoring.gate import Gate, GateClosed
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, Missing, Outcome


class CallFailed(Exception):
    """A call of the provider failed.

    Args:
        reason: Without anything that the provider said: its message may quote the request, or a key.
        again: Whether the same call may succeed later.
        after_s: Seconds that the provider asks to wait; None where it does not say.
    """

    def __init__(self, reason: str, *, again: bool, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.again, self.after_s = reason, again, after_s


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and after how long a call is made again: exponential back-off with full jitter (Brooker 2015).

    Args:
        attempts: Most calls about one picture, at least 1.
        first_s: Longest pause before the second call; doubles with every further one.
        longest_s: Longest pause of all. A provider that asks for more is not waited for.
    """

    attempts: int = 4
    first_s: float = 0.5
    longest_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_s < 0 or self.longest_s < 0:
            raise ValueError("attempts must be at least 1, pauses not below 0")

    def pause_s(self, attempt: int, failure: CallFailed) -> float | None:
        """Give the pause after failed attempt number ``attempt``, counted from 1; None: there is to be no other."""
        if not failure.again or attempt >= self.attempts:
            return None
        if failure.after_s is not None:
            return failure.after_s if failure.after_s <= self.longest_s else None
        return random.uniform(0.0, min(self.longest_s, self.first_s * 2 ** (attempt - 1)))


DEFAULT_PATIENCE = Patience()


class PictureJudge(ABC):
    """Asks one question about every picture, one call a picture.

    Args:
        question: What is asked.
        name: Name of the scorer.
        identity: What judges: provider, model and question with its version.
        gate: The provider's, shared by all scorers that ask it; by default one of its own.
        patience: With calls that fail and answers that cannot be read.
    """

    def __init__(
        self,
        question: Question,
        *,
        name: str,
        identity: str,
        gate: Gate | None = None,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        self.name, self.identity, self.question = name, identity, question
        self.stochastic, self.vlm_calls = True, 1  # hosted models differ from call to call even at temperature 0
        self._patience = patience
        self._gate = gate or Gate()

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """See `Scorer.score`."""
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(self._outcome(one, context)) for name, one in pictures.items()}
        return {name: task.result() for name, task in asked.items()}

    @abstractmethod
    async def _ask(self, picture: Picture, context: EditContext) -> float:
        """Make one call.

        Raises:
            ScorerFailed: The answer cannot be read, or the model refused.
            CallFailed: There is none.
        """

    async def _outcome(self, picture: Picture, context: EditContext) -> Outcome:
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._answer(picture, context)
            except GateClosed as exc:
                return Missing(str(exc))
            except CallFailed as exc:
                answer = exc
            if not isinstance(answer, CallFailed):
                return answer
            failure = answer
            pause_s = self._patience.pause_s(attempt, failure)
            if pause_s is None:
                return Missing(f"{failure.reason} ({attempt} of {self._patience.attempts} attempts)")
            await asyncio.sleep(pause_s)  # without a slot: who waits shall not keep others waiting

    async def _answer(self, picture: Picture, context: EditContext) -> float | CallFailed:
        """Make one call; what the provider cannot help is returned, what ails it is raised."""
        async with self._gate.slot():
            try:
                return await self._ask(picture, context)
            except ScorerFailed as exc:
                return CallFailed(str(exc), again=True, after_s=0.0)
            except CallFailed as exc:
                if exc.again:
                    raise
                return exc


def retry_after_s(value: str | None) -> float | None:
    """Read a Retry-After header in seconds (RFC 9110); None where it is absent or a date."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if seconds >= 0.0 else None
