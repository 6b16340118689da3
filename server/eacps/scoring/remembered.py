"""Answers that were paid for once: an outside judge is not asked twice the same about the same picture.

An answer is found by what it depends on: the picture's pixels, the judge (provider, model, question and its version),
what it is shown and told of the edit, and how often the same was asked before, so that a stochastic judge who is to be
heard again is. Failures are not remembered.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping

from eacps.imaging import Picture, content_hash
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, Missing, Outcome, Scorer

DEFAULT_SIZE = 200_000


class Answers:
    """The latest answers, by what they depend on; shared by all scorers, those of callers' own questions included.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int = DEFAULT_SIZE) -> None:
        self._size = size
        self._scores: OrderedDict[str, float] = OrderedDict()

    def get(self, key: str) -> float | None:
        """Give an answer, which then counts as used; None where there is none."""
        if (score := self._scores.get(key)) is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: str, score: float) -> None:
        """Keep an answer; the one that was used the longest ago goes for it."""
        self._scores[key] = score
        while len(self._scores) > self._size:
            self._scores.popitem(last=False)


class RememberedScorer:
    """A `Scorer` that remembers what another answered.

    Args:
        scorer: Who is asked.
        question: What it asks.
        answers: Where they are kept.
    """

    def __init__(self, scorer: Scorer, question: Question, answers: Answers) -> None:
        self._scorer, self._question, self._answers = scorer, question, answers

    @property
    def name(self) -> str:
        """See `Scorer.name`."""
        return self._scorer.name

    @property
    def stochastic(self) -> bool:
        """See `Scorer.stochastic`."""
        return self._scorer.stochastic

    @property
    def vlm_calls(self) -> int:
        """See `Scorer.vlm_calls`; of a picture that was not seen before."""
        return self._scorer.vlm_calls

    @property
    def identity(self) -> str:
        """See `Scorer.identity`."""
        return self._scorer.identity

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """See `Scorer.score`."""
        keys = await asyncio.to_thread(self._keys, pictures, context)
        found = {name: self._answers.get(key) for name, key in keys.items()}
        known = {name: score for name, score in found.items() if score is not None}
        new = {name: picture for name, picture in pictures.items() if name not in known}
        answered = await self._scorer.score(new, context) if new else {}
        for name, outcome in answered.items():
            if name in keys and not isinstance(outcome, Missing):
                self._answers.put(keys[name], outcome)
        return {**known, **answered}

    def _keys(self, pictures: Mapping[str, Picture], context: EditContext) -> dict[str, str]:
        """Name the answers."""
        asked = hashlib.sha256(self.identity.encode())
        told = context.prompt if self._question.tells_prompt else ""
        shown = content_hash(context.scene) if self._question.shows_scene else ""
        for part in (told, shown, str(context.again)):
            asked.update(b"\0" + part.encode())
        return {name: f"{asked.hexdigest()}{content_hash(picture)}" for name, picture in pictures.items()}
