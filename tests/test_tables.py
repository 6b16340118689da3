"""The tables of the API's limits and enums, against the API's own words and the domain's enums."""

import math
import re
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import get_args

import grpc
import pytest

from eacps import enums, limits
from eacps.durable import SearchState
from eacps.enums import Words
from eacps.evaluation.plan import PriorMode
from eacps.http.fields import DEFAULT_QUALITY, TRAJECTORIES
from eacps.limits import DEFAULT_WEIGHTS, RANGES, Range
from eacps.mcp.server import StateWord
from eacps.scene.frame import Framing
from eacps.search import defaults
from eacps.search.budget import StopReason
from eacps.search.cohort import CohortKind, Move
from eacps.search.diversity import LowDiversityPolicy
from eacps.search.objective import MissingPolicy, Scalarization
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec
from eacps.tensors import MAX_CONDITIONING_PICTURES
from eacps.v1 import search_service_pb2 as pb

PROTO = (Path(__file__).parents[1] / "protos" / "eacps" / "v1" / "search_service.proto").read_text(encoding="utf-8")
ROOTS = {"page_size": pb.ListSearchesRequest}
DOMAIN: dict[str, type[StrEnum]] = {
    "FRAMING": Framing,
    "LOW_DIVERSITY": LowDiversityPolicy,
    "MISSING_SCORES": MissingPolicy,
    "MOVE": Move,
    "PRIOR_MODE": PriorMode,
    "ROUND_KIND": CohortKind,
    "SCALARIZATION": Scalarization,
    "SEARCH_STATE": SearchState,
    "STOP_REASON": StopReason,
}
NAMED: dict[str, set[str]] = {
    "STRATEGY": {AdaptiveSpec.strategy, EacpsSpec.strategy, BestOfNSpec.strategy},
    "LOCAL_MOVE": {Move.SPHERICAL.value, Move.SEED_OFFSET.value},
}
TABLES = {name: table for name, table in vars(enums).items() if isinstance(table, Words)}
TOLD_UP_TO = 10_000


def comment_of(path: str) -> str:
    """The comment above a field in the API."""
    message = ROOTS.get(path, pb.RunSearchRequest).DESCRIPTOR
    *parents, field = path.split(".")
    for parent in parents:
        message = message.fields_by_name[parent].message_type
    assert field in message.fields_by_name, path
    body = re.search(rf"^message {message.name} {{\n(.*?)^}}", PROTO, re.DOTALL | re.MULTILINE)
    assert body is not None, message
    found = re.search(rf"((?:^ *//[^\n]*\n)+) *(?:optional |repeated )?[\w<>, ]+ {field} = ", body[1], re.MULTILINE)
    assert found is not None, path
    return re.sub(r"\s*//\s*", " ", found[1])


def spelled(number: float) -> str:
    return {math.pi / 2: "pi/2", 2**31 - 1: "2^31 - 1", 2**32 - 1: "2^32 - 1"}.get(number, f"{number:g}")


@pytest.mark.parametrize("path", RANGES)
def test_the_api_states_every_range_and_default(path: str) -> None:
    accepted, comment = RANGES[path], comment_of(path)
    if accepted.most <= TOLD_UP_TO:
        interval = f"{spelled(accepted.least)} to {spelled(accepted.most)}"
        assert interval in comment or str(accepted).replace("1.5708", "pi/2") in comment, comment
    if accepted.default is not None:
        assert re.search(rf"[Dd]efault:? {spelled(accepted.default)}\b", comment), comment


def test_the_api_states_the_default_weights() -> None:
    stated = " ".join(re.sub(r"\s*//\s*", " ", PROTO).split())
    assert all(f"{name} {weight:g}" in stated for name, weight in DEFAULT_WEIGHTS.items())


@pytest.mark.parametrize("name", DOMAIN)
def test_words_are_the_values_of_the_domains_enums(name: str) -> None:
    assert set(TABLES[name].words) == {member.value for member in DOMAIN[name]}


@pytest.mark.parametrize("name", NAMED)
def test_the_fields_of_a_oneof_are_what_the_domain_calls_them(name: str) -> None:
    table = getattr(enums, name)
    assert set(table.words) == NAMED[name]
    assert table.word_of(table.message()) == table.default
    for word in table.words:
        assert table.word_of(table.message(**{word: {}})) == word


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("prompt", f"1 to {limits.MAX_PROMPT_CHARACTERS} characters"),
        ("negative_prompt", f"1 to {limits.MAX_PROMPT_CHARACTERS} characters"),
        ("scorers", f"at most {limits.MAX_SCORERS}, "),
        ("more_characters", f"at most {limits.MAX_MORE_CHARACTERS}\\."),
        ("references", f"at most {MAX_CONDITIONING_PICTURES} pictures in all"),
        ("request_id", f"1 to {limits.MAX_REQUEST_ID_CHARACTERS} visible"),
        ("labels", f"at most {limits.MAX_LABELS};"),
        ("labels", f"keys of 1 to {limits.MAX_LABEL_KEY_CHARACTERS} "),
        ("labels", f"up to {limits.MAX_LABEL_VALUE_CHARACTERS}\\."),
        ("search.start", f"at most {defaults.MAX_START_POINTS} "),
    ],
)
def test_the_api_states_its_other_limits(field: str, most: str) -> None:
    assert re.search(most, comment_of(field)), comment_of(field)


def test_tools_take_and_name_what_the_api_does() -> None:
    assert list(get_args(StateWord)) == enums.SEARCH_STATE.words


def test_the_studio_takes_the_short_names_that_the_api_takes() -> None:
    settings = resources.files("eacps.studio").joinpath("page", "settings.js").read_text(encoding="utf-8")
    assert re.findall('pattern: "(.*?)"', settings) == [limits.QUESTION_LABEL]


def test_the_usual_quality_of_openais_interface_costs_what_a_search_costs_by_default() -> None:
    assert TRAJECTORIES[DEFAULT_QUALITY] == RANGES["search.eacps_adaptive.trajectories"].default


def test_the_numbers_of_error_codes_are_those_of_grpc() -> None:
    codes = {f"ERROR_CODE_{code.name}": code.value[0] for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
    assert dict(pb.ErrorCode.items()) == {"ERROR_CODE_UNSPECIFIED": 0, **codes}


@pytest.mark.parametrize("name", TABLES)
def test_words_and_numbers_are_one_to_one(name: str) -> None:
    table = TABLES[name]
    assert [table.word_of(table.number_of(word)) for word in table.words] == table.words
    assert table.word_of(0) == table.default
    with pytest.raises(ValueError, match="99 is not known"):
        table.word_of(99)
    with pytest.raises(KeyError):
        table.number_of("unspecified")


def test_a_range_is_closed_unless_it_says_otherwise() -> None:
    assert all(value in Range(0.0, 1.0) for value in (0.0, 0.5, 1.0))
    assert all(value not in Range(0.0, 1.0, above=True) for value in (0.0, -1.0, 1.1, math.nan, math.inf))
    assert (str(Range(1, 64)), str(Range(0.0, 1.0, above=True))) == ("[1, 64]", "(0, 1]")
