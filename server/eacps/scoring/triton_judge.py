"""The checkpoint's own judge, or its text encoder as a judge: P(yes) from `vlm_judge` in Triton."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eacps.arrays import Picture
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, Score


class YesNoJudge(Protocol):
    """Answers questions about pictures; `eacps.triton.TritonGateway` is one."""

    async def judge(
        self, pictures: npt.NDArray[np.uint8], questions: Sequence[str], *, timeout_s: float | None = None
    ) -> npt.NDArray[np.float32]:
        """P(yes) ``[N, Q]`` about N items of R pictures each, ``uint8 [N, R, H, W, 3]``."""
        ...


class TritonJudge:
    """Asks one question about every picture, all pictures in one call.

    Args:
        judge: Who answers.
        question: What is asked; see `Question.shows_scene`.
        name: Name of the scorer; default ``triton.<question>``.
    """

    def __init__(self, judge: YesNoJudge, question: Question, *, name: str | None = None) -> None:
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
        items = np.stack([np.stack([*before, picture]) for picture in pictures.values()])
        question = self.question.text(context.prompt)
        p_yes = await self._judge.judge(items, [question], timeout_s=context.timeout_s)
        return dict(zip(pictures, p_yes[:, 0].astype(float).tolist(), strict=True))
