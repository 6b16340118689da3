"""Realism and prompt as a user would ask for them: P(yes) of Qwen2.5-VL, by transformers."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from benchmarks.edits import Picture
from eacps.models.backbones.qwen_image_edit.prompt import NO, YES, judge_prompt


class PlainJudge:
    """What answers questions in a checkpoint: its own judge, or its text encoder, language head included.

    Args:
        model: That one.
        pipeline: Of the checkpoint.
    """

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, pipeline: QwenImageEditPlusPipeline) -> None:
        self._model, self._processor = model, pipeline.processor
        self._words = [pipeline.tokenizer(word)["input_ids"][0] for word in (YES, NO)]

    @torch.no_grad()
    def p_yes(self, pictures: Sequence[Picture], questions: Sequence[str]) -> np.ndarray:
        """P(yes), float32 [pictures, questions], of all in one batch."""
        inputs = self._processor(
            text=[judge_prompt(question) for _ in pictures for question in questions],
            images=[Image.fromarray(picture) for picture in pictures for _ in questions],
        )
        hidden = self._model.model(**inputs).last_hidden_state
        mask = inputs["attention_mask"]
        last = (mask * torch.arange(mask.shape[1])).argmax(dim=1)  # wherever the padding is
        logits = self._model.lm_head(hidden[torch.arange(len(hidden)), last])
        answers = torch.softmax(logits[:, self._words], dim=1)[:, 0]
        return answers.reshape(len(pictures), len(questions)).numpy()
