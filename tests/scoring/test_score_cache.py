"""Answers that were paid for once."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from eacps.arrays import Picture
from eacps.scoring import EditContext, MissingScore, Score, callers_question, load_question
from eacps.scoring.score_cache import CachedScorer, ScoreCache

REALISM, PROMPT = load_question("realism", 2), load_question("prompt", 2)
CONTEXT = EditContext(
    scene=np.zeros((8, 8, 3), np.uint8),
    prompt="make the person smile",
    reference_embedding=np.zeros(512, np.float32),
    character=np.ones((8, 8, 3), np.uint8),
    character_face=0,
    scene_box=(0.0, 0.0, 8.0, 8.0),
)


def gray(value: int) -> Picture:
    return np.full((8, 8, 3), value, np.uint8)


class Judge:
    """Answers by counting; a dark picture it cannot judge."""

    def __init__(self, identity: str = "judge:model:question.v1") -> None:
        self.name, self.identity = "judge", identity
        self.stochastic, self.vlm_calls = True, 1
        self.asked: list[str] = []

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        self.asked += pictures
        outcomes: dict[str, Score] = {}
        for name, picture in pictures.items():
            outcomes[name] = MissingScore("too dark") if picture.mean() < 10 else len(self.asked) / 1000
        return outcomes


async def test_the_same_picture_of_the_same_edit_is_asked_about_once() -> None:
    judge = Judge()
    scorer = CachedScorer(judge, REALISM, ScoreCache())
    first = await scorer.score({"a": gray(100), "b": gray(200)}, CONTEXT)
    again = await scorer.score({"x": gray(200), "y": gray(50)}, CONTEXT)
    assert judge.asked == ["a", "b", "y"]
    assert again["x"] == first["b"]
    assert set(again) == {"x", "y"}


async def test_whatever_an_answer_depends_on_makes_it_another() -> None:
    judge = Judge()
    scorer = CachedScorer(judge, PROMPT, ScoreCache())
    contexts = [
        CONTEXT,
        replace(CONTEXT, prompt="another"),
        replace(CONTEXT, scene=gray(1)),
        replace(CONTEXT, again=1),
    ]
    for context in contexts:
        await scorer.score({"a": gray(100)}, context)
    judge.identity = "judge:model:question.v2"
    await scorer.score({"a": gray(100)}, CONTEXT)
    assert len(judge.asked) == len(contexts) + 1
    await scorer.score({"a": gray(100)}, replace(CONTEXT, timeout_s=1.0))
    assert len(judge.asked) == len(contexts) + 1


async def test_what_is_neither_shown_nor_told_does_not_count() -> None:
    judge = Judge()
    scorer = CachedScorer(judge, REALISM, ScoreCache())
    for context in (CONTEXT, replace(CONTEXT, prompt="another"), replace(CONTEXT, scene=gray(1))):
        await scorer.score({"a": gray(100)}, context)
    assert judge.asked == ["a"]


async def test_a_callers_question_is_remembered_by_its_text_from_search_to_search() -> None:
    cache, asked = ScoreCache(), []
    for text in ("Is there a hat?", "Is there a hat?", "Is there no hat?"):
        question = callers_question("hat", text)
        judge = Judge(f"judge:model:{question.identity}")
        await CachedScorer(judge, question, cache).score({"a": gray(100)}, CONTEXT)
        asked.append(len(judge.asked))
    assert asked == [1, 0, 1]


async def test_failures_are_not_remembered() -> None:
    judge = Judge()
    scorer = CachedScorer(judge, REALISM, ScoreCache())
    for _ in range(2):
        assert isinstance((await scorer.score({"a": gray(0)}, CONTEXT))["a"], MissingScore)
    assert judge.asked == ["a", "a"]


async def test_the_oldest_answers_go_first() -> None:
    judge = Judge()
    scorer = CachedScorer(judge, REALISM, ScoreCache(2))
    for value in (50, 100, 50, 150):
        await scorer.score({str(value): gray(value)}, CONTEXT)
    assert judge.asked == ["50", "100", "150"]
    await scorer.score({"50": gray(50)}, CONTEXT)
    assert judge.asked == ["50", "100", "150"], "it was used last before 150 came"
    await scorer.score({"100": gray(100)}, CONTEXT)
    assert judge.asked[-1] == "100"
