"""The checkpoint's own judge, or its text encoder as a judge: P(yes) from `vlm_judge` in Triton."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eacps.arrays import Float32, Picture
from eacps.errors import InvalidRequest
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, Score


class YesNoJudge(Protocol):
    """Answers questions about pictures; `eacps.triton.TritonGateway` is one."""

    async def judge(
        self, pictures: npt.NDArray[np.uint8], questions: Sequence[str], *, timeout_s: float | None = None
    ) -> Float32:
        """P(yes) ``[N, Q]`` about N items of R pictures each, ``uint8 [N, R, H, W, 3]``."""
        ...


@dataclass(eq=False)
class _Call:
    """One call that is being put together, or is under way.

    Attributes:
        items: What is shown.
        timeout_s: Of the call.
        questions: In the order in which they came.
        waiting: How many of those who asked still wait.
        answering: Makes the call; returns ``[N]`` for each question, or why it was refused.
    """

    items: Sequence[Sequence[Picture]]
    timeout_s: float | None
    questions: list[str] = field(default_factory=list)
    waiting: int = 0
    answering: "asyncio.Task[list[Float32 | InvalidRequest]] | None" = None


class JoinedQuestions:
    """A judge that gets the questions about the same pictures, asked at the same time, in one call.

    The pictures are then sent, queued and prepared once. Questions are joined if they come in one turn of the event
    loop, as those of scorers that are asked side by side.

    Args:
        judge: Answers.
    """

    def __init__(self, judge: YesNoJudge) -> None:
        self._judge = judge
        self._open: dict[tuple[tuple[int, ...], ...], _Call] = {}

    async def p_yes(
        self, items: Sequence[Sequence[Picture]], question: str, *, timeout_s: float | None = None
    ) -> Float32:
        """Ask one question.

        Args:
            items: N items of pictures shown together, ``uint8 [H, W, 3]``, all of one size.
            question: About each item.
            timeout_s: For the call; that of the first question counts for those that join it.

        Returns:
            ``[N]``, in [0, 1].

        Raises:
            EacpsError: The call failed. A question that is refused fails alone.
        """
        key = tuple(tuple(map(id, item)) for item in items)  # of arrays that an open call keeps alive
        call = self._open.setdefault(key, _Call(items, timeout_s))
        if call.answering is None:
            call.answering = asyncio.create_task(self._answers(key, call))
        number = len(call.questions)
        call.questions.append(question)
        call.waiting += 1
        try:
            answer = (await asyncio.shield(call.answering))[number]
        except asyncio.CancelledError:
            call.waiting -= 1
            if not call.waiting:
                if self._open.get(key) is call:  # cancelled before it begins, it would stay there
                    del self._open[key]
                call.answering.cancel()
                await asyncio.wait([call.answering])
            raise
        if isinstance(answer, InvalidRequest):
            raise answer
        return answer

    async def _answers(self, key: tuple[tuple[int, ...], ...], call: _Call) -> list[Float32 | InvalidRequest]:
        del self._open[key]
        pictures = np.stack([np.stack(item) for item in call.items])

        async def ask(questions: Sequence[str]) -> list[Float32 | InvalidRequest]:
            try:
                return list((await self._judge.judge(pictures, questions, timeout_s=call.timeout_s)).T)
            except InvalidRequest as exc:
                if len(questions) == 1:
                    return [exc]
                return [(await ask([one]))[0] for one in questions]

        return await ask(call.questions)


class TritonJudge:
    """Asks one question about every picture, all pictures in one call.

    Args:
        judge: Who answers.
        question: What is asked; see `Question.shows_scene`.
        name: Name of the scorer; default ``triton.<question>``.
    """

    def __init__(self, judge: JoinedQuestions, question: Question, *, name: str | None = None) -> None:
        self.name = name or f"triton.{question.name}"
        self.identity = f"vlm_judge:{question.identity}"
        self.stochastic, self.vlm_calls = False, 1
        self.question = question
        self._judge = judge

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        if not pictures:
            return {}
        before = [context.scene] if self.question.shows_scene else []
        items = [[*before, picture] for picture in pictures.values()]
        question = self.question.text(context.prompt)
        p_yes = await self._judge.p_yes(items, question, timeout_s=context.timeout_s)
        return dict(zip(pictures, p_yes.astype(float).tolist(), strict=True))
