"""Answers that were paid for once: an outside judge is not asked twice about the same picture of the same edit.

An answer is found by what it depends on: the picture's pixels, the judge (provider, model, question and its version),
what it is shown and told of the edit, and how often the same was asked before, so that a stochastic judge who is to be
heard again is. Failures are not remembered.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping

from eacps.imaging import Picture, content_hash
from eacps.scoring.scorer import EditContext, Missing, Outcome, Scorer

DEFAULT_SIZE = 50_000


class RememberedScorer:
    """A `Scorer` that remembers another's answers, the latest ``size`` of them.

    Args:
        scorer: Who is asked.
        size: How many answers are kept.
    """

    def __init__(self, scorer: Scorer, *, size: int = DEFAULT_SIZE) -> None:
        self._scorer, self._size = scorer, size
        self._answers: OrderedDict[str, float] = OrderedDict()

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
        known = {name: self._answers[key] for name, key in keys.items() if key in self._answers}
        for name in known:
            self._answers.move_to_end(keys[name])
        new = {name: picture for name, picture in pictures.items() if name not in known}
        answered = await self._scorer.score(new, context) if new else {}
        for name, outcome in answered.items():
            if name in keys and not isinstance(outcome, Missing):
                self._answers[keys[name]] = outcome
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
        return {**known, **answered}

    def _keys(self, pictures: Mapping[str, Picture], context: EditContext) -> dict[str, str]:
        """Name the answers."""
        edit = hashlib.sha256(self.identity.encode())
        for part in (context.prompt, content_hash(context.scene), content_hash(context.character), str(context.again)):
            edit.update(b"\0" + part.encode())
        return {name: f"{edit.hexdigest()}{content_hash(picture)}" for name, picture in pictures.items()}
