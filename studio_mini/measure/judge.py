"""How often the judge is right: attributes by balanced accuracy, naturalness by AUC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from eacps.models.backbones.qwen_image_edit.prompt import NO, YES, judge_prompt
from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini.world.prompts import (
    ACCESSORY_QUESTIONS,
    EXPRESSION_QUESTIONS,
    NATURAL_QUESTION,
    Look,
    attribute_questions,
)

_BATCH = 16
Pictures = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


class Judge:
    """P(yes) of a question about a picture, by what answers questions in a checkpoint and its language head."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, processor: EditProcessor) -> None:
        self._model, self._processor = model.eval(), processor
        self._yes, self._no = processor.token_id(YES), processor.token_id(NO)

    @torch.no_grad()
    def p_yes(self, pictures: Pictures, question: str) -> NDArray[np.float64]:
        """Return P(yes) [N] in [0, 1] for pictures uint8 [H, W, 3] of one size."""
        answers = []
        for start in range(0, len(pictures), _BATCH):
            shown = [Image.fromarray(picture) for picture in pictures[start : start + _BATCH]]
            # One question, pictures of one size: every row has the same length, so nothing is padded.
            inputs = self._processor(text=[judge_prompt(question)] * len(shown), images=shown)
            hidden = self._model.model(**inputs).last_hidden_state[:, -1]
            rows = self._model.lm_head.weight
            answers.append(torch.sigmoid(hidden @ (rows[self._yes] - rows[self._no])).double().numpy())
        return np.concatenate(answers)


def attribute_accuracies(judge: Judge, pictures: Pictures, looks: Sequence[Look]) -> dict[str, float]:
    """Ask every attribute question of ``pictures`` uint8 [N, 128, 128, 3]; balanced accuracy by question."""
    truths = [dict(attribute_questions(look)) for look in looks]
    accuracies = {}
    for group in (*EXPRESSION_QUESTIONS.values(), *ACCESSORY_QUESTIONS.values()):
        for question in group:
            right = np.array([truth[question] for truth in truths])
            accuracies[question] = balanced_accuracy(judge.p_yes(pictures, question) > 0.5, right)
    return accuracies


def shows_expression(judge: Judge, pictures: Sequence[NDArray[np.uint8]], looks: Sequence[Look]) -> float:
    """Return the mean P(yes) of the questions for each picture's own expression, pictures uint8 [N, H, W, 3]."""
    answers = [
        judge.p_yes([picture], question)[0]
        for picture, look in zip(pictures, looks, strict=True)
        for question in EXPRESSION_QUESTIONS[look.expression]
    ]
    return float(np.mean(answers))


def p_natural(judge: Judge, pictures: Pictures) -> NDArray[np.float64]:
    """P(yes) [N] of the question that the realism scorer asks."""
    return judge.p_yes(pictures, NATURAL_QUESTION)


def balanced_accuracy(said: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
    """Return the mean of the share of yes cases said yes and of no cases said no; both must occur."""
    return float((said[right].mean() + (~said[~right]).mean()) / 2)
