"""The packed forward pass computes what the original model computes, text by text."""

import numpy as np
import pytest
import torch
from PIL import Image

from studio_mini import architecture
from studio_mini.tokenizer import judge_text, train_tokenizer
from studio_mini.train.packed_vlm import Packer, Patcher, at_last, hidden_states, picture_tokens

SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def parts():
    torch.set_num_threads(1)
    tokenizer = train_tokenizer()
    return architecture.build_text_encoder(tokenizer, seed=1), architecture.build_processor(tokenizer)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8)


def test_patches_are_the_processors(parts) -> None:
    _, processor = parts
    batch = pictures(2)
    theirs = processor.image_processor(images=[Image.fromarray(p) for p in batch], return_tensors="pt")
    ours = Patcher(processor)(torch.from_numpy(batch)).flatten(0, 1)
    torch.testing.assert_close(ours, theirs["pixel_values"], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2])
def test_every_slot_equals_the_text_alone(parts, count: int) -> None:
    model, processor = parts
    batch = pictures(2 * count)
    tokens = picture_tokens(model, Patcher(processor)(torch.from_numpy(batch))).view(2, count * 16, -1)
    questions = [
        ["Is the person smiling?", "Is the person wearing a hat?"],
        ["Does this face look natural?", "Is the mouth open?"],
    ]
    prefix = judge_text("", count).removesuffix(SUFFIX)
    texts = Packer(model, processor, prefix)([[q + SUFFIX for q in slot] for slot in questions])
    packed = at_last(hidden_states(model, texts, tokens), texts)
    for item in range(2):
        for slot in range(2):
            images = [Image.fromarray(p) for p in batch[item * count : (item + 1) * count]]
            inputs = processor(text=[judge_text(questions[slot][item], count)], images=images)
            alone = model.model(**inputs).last_hidden_state[0, -1]
            torch.testing.assert_close(packed[item, slot], alone, atol=2e-5, rtol=1e-4)
