"""Settings come from the environment, with every fault named."""

from pathlib import Path

import pytest

from eacps.errors import InvalidRequest
from eacps.provenance import RecordMode
from eacps.settings import (
    JudgeProvider,
    JudgeSettings,
    LimitSettings,
    Settings,
    StoreSettings,
    TlsSettings,
    check_access,
)
from eacps.settings.provenance import RECORD_MODES


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
            "EACPS_READS_PER_SECOND": "20",
            "EACPS_ALL_CALLS_PER_SECOND": "30",
            "EACPS_ALL_READS_PER_SECOND": "40",
            "EACPS_MAX_STREAMS": "100",
            "EACPS_MAX_PICTURE_CALLS": "4",
            "EACPS_MAX_UPLOADS": "5",
            "EACPS_MAX_DOWNLOADS": "6",
            "EACPS_TENANT_SHARE": "0.5",
            "EACPS_UPLOADED_BYTES": "1000",
            "EACPS_DECODED_BYTES": "2000",
            "EACPS_INSECURE": "anywhere",
            "EACPS_DEFAULT_WEIGHTS": "identity=2, openai.realism=1.5",
            "EACPS_OPENAI_BASE_URL": "http://judge/v1",
            "EACPS_OPENAI_MODEL": "vlm",
            "EACPS_OPENAI_API_KEY": "hush",
            "EACPS_OPENAI_TIMEOUT_S": "7.5",
            "EACPS_OPENAI_ATTEMPTS": "1",
            "EACPS_OPENAI_MAX_TOKENS": "9000",
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
            "EACPS_REWARD_BASE_URL": "http://reward/v1",
            "EACPS_REWARD_MODEL": "editscore",
            "EACPS_REWARD_RUBRICS": "rubrics",
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
        limits=LimitSettings(7.5, 20.0, 30.0, 40.0, 100, 4, 5, 6, 0.5, 1_000, 2_000),
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
        judges=(
            JudgeSettings(JudgeProvider.OPENAI, "vlm", "http://judge/v1", "hush", 7.5, 1, 4, 2.5, 9000),
            JudgeSettings(JudgeProvider.GEMINI, "gemini-9", "http://gemini", "hush-g", 9.0, 2, 3),
            JudgeSettings(JudgeProvider.MOONDREAM, "moondream-9", "http://moon/v1", "hush-m", 8.0, 1, 5),
            JudgeSettings(JudgeProvider.REWARD, "editscore", "http://reward/v1", rubrics=Path("rubrics")),
        ),
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
        ("EACPS_OPENAI_ATTEMPTS", "0"),
        ("EACPS_OPENAI_TIMEOUT_S", "0"),
        ("EACPS_OPENAI_MAX_TOKENS", "0"),
        ("EACPS_GEMINI_TIMEOUT_S", "-1"),
        ("EACPS_METRICS", "9400"),
        ("EACPS_INSECURE", "maybe"),
        ("EACPS_METRICS", "host:port"),
        ("EACPS_MOONDREAM_ATTEMPTS", "0"),
        ("EACPS_TENANT_SHARE", "0"),
        ("EACPS_TENANT_SHARE", "1.5"),
        ("EACPS_READS_PER_SECOND", "0"),
        ("EACPS_TRITON", "triton"),
        ("EACPS_OTLP", "collector:4317"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings.from_environment({name: text})
    assert [violation.field for violation in caught.value.violations] == [name]


@pytest.mark.parametrize("name", ["OPENAI", "REWARD"])
@pytest.mark.parametrize(("given", "missing"), [("BASE_URL", "MODEL"), ("MODEL", "BASE_URL")])
def test_a_judge_elsewhere_needs_address_and_model(name: str, given: str, missing: str) -> None:
    with pytest.raises(InvalidRequest, match=f"EACPS_{name}_{missing}: is needed as well"):
        Settings.from_environment({f"EACPS_{name}_{given}": "http://judge/v1"})


def test_a_service_is_offered_once_what_it_needs_is_set() -> None:
    assert Settings.from_environment({"EACPS_GEMINI_API_KEY": "k"}).judges == ()
    assert Settings.from_environment({"EACPS_MOONDREAM_MODEL": "m"}).judges == ()
    moondream = JudgeSettings(JudgeProvider.MOONDREAM, api_key="k")
    assert Settings.from_environment({"EACPS_MOONDREAM_API_KEY": "k"}).judges == (moondream,)
    with pytest.raises(InvalidRequest, match=r"EACPS_GEMINI_API_KEY: is needed as well"):
        Settings.from_environment({"EACPS_GEMINI_MODEL": "gemini-9"})


@pytest.mark.parametrize(
    "url", ["judge/v1", "judge:8000/v1", "ftp://judge", "http://", "http://judge:port", "http://j\u00fcdge"]
)
def test_an_endpoint_is_an_http_address(url: str) -> None:
    with pytest.raises(InvalidRequest, match="EACPS_OPENAI_BASE_URL: is no http:// or https:// address"):
        Settings.from_environment({"EACPS_OPENAI_BASE_URL": url, "EACPS_OPENAI_MODEL": "m"})


@pytest.mark.parametrize("key", ["sk-s\u00fcsse", "sk-a\rb", "sk-a\nb", "sk a", "sk-\udce4"])
def test_a_key_that_no_header_can_carry_is_named_and_not_quoted(key: str) -> None:
    wanted = {"EACPS_GEMINI_MODEL": "gemini-9", "EACPS_GEMINI_API_KEY": key}
    with pytest.raises(InvalidRequest, match=r"EACPS_GEMINI_API_KEY: (holds|is not valid)") as caught:
        Settings.from_environment(wanted)
    assert key not in str(caught.value)
    assert Settings.from_environment({"EACPS_GEMINI_API_KEY": key}).judges == (), "nobody wants it"


def test_white_space_around_a_key_is_no_part_of_it() -> None:
    settings = Settings.from_environment({"EACPS_MOONDREAM_API_KEY": " k\r\n"})
    assert settings.judges[0].api_key == "k"


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
        (Settings(address="127.studio.example:50051", insecure=True), "insecure"),
        (Settings(address="localhost.studio.example:50051", insecure=True), "insecure"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            check_access(refused)
        assert [violation.field for violation in caught.value.violations] == [field]


def test_modes_of_the_record_are_those_of_the_marking() -> None:
    assert set(RECORD_MODES) == set(RecordMode)
