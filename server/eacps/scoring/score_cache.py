"""Cache of the scores of external judges: no judge gets the same question about the same picture twice.

The key of a score covers everything that it depends on: the picture's pixels, the judge (provider, model, question and
its version), the parts of the edit that the judge sees, and how often it was asked before, so that a stochastic judge
can be asked again. Errors are not cached.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping

from eacps.arrays import Picture
from eacps.imaging import content_hash
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, MissingScore, Score, Scorer

DEFAULT_SIZE = 200_000


class ScoreCache:
    """The latest scores by key, shared by all scorers, including those of callers' questions.

    Args:
        size: Maximum number of scores.
    """

    def __init__(self, size: int = DEFAULT_SIZE) -> None:
        self._size = size
        self._scores: OrderedDict[str, float] = OrderedDict()

    def get(self, key: str) -> float | None:
        """Return a score and mark it as used; None if it is not cached."""
        if (score := self._scores.get(key)) is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: str, score: float) -> None:
        """Store a score, and drop the least recently used one if there are too many."""
        self._scores[key] = score
        while len(self._scores) > self._size:
            self._scores.popitem(last=False)


class CachedScorer:
    """A `Scorer` that caches the scores of another.

    Args:
        scorer: The scorer to cache.
        question: Its question.
        cache: Stores the scores.
    """

    def __init__(self, scorer: Scorer, question: Question, cache: ScoreCache) -> None:
        self._scorer, self._question, self._cache = scorer, question, cache

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
        """See `Scorer.vlm_calls`, for a picture that is not in the cache."""
        return self._scorer.vlm_calls

    @property
    def identity(self) -> str:
        """See `Scorer.identity`."""
        return self._scorer.identity

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        keys = await asyncio.to_thread(self._keys, pictures, context)
        found = {name: self._cache.get(key) for name, key in keys.items()}
        known = {name: score for name, score in found.items() if score is not None}
        new = {name: picture for name, picture in pictures.items() if name not in known}
        answered = await self._scorer.score(new, context) if new else {}
        for name, outcome in answered.items():
            if name in keys and not isinstance(outcome, MissingScore):
                self._cache.put(keys[name], outcome)
        return {**known, **answered}

    def _keys(self, pictures: Mapping[str, Picture], context: EditContext) -> dict[str, str]:
        """Return the keys of the answers."""
        asked = hashlib.sha256(self.identity.encode())
        prompt = context.prompt if self._question.tells_prompt else ""
        scene = content_hash(context.scene) if self._question.shows_scene else ""
        for part in (prompt, scene, str(context.again)):
            asked.update(b"\0" + part.encode())
        return {name: f"{asked.hexdigest()}{content_hash(picture)}" for name, picture in pictures.items()}
