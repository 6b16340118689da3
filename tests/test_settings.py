"""Settings come from the environment, with every fault named."""

import pytest

from eacps.errors import InvalidRequest
from eacps.settings import OpenAISettings, Settings


def test_nothing_set_is_the_defaults() -> None:
    assert Settings.from_environment({"HOME": "somewhere", "EACPS_TRITON": " "}) == Settings()


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "EACPS_ADDRESS": "0.0.0.0:7000",
            "EACPS_TRITON": "triton:8001",
            "EACPS_TRITON_READY_TIMEOUT_S": "5",
            "EACPS_GRACE_S": "0",
            "EACPS_MAX_SEARCHES": "3",
            "EACPS_DEFAULT_WEIGHTS": "identity=2, openai.realism=1.5",
            "EACPS_OPENAI_BASE_URL": "http://judge/v1",
            "EACPS_OPENAI_MODEL": "vlm",
            "EACPS_OPENAI_API_KEY": "hush",
            "EACPS_OPENAI_TIMEOUT_S": "7.5",
            "EACPS_OPENAI_MAX_RETRIES": "0",
            "EACPS_OPENAI_IN_FLIGHT": "4",
        }
    )
    assert settings == Settings(
        address="0.0.0.0:7000",
        triton="triton:8001",
        triton_ready_timeout_s=5.0,
        grace_s=0.0,
        max_searches=3,
        default_weights={"identity": 2.0, "openai.realism": 1.5},
        openai=OpenAISettings("http://judge/v1", "vlm", "hush", 7.5, 0, 4),
    )
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EACPS_GRACE_S", "soon"),
        ("EACPS_GRACE_S", "-1"),
        ("EACPS_MAX_SEARCHES", "0"),
        ("EACPS_TRITON_READY_TIMEOUT_S", "nan"),
        ("EACPS_DEFAULT_WEIGHTS", "identity"),
        ("EACPS_DEFAULT_WEIGHTS", "identity=-1"),
        ("EACPS_DEFAULT_WEIGHTS", "identity=0"),
        ("EACPS_OPENAI_IN_FLIGHT", "0"),
        ("EACPS_OPENAI_MAX_RETRIES", "-1"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings.from_environment({name: text})
    assert [violation.field for violation in caught.value.violations] == [name]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"EACPS_OPENAI_BASE_URL": "http://judge/v1"}, "EACPS_OPENAI_MODEL"),
        ({"EACPS_OPENAI_MODEL": "vlm"}, "EACPS_OPENAI_BASE_URL"),
    ],
)
def test_an_outside_judge_needs_address_and_model(given: dict[str, str], missing: str) -> None:
    with pytest.raises(InvalidRequest, match=missing):
        Settings.from_environment(given)
