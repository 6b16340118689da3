"""The tokenizer of studio-mini: byte-level BPE with Qwen's own classes and special tokens, learned from its prompts.

Finished weights keep the tokenizer they were trained with; words that the world learned later take more tokens.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator

from diffusers import QwenImageEditPlusPipeline
from tokenizers import AddedToken, Tokenizer, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

# Training asks in the form that is served: one function makes both texts.
from eacps.models.backbones.qwen_image_edit.prompt import judge_prompt as judge_text
from studio_mini.world import prompts

VOCABULARY = 550
ENDOFTEXT = "<|endoftext|>"
SPECIAL_TOKENS = (
    ENDOFTEXT,
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def edit_template() -> str:
    """Return the prompt template that the pipeline sets in its constructor, read from its source."""
    source = inspect.getsource(QwenImageEditPlusPipeline.__init__)
    found = re.search(r'self\.prompt_template_encode = "((?:[^"\\]|\\.)*)"', source)
    if found is None:
        raise RuntimeError("QwenImageEditPlusPipeline no longer states prompt_template_encode in its constructor")
    return found.group(1).replace("\\n", "\n")


def train_tokenizer() -> Qwen2Tokenizer:
    """Learn the merges. Deterministic: the corpus is the world's grammar and the two templates."""
    # A Qwen2Tokenizer without merges lends its normalization and pre-tokenization, so that both agree with Qwen's.
    tokenizer: Tokenizer = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    vocabulary, merges = _model_state(tokenizer)
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # the class takes and stores pairs, its annotation says strings
        eos_token="<|im_end|>",
        pad_token=ENDOFTEXT,
        additional_special_tokens=list(SPECIAL_TOKENS),
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def _model_state(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a trained byte-level BPE."""
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _corpus() -> Iterator[str]:
    sentences = list(prompts.corpus())
    yield from sentences
    # Answers, questions and the short template stand in every judgment: often enough to earn whole-word tokens.
    for _ in range(len(sentences) // 4):
        yield judge_text("Picture 1: Picture 2: ", 0)
        yield from ("Yes", "No", *prompts.all_questions())
    # The long template stands in every edit as well, but is cut off again: its rarer words may stay in pieces. Its
    # token count then differs from full-size Qwen's 64, which nothing may rely on.
    yield edit_template()
