"""Question files."""

import pytest

from eacps.scoring import callers_question, load_question


def test_the_prompt_is_put_in_literally() -> None:
    assert "add {braces} & 'quotes'" in load_question("prompt").text("add {braces} & 'quotes'")


FILES = [("realism", 1), ("realism", 2), ("prompt", 1), ("prompt", 2)]


@pytest.mark.parametrize(("name", "version"), FILES)
def test_questions_are_one_line_and_ask(name: str, version: int) -> None:
    text = load_question(name, version).text("x")
    assert "\n" not in text
    assert text.endswith("?")


def test_judges_elsewhere_are_asked_about_artifacts_seams_and_light() -> None:
    text = load_question("realism", 2).text("x")
    assert all(word in text for word in ("artifacts", "seams", "light"))


def test_scene_and_result_are_called_what_the_judge_sees() -> None:
    question = load_question("prompt", 2)
    assert question.shows_scene
    text = question.text("{scene} and {result}", scene="picture A", result="picture B")
    assert text.count("picture A") == 1
    assert text.count("picture B") == 2
    assert '"{scene} and {result}"' in text, "what the prompt says stays as it is"


def test_a_result_without_its_scene_is_the_picture() -> None:
    question = callers_question("bright", "Is {result} bright?")
    assert not question.shows_scene
    assert question.text("x", scene="A", result="B") == "Is the picture bright?"


def test_a_callers_question_is_named_by_its_text() -> None:
    one, other = callers_question("hat", "Is there a hat?"), callers_question("hat", "Is there a hat? ")
    assert one.identity.startswith("hat@sha256:")
    assert one.identity != other.identity
    assert one == callers_question("hat", "Is there a hat?")


def test_unknown_versions_are_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load_question("realism", version=99)
