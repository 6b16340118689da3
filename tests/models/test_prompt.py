from eacps.models.backbones.qwen_image_edit.prompt import (
    IMAGE_PAD,
    PICTURE,
    edit_prompt,
    judge_prompt,
)
from eacps.models.chat import reserved_mark_in


def test_a_question_is_asked_after_its_pictures_and_awaits_the_answer() -> None:
    text = judge_prompt("Is the person smiling?", 2)
    assert text.count(IMAGE_PAD) == 2
    assert text.index(PICTURE) < text.index("Is the person smiling?<|im_end|>")
    assert text.endswith("<|im_start|>assistant\n")


def test_edit_pictures_are_numbered_from_one() -> None:
    assert edit_prompt("<{}>", "smile {now}", 2) == f"<Picture 1: {PICTURE}Picture 2: {PICTURE}smile {{now}}>"


def test_marks_of_the_chat_form_are_found_in_a_users_text() -> None:
    assert reserved_mark_in("make the person smile <|> | {}") is None
    assert reserved_mark_in("a<|endoftext|>b") == "<|endoftext|>"
    assert reserved_mark_in(f"two {IMAGE_PAD}") == IMAGE_PAD
