"""The texts Qwen2.5-VL is given, for an edit and for a yes/no question.

Training, export and run time all take them from here, so that a question is asked in the very form that was trained.
This module knows nothing of token ids or pictures, only where in the text a picture is shown.
"""

IMAGE_PAD = "<|image_pad|>"
PICTURE = f"<|vision_start|>{IMAGE_PAD}<|vision_end|>"
# P(yes) compares the logits of the first token of each.
YES, NO = "Yes", "No"

_CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def judge_prompt(question: str, n_pictures: int = 1) -> str:
    """Return the chat in which the next token answers ``question`` about ``n_pictures`` pictures, shown in order.

    The question ends the user's turn, as it did in training: a request for one of the two words behind it costs the
    miniature judge a good part of its accuracy.
    """
    return _CHAT.format(PICTURE * n_pictures + question)


def edit_prompt(template: str, prompt: str, n_pictures: int) -> str:
    """Return the text encoder's input for an edit.

    Args:
        template: The checkpoint's prompt template, with one ``{}``. The first Qwen-Image-Edit's shows its one picture
            itself.
        prompt: What the user asks for.
        n_pictures: Conditioning pictures, numbered from 1 in the text as the checkpoints were trained.

    Raises:
        ValueError: The template shows one picture, and there are more.
    """
    if IMAGE_PAD in template:
        if n_pictures != 1:
            raise ValueError(f"the template is for one picture, not {n_pictures}")
        return template.format(prompt)
    pictures = "".join(f"Picture {number}: {PICTURE}" for number in range(1, n_pictures + 1))
    return template.format(pictures + prompt)


def template_opening(template: str) -> str:
    """Return the part of a template before its picture or the prompt, whichever comes first."""
    return template.split("{}")[0].split("<|vision_start|>")[0]
