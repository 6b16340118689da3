"""A reward model for edits behind an OpenAI-compatible server, in the wire format of EditScore and UnifiedReward-Edit.

Both answer with one JSON object: short reasoning, and a list of scores from 0 to 25, of which the least counts. See
github.com/VectorSpaceLab/EditScore (``editscore/__init__.py``) and github.com/CodeGoat24/UnifiedReward
(``UnifiedReward-Edit/edit_pointwise_*.py``).
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from eacps.assembly.judges import check_judges, external_judges
from eacps.errors import InvalidRequest
from eacps.scoring import MissingScore, PictureJudge, Score, load_rubric
from eacps.scoring.judge import RetryPolicy
from eacps.settings import JudgeProvider, JudgeSettings, Settings
from tests.scoring.endpoint import Endpoint, listening, send
from tests.scoring.test_openai_provider import CONTEXT, PICTURES, completion, provider_at, url_of

SCORED = '{\n"reasoning" : "The hat is gone, and "nothing" else changed.",\n"score" : [20, 22]\n}'


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with listening(Endpoint(lambda handler, _: send(handler, 200, completion(SCORED)))) as opened:
        yield opened


async def judged(endpoint: Endpoint, name: str) -> Score:
    async with provider_at(f"{endpoint.url}/v1", name="reward", rates=True) as provider:
        judge = PictureJudge(provider, load_rubric(name), retry_policy=RetryPolicy(2, first_s=0.0))
        assert judge.name == f"reward.{name}"
        assert judge.identity == f"reward:m:{name}@rubric.v1"
        return (await judge.score({"c1": PICTURES["c1"]}, CONTEXT))["c1"]


async def test_the_least_score_counts_as_a_fraction_of_the_scale(endpoint: Endpoint) -> None:
    assert await judged(endpoint, "prompt") == 0.8


async def test_it_is_shown_scene_and_result_and_told_the_instruction_in_one_message(endpoint: Endpoint) -> None:
    await judged(endpoint, "prompt")
    (body,) = endpoint.bodies
    (message,) = body["messages"]
    scene, result, task = message["content"]
    assert [one["image_url"]["url"] for one in (scene, result)] == [url_of(CONTEXT.scene), url_of(PICTURES["c1"])]
    assert task["text"].endswith('Editing instruction: make {her} "smile"')
    assert "from 0 to 25" in task["text"]
    assert body["max_completion_tokens"] == 512
    assert not {"logprobs", "response_format"} & body.keys(), "it answers in the form that it was trained on"


async def test_the_quality_of_a_picture_is_judged_by_itself(endpoint: Endpoint) -> None:
    await judged(endpoint, "realism")
    assert len(endpoint.bodies[0]["messages"][0]["content"]) == 2


async def test_a_long_reasoning_gets_room_and_what_cannot_be_read_is_missing(endpoint: Endpoint) -> None:
    endpoint.reply = lambda handler, _: send(handler, 200, completion('{"reasoning": "and', ending="length"))
    assert await judged(endpoint, "prompt") == MissingScore("the answer was cut off (2 of 2 attempts)")
    assert [body["max_completion_tokens"] for body in endpoint.bodies] == [512, 16_384, 16_384]


async def test_settings_offer_it_and_nobodys_questions(endpoint: Endpoint, tmp_path: Path) -> None:
    settings = JudgeSettings(JudgeProvider.REWARD, "editscore", f"{endpoint.url}/v1")
    async with AsyncExitStack() as stack:
        external = external_judges(Settings(judges=(settings,)), stack)
        assert sorted(external.scorers) == ["reward.prompt", "reward.realism"]
        assert external.judges == {}


async def test_its_makers_own_words_can_be_given(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Rate {result} against {scene}: {prompt}", encoding="utf-8")
    (tmp_path / "realism.txt").write_text("Rate it.", encoding="utf-8")
    settings = JudgeSettings(JudgeProvider.REWARD, "editscore", f"{endpoint.url}/v1", rubrics=tmp_path)
    async with AsyncExitStack() as stack:
        scorers = external_judges(Settings(judges=(settings,)), stack).scorers
        assert scorers["reward.prompt"].identity.startswith("reward:editscore:prompt@rubric.sha256:")
        assert await scorers["reward.prompt"].score({"c1": PICTURES["c1"]}, CONTEXT) == {"c1": 0.8}
    text = endpoint.bodies[0]["messages"][0]["content"][-1]["text"]
    assert text == 'Rate the second picture against the first picture: make {her} "smile"'


def test_makers_words_that_are_not_there_are_named(tmp_path: Path) -> None:
    settings = JudgeSettings(JudgeProvider.REWARD, "editscore", "http://127.0.0.1:1/v1", rubrics=tmp_path)
    with pytest.raises(InvalidRequest, match="EACPS_REWARD_RUBRICS"):
        check_judges(Settings(judges=(settings,)))
