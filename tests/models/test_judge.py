import numpy as np
import pytest
import torch
from PIL import Image

from eacps.models.backbones.qwen_image_edit.judge import Judge
from eacps.models.backbones.qwen_image_edit.prompt import NO, YES, judge_prompt
from eacps.models.failures import InvalidInput
from eacps.models.questions import parse_questions
from tests.models.studio import Studio, picture

QUESTIONS = ["Is the person smiling?", "Does this face look natural?", "Is it so?"]


@pytest.fixture
def judge(studio: Studio) -> Judge:
    return Judge(studio.config, studio.networks(), studio.assets)


@torch.no_grad()
def _asked_of_transformers(studio: Studio, shown: list[np.ndarray], question: str) -> float:
    """The language head's own logits for the next token."""
    processor = studio.pipeline.processor
    pictures = [Image.fromarray(one) for one in shown]
    inputs = processor(text=[judge_prompt(question, len(shown))], images=pictures)
    logits = studio.pipeline.text_encoder(**inputs).logits[0, -1]
    yes, no = (processor.tokenizer(word)["input_ids"][0] for word in (YES, NO))
    return torch.softmax(logits[[yes, no]], dim=0)[0].item()


@pytest.mark.parametrize("shown_together", [1, 2])
async def test_p_yes_is_the_models_own_for_questions_of_any_length(
    studio: Studio, judge: Judge, shown_together: int
) -> None:
    items = [[picture(10 * item + number) for number in range(shown_together)] for item in range(2)]
    p_yes = await judge.p_yes(np.array(items), QUESTIONS)
    expected = [[_asked_of_transformers(studio, item, question) for question in QUESTIONS] for item in items]
    np.testing.assert_allclose(p_yes.numpy(), expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3  # answers differ, or this would prove nothing


async def test_many_rows_go_in_batches_the_text_encoder_takes(studio: Studio, judge: Judge) -> None:
    studio.calls.pop("text_encoder", None)
    p_yes = await judge.p_yes(np.stack([picture(seed)[None] for seed in range(7)]), QUESTIONS)
    assert p_yes.shape == (7, 3)
    assert studio.calls["text_encoder"] == [16, 5]
    alone = await judge.p_yes(picture(6)[None, None], QUESTIONS[:1])
    np.testing.assert_allclose(p_yes[6, 0], alone[0, 0], atol=1e-6)


@pytest.mark.parametrize("question", ["", "Is <|image_pad|> it?", "word " * 2000])
async def test_an_unusable_question_is_refused(judge: Judge, question: str) -> None:
    with pytest.raises(InvalidInput, match="question"):
        await judge.p_yes(picture(1)[None, None], ["Is it so?", question])


def test_questions_come_one_a_line() -> None:
    assert parse_questions(np.frombuffer("Is it so?\nIs it café?".encode(), np.uint8)) == ["Is it so?", "Is it café?"]
    with pytest.raises(InvalidInput, match="UTF-8"):
        parse_questions(np.array([0xFF], np.uint8))
