"""Settings come from the environment, with every fault named."""

from pathlib import Path

import pytest

from eacps.errors import InvalidRequest
from eacps.settings import (
    GeminiSettings,
    MoondreamSettings,
    OpenAISettings,
    Settings,
    StoreSettings,
    TlsSettings,
    check_access,
)


def test_nothing_set_is_the_defaults() -> None:
    assert Settings.from_environment({"HOME": "somewhere", "EACPS_TRITON": " "}) == Settings(store=StoreSettings())


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "EACPS_ADDRESS": "0.0.0.0:7000",
            "EACPS_TRITON": "triton:8001",
            "EACPS_TRITON_READY_TIMEOUT_S": "5",
            "EACPS_TRITON_RETRIES": "3",
            "EACPS_GRACE_S": "0",
            "EACPS_MAX_SEARCHES": "3",
            "EACPS_DECODERS": "4",
            "EACPS_CALLS_PER_SECOND": "7.5",
            "EACPS_DATA": "kept",
            "EACPS_DATABASE": "postgresql://eacps:hush-p@database/eacps",
            "EACPS_ARTIFACTS": "s3://bucket/pictures",
            "EACPS_EXECUTOR_ID": "search-2",
            "EACPS_CLAIM_PATIENCE_S": "5",
            "EACPS_MAX_SEARCHES_EVERYWHERE": "12",
            "EACPS_MAX_SEARCHES_PER_TENANT": "2",
            "EACPS_MAX_UNFINISHED": "100",
            "EACPS_MAX_UNFINISHED_PER_TENANT": "20",
            "EACPS_KEEP_S": "3600",
            "EACPS_KEEP_UPLOADS_S": "60",
            "EACPS_KEEP_BYTES": "1000000",
            "EACPS_SWEEP_S": "10",
            "EACPS_METRICS": "127.0.0.1:9400",
            "EACPS_OTLP": "http://collector:4317",
            "EACPS_TLS_CERTIFICATE": "server.pem",
            "EACPS_TLS_KEY": "server.key",
            "EACPS_TLS_CLIENT_CA": "clients.pem",
            "EACPS_API_KEYS": "keys.json",
            "EACPS_INSECURE": "anywhere",
            "EACPS_DEFAULT_WEIGHTS": "identity=2, openai.realism=1.5",
            "EACPS_OPENAI_BASE_URL": "http://judge/v1",
            "EACPS_OPENAI_MODEL": "vlm",
            "EACPS_OPENAI_API_KEY": "hush",
            "EACPS_OPENAI_TIMEOUT_S": "7.5",
            "EACPS_OPENAI_MAX_RETRIES": "0",
            "EACPS_OPENAI_IN_FLIGHT": "4",
            "EACPS_OPENAI_PER_SECOND": "2.5",
            "EACPS_GEMINI_API_KEY": "hush-g",
            "EACPS_GEMINI_MODEL": "gemini-9",
            "EACPS_GEMINI_BASE_URL": "http://gemini",
            "EACPS_GEMINI_TIMEOUT_S": "9",
            "EACPS_GEMINI_ATTEMPTS": "2",
            "EACPS_GEMINI_IN_FLIGHT": "3",
            "EACPS_MOONDREAM_BASE_URL": "http://moon/v1",
            "EACPS_MOONDREAM_API_KEY": "hush-m",
            "EACPS_MOONDREAM_MODEL": "moondream-9",
            "EACPS_MOONDREAM_TIMEOUT_S": "8",
            "EACPS_MOONDREAM_ATTEMPTS": "1",
            "EACPS_MOONDREAM_IN_FLIGHT": "5",
        }
    )
    assert settings == Settings(
        address="0.0.0.0:7000",
        triton="triton:8001",
        triton_ready_timeout_s=5.0,
        triton_retries=3,
        grace_s=0.0,
        max_searches=3,
        decoders=4,
        calls_per_second=7.5,
        store=StoreSettings(
            folder=Path("kept"),
            database="postgresql://eacps:hush-p@database/eacps",
            artifacts="s3://bucket/pictures",
            executor_id="search-2",
            claim_patience_s=5.0,
            max_everywhere=12,
            max_per_tenant=2,
            max_unfinished=100,
            max_unfinished_per_tenant=20,
            keep_s=3600.0,
            keep_uploads_s=60.0,
            keep_bytes=1_000_000,
            sweep_s=10.0,
        ),
        metrics="127.0.0.1:9400",
        otlp="http://collector:4317",
        tls=TlsSettings(Path("server.pem"), Path("server.key"), Path("clients.pem")),
        api_keys=Path("keys.json"),
        insecure="anywhere",
        default_weights={"identity": 2.0, "openai.realism": 1.5},
        openai=OpenAISettings("http://judge/v1", "vlm", "hush", 7.5, 0, 4, 2.5),
        gemini=GeminiSettings("gemini-9", "hush-g", "http://gemini", 9.0, 2, 3),
        moondream=MoondreamSettings("http://moon/v1", "hush-m", "moondream-9", 8.0, 1, 5),
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
        ("EACPS_GEMINI_TIMEOUT_S", "-1"),
        ("EACPS_METRICS", "9400"),
        ("EACPS_INSECURE", "maybe"),
        ("EACPS_METRICS", "host:port"),
        ("EACPS_MOONDREAM_ATTEMPTS", "0"),
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


def test_a_service_is_offered_once_what_it_needs_is_set() -> None:
    assert Settings.from_environment({"EACPS_GEMINI_API_KEY": "k"}).gemini is None
    assert Settings.from_environment({"EACPS_MOONDREAM_MODEL": "m"}).moondream is None
    assert Settings.from_environment({"EACPS_MOONDREAM_API_KEY": "k"}).moondream == MoondreamSettings(api_key="k")
    with pytest.raises(InvalidRequest, match=r"EACPS_GEMINI_API_KEY: is needed as well"):
        Settings.from_environment({"EACPS_GEMINI_MODEL": "gemini-9"})


def test_half_of_tls_is_a_mistake_and_not_served_in_the_clear() -> None:
    for given, missing in (
        ({"EACPS_TLS_KEY": "k"}, ["EACPS_TLS_CERTIFICATE"]),
        ({"EACPS_TLS_CERTIFICATE": "c"}, ["EACPS_TLS_KEY"]),
        ({"EACPS_TLS_CLIENT_CA": "r"}, ["EACPS_TLS_CERTIFICATE", "EACPS_TLS_KEY"]),
    ):
        with pytest.raises(InvalidRequest) as caught:
            Settings.from_environment(given)
        assert [violation.field for violation in caught.value.violations] == missing


def test_nobody_serves_strangers_without_having_said_so() -> None:
    certificates = TlsSettings(Path("server.pem"), Path("server.key"))
    mutual = TlsSettings(Path("server.pem"), Path("server.key"), Path("clients.pem"))
    for allowed in (
        Settings(insecure=True),
        Settings(address="[::1]:50051", insecure=True),
        Settings(address="0.0.0.0:50051", insecure="anywhere"),
        Settings(address="0.0.0.0:50051", api_keys=Path("keys.json")),
        Settings(address="0.0.0.0:50051", tls=mutual),
    ):
        check_access(allowed)
    for refused, field in (
        (Settings(), "api_keys"),
        (Settings(tls=certificates), "api_keys"),
        (Settings(address="0.0.0.0:50051", insecure=True), "insecure"),
        (Settings(address="studio.example:50051", insecure=True), "insecure"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            check_access(refused)
        assert [violation.field for violation in caught.value.violations] == [field]
