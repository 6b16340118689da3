"""Question files."""

import pytest

from eacps.scoring import load_question


def test_the_prompt_is_put_in_literally() -> None:
    assert "add {braces} & 'quotes'" in load_question("prompt").text("add {braces} & 'quotes'")


@pytest.mark.parametrize("name", ["realism", "prompt"])
def test_questions_are_one_line_and_ask(name: str) -> None:
    text = load_question(name).text("x")
    assert "\n" not in text
    assert text.endswith("?")


def test_unknown_versions_are_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load_question("realism", version=99)
