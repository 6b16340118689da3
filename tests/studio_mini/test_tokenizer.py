"""The texts of training are those of the server."""

from eacps.models.backbones.qwen_image_edit.prompt import edit_prompt, judge_prompt
from export.backbones.qwen_image_edit import checkpoint
from studio_mini import tokenizer


def test_training_asks_the_judge_what_the_server_asks() -> None:
    assert tokenizer.judge_text is judge_prompt
    assert judge_prompt("Is the person smiling?", 2) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><|vision_start|><|image_pad|><|vision_end|>"
        "Is the person smiling?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_training_conditions_the_denoiser_on_what_the_server_does() -> None:
    assert checkpoint.edit_text is edit_prompt
    assert edit_prompt("<{}>", "smile", 2) == (
        "<Picture 1: <|vision_start|><|image_pad|><|vision_end|>"
        "Picture 2: <|vision_start|><|image_pad|><|vision_end|>smile>"
    )
