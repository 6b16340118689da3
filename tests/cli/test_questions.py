"""``--ask``: what of it reaches the request."""

from typing import Any

from eacps.cli.parsing import parse_questions
from eacps.cli.request import SearchOptions, build_request, score_request
from tests.api.conftest import SAMPLE

HAT = "triton.no_hat=Is the person without a hat?"
NOTHING = {"weights": {}, "questions": {}}


def scorers(**options: Any) -> list[tuple[str, float, bool, str]]:
    request = build_request(SearchOptions(SAMPLE / "scene.png", SAMPLE / "character.png", "smile", **options))
    return [(one.name, one.weight, one.held_out, one.question) for one in request.scorers]


def test_the_question_may_hold_equals_signs() -> None:
    assert parse_questions([HAT, "gemini.sum=Is 1+1=2?"]) == {
        "triton.no_hat": "Is the person without a hat?",
        "gemini.sum": "Is 1+1=2?",
    }


def test_without_a_weight_the_servers_weights_are_left_to_it() -> None:
    assert scorers(questions={"triton.a": "Is it?"}) == [("triton.a", 0.0, True, "Is it?")]
    assert scorers(floors={"identity": 0.5}, held_out=["realism"]) == [
        ("identity", 0.0, False, ""),
        ("realism", 0.0, True, ""),
    ]
    assert scorers() == []


def test_weights_floors_and_held_out_are_as_of_any_scorer() -> None:
    asked = {"triton.a": "Is it?", "triton.b": "Is it so?", "triton.c": "Is it not?"}
    weights = {"identity": 1.0, "triton.a": 0.5}
    assert scorers(weights=weights, floors={"triton.a": 0.3}, held_out=["triton.b"], questions=asked) == [
        ("identity", 1.0, False, ""),
        ("triton.a", 0.5, False, "Is it?"),
        ("triton.b", 0.0, True, "Is it so?"),
        ("triton.c", 0.0, True, "Is it not?"),
    ]


def test_pictures_are_scored_with_them_and_without_anything() -> None:
    pictures = (SAMPLE / "scene.png", SAMPLE / "character.png", [SAMPLE / "scene.png"])
    assert not score_request(*pictures, "smile", **NOTHING).scorers
    asked = score_request(*pictures, "smile", **{**NOTHING, "questions": {"triton.a": "Is it?"}})
    assert [one.question for one in asked.scorers] == ["Is it?"]
