"""The judge in a real Triton against the checkpoint's own language head."""

from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from eacps.models.backbones.qwen_image_edit.prompt import NO, YES, judge_prompt
from eacps.triton.gateway import TritonGateway
from export.backbones.qwen_image_edit.checkpoint import load_judge
from tests.models.studio import picture

QUESTIONS = ("Is the person smiling?", "Does this face look natural?", "Is the mouth open?")


@torch.no_grad()
def _asked_of_transformers(
    model: Qwen2_5_VLForConditionalGeneration, pipeline: QwenImageEditPlusPipeline, seed: int, question: str
) -> float:
    inputs = pipeline.processor(text=[judge_prompt(question)], images=[Image.fromarray(picture(seed))])
    logits = model(**inputs).logits[0, -1]
    yes, no = (pipeline.tokenizer(word)["input_ids"][0] for word in (YES, NO))
    return torch.softmax(logits[[yes, no]], dim=0)[0].item()


async def test_p_yes_is_the_language_heads(
    gateway: TritonGateway, pipeline: QwenImageEditPlusPipeline, checkpoint_dir: Path
) -> None:
    seeds, model = range(6), load_judge(checkpoint_dir)  # 18 rows: more than one batch of the network
    p_yes = await gateway.judge(np.stack([picture(seed)[None] for seed in seeds]), QUESTIONS)
    expected = [[_asked_of_transformers(model, pipeline, seed, question) for question in QUESTIONS] for seed in seeds]
    np.testing.assert_allclose(p_yes, expected, atol=1e-4)
