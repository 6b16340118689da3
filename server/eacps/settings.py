"""Settings of the search server. Read from the environment by the composition root, and by nothing else."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from eacps.errors import FieldViolation, InvalidRequest

ANYWHERE = "anywhere"
LOOPBACK = ("127.", "localhost:", "[::1]:")
T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True)
class OpenAISettings:
    """An OpenAI-compatible vision-language endpoint that judges pictures.

    The scorers are called ``openai.realism`` and ``openai.prompt``.

    Args:
        base_url: Such as ``https://host/v1``.
        model: Name of the model there.
        api_key: Never logged.
        timeout_s: Of one call.
        max_retries: Of one call, with back-off.
        in_flight: Most calls at once, over all searches.
    """

    base_url: str
    model: str
    api_key: str = field(default="none", repr=False)
    timeout_s: float = 30.0
    max_retries: int = 3
    in_flight: int = 16


@dataclass(frozen=True)
class GeminiSettings:
    """Gemini as a judge; the scorers are called ``gemini.realism`` and ``gemini.prompt``.

    Args:
        model: Name of the model.
        api_key: Never logged.
        base_url: Of the service; None takes the client library's own.
        timeout_s: Of one call.
        attempts: Calls about one picture, the first included.
        in_flight: Most calls at once, over all searches.
    """

    model: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    in_flight: int = 16


@dataclass(frozen=True)
class MoondreamSettings:
    """Moondream as a judge; the scorers are called ``moondream.realism`` and ``moondream.prompt``.

    Args:
        base_url: Of the interface; None takes the cloud's.
        api_key: Of the cloud; empty for a local endpoint. Never logged.
        model: Which of the endpoint's models; None leaves it to the endpoint.
        timeout_s, attempts, in_flight: As for `GeminiSettings`.
    """

    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    model: str | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    in_flight: int = 16


@dataclass(frozen=True)
class TlsSettings:
    """Certificates of the search server, PEM files.

    Args:
        certificate, key: The server's own.
        client_ca: Roots of the clients' certificates; with it every client must show one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class Settings:
    """All of them.

    Args:
        address: ``host:port`` to serve on; port 0 takes a free one.
        triton: ``host:port`` of Triton's gRPC endpoint.
        triton_ready_timeout_s: How long to wait for it at the start.
        grace_s: How long running searches may go on after the server was told to stop.
        max_searches: Searches that run at once; further ones are refused with a hint to try again.
        default_weights: Weights where a request names no scorer; None takes the API's own.
        metrics: ``host:port`` to serve Prometheus metrics on; None serves none.
        tls: Certificates to serve with; None serves in the clear.
        api_keys: File of the keys of who may call, hashed.
        insecure: Let anyone call who reaches the address, without ``api_keys`` or certificates of clients. Only on
            this machine, unless it is `ANYWHERE`.
        openai, gemini, moondream: Outside judges, as far as there are any.
    """

    address: str = "127.0.0.1:50051"
    triton: str = "127.0.0.1:8001"
    triton_ready_timeout_s: float = 120.0
    grace_s: float = 10.0
    max_searches: int = 8
    default_weights: Mapping[str, float] | None = None
    metrics: str | None = None
    tls: TlsSettings | None = None
    api_keys: Path | None = None
    insecure: bool | str = False
    openai: OpenAISettings | None = None
    gemini: GeminiSettings | None = None
    moondream: MoondreamSettings | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read ``EACPS_*``; what is not set keeps its default.

        ``EACPS_ADDRESS``, ``EACPS_TRITON``, ``EACPS_TRITON_READY_TIMEOUT_S``, ``EACPS_GRACE_S``,
        ``EACPS_MAX_SEARCHES``, ``EACPS_METRICS``, ``EACPS_TLS_CERTIFICATE``, ``EACPS_TLS_KEY``,
        ``EACPS_TLS_CLIENT_CA``, ``EACPS_API_KEYS``, ``EACPS_INSECURE``, ``EACPS_DEFAULT_WEIGHTS``
        (``identity=0.5,realism=0.3,prompt=0.2``).

        Outside judges: ``EACPS_OPENAI_BASE_URL`` and ``EACPS_OPENAI_MODEL`` together, ``EACPS_OPENAI_API_KEY``,
        ``EACPS_OPENAI_TIMEOUT_S``, ``EACPS_OPENAI_MAX_RETRIES``, ``EACPS_OPENAI_IN_FLIGHT``. Gemini takes
        ``EACPS_GEMINI_API_KEY`` and ``EACPS_GEMINI_MODEL`` together, Moondream ``EACPS_MOONDREAM_API_KEY`` or, for a
        local endpoint, ``EACPS_MOONDREAM_BASE_URL``, or both; each of them further ``..._BASE_URL``, ``..._MODEL``,
        ``..._TIMEOUT_S``, ``..._ATTEMPTS`` and ``..._IN_FLIGHT``.

        Raises:
            InvalidRequest: Names every variable that cannot be read.
        """
        reader = _Reader(environment)
        settings = cls(
            address=reader.get("EACPS_ADDRESS", str, cls.address),
            triton=reader.get("EACPS_TRITON", str, cls.triton),
            triton_ready_timeout_s=reader.get("EACPS_TRITON_READY_TIMEOUT_S", _seconds, cls.triton_ready_timeout_s),
            grace_s=reader.get("EACPS_GRACE_S", _seconds, cls.grace_s),
            max_searches=reader.get("EACPS_MAX_SEARCHES", _positive, cls.max_searches),
            default_weights=reader.get("EACPS_DEFAULT_WEIGHTS", _weights, None),
            metrics=reader.get("EACPS_METRICS", _address, None),
            tls=_tls(reader),
            api_keys=reader.get("EACPS_API_KEYS", Path, None),
            insecure=reader.get("EACPS_INSECURE", _insecure, cls.insecure),
            openai=_openai(reader),
            gemini=_gemini(reader),
            moondream=_moondream(reader),
        )
        if reader.violations:
            raise InvalidRequest(reader.violations)
        return settings


def check_access(settings: Settings) -> None:
    """See that nobody serves strangers without having said so.

    Raises:
        InvalidRequest: Neither keys nor certificates of clients are asked for, and ``insecure`` does not allow it.
    """
    asks = settings.api_keys is not None or (settings.tls is not None and settings.tls.client_ca is not None)
    if asks or settings.insecure == ANYWHERE:
        return
    if not settings.insecure:
        text = "is needed, or certificates of clients (tls_client_ca), or an explicit --insecure"
        raise InvalidRequest([FieldViolation("api_keys", text)])
    if not settings.address.startswith(LOOPBACK):
        text = f"serves others than this machine on {settings.address}; only insecure={ANYWHERE} allows that"
        raise InvalidRequest([FieldViolation("insecure", text)])


class _Reader:
    """Reads variables and remembers every one that cannot be read."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.violations: list[FieldViolation] = []

    def get(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        """Give the variable's value, or ``default`` where it is not set or empty."""
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as exc:
            self.violations.append(FieldViolation(name, str(exc)))
            return default


def _openai(reader: _Reader) -> OpenAISettings | None:
    own = OpenAISettings
    base_url = reader.get("EACPS_OPENAI_BASE_URL", str, "")
    model = reader.get("EACPS_OPENAI_MODEL", str, "")
    settings = own(
        base_url=base_url,
        model=model,
        api_key=reader.get("EACPS_OPENAI_API_KEY", str, "none"),
        timeout_s=reader.get("EACPS_OPENAI_TIMEOUT_S", _seconds, own.timeout_s),
        max_retries=reader.get("EACPS_OPENAI_MAX_RETRIES", _count, own.max_retries),
        in_flight=reader.get("EACPS_OPENAI_IN_FLIGHT", _positive, own.in_flight),
    )
    if bool(base_url) != bool(model):
        missing = "EACPS_OPENAI_MODEL" if base_url else "EACPS_OPENAI_BASE_URL"
        reader.violations.append(FieldViolation(missing, "is needed as well"))
    return settings if base_url and model else None


def _tls(reader: _Reader) -> TlsSettings | None:
    certificate = reader.get("EACPS_TLS_CERTIFICATE", Path, None)
    key = reader.get("EACPS_TLS_KEY", Path, None)
    client_ca = reader.get("EACPS_TLS_CLIENT_CA", Path, None)
    if certificate is not None and key is not None:
        return TlsSettings(certificate, key, client_ca)
    if (certificate, key, client_ca) != (None, None, None):
        # Half of it is a mistake, and serving in the clear is no answer to it.
        missing = {"EACPS_TLS_CERTIFICATE": certificate, "EACPS_TLS_KEY": key}
        reader.violations += [
            FieldViolation(name, "is needed as well") for name, value in missing.items() if value is None
        ]
    return None


def _gemini(reader: _Reader) -> GeminiSettings | None:
    own = GeminiSettings
    api_key = reader.get("EACPS_GEMINI_API_KEY", str, "")
    model = reader.get("EACPS_GEMINI_MODEL", str, "")
    settings = own(
        model=model,
        api_key=api_key,
        base_url=reader.get("EACPS_GEMINI_BASE_URL", str, None),
        timeout_s=reader.get("EACPS_GEMINI_TIMEOUT_S", _seconds, own.timeout_s),
        attempts=reader.get("EACPS_GEMINI_ATTEMPTS", _positive, own.attempts),
        in_flight=reader.get("EACPS_GEMINI_IN_FLIGHT", _positive, own.in_flight),
    )
    if model and not api_key:
        reader.violations.append(FieldViolation("EACPS_GEMINI_API_KEY", "is needed as well"))
    return settings if api_key and model else None


def _moondream(reader: _Reader) -> MoondreamSettings | None:
    own = MoondreamSettings
    settings = own(
        base_url=reader.get("EACPS_MOONDREAM_BASE_URL", str, None),
        api_key=reader.get("EACPS_MOONDREAM_API_KEY", str, ""),
        model=reader.get("EACPS_MOONDREAM_MODEL", str, None),
        timeout_s=reader.get("EACPS_MOONDREAM_TIMEOUT_S", _seconds, own.timeout_s),
        attempts=reader.get("EACPS_MOONDREAM_ATTEMPTS", _positive, own.attempts),
        in_flight=reader.get("EACPS_MOONDREAM_IN_FLIGHT", _positive, own.in_flight),
    )
    return settings if settings.api_key or settings.base_url else None


def _insecure(text: str) -> bool | str:
    known: dict[str, bool | str] = {"1": True, "true": True, "0": False, "false": False, ANYWHERE: ANYWHERE}
    if text.lower() not in known:
        raise ValueError(f"is {text}, not true, false or {ANYWHERE}")
    return known[text.lower()]


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"is {text}, not HOST:PORT")
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(f"is {text}, not a number of seconds of at least 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(f"is {text}, below 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(f"is {text}, below 1")
    return value


def _weights(text: str) -> Mapping[str, float]:
    pairs = [entry.partition("=") for entry in text.split(",")]
    weights = {name.strip(): float(value) for name, _, value in pairs}
    if not all(0 <= value < math.inf for value in weights.values()) or not any(weights.values()):
        raise ValueError(f"is {text}: weights are numbers of at least 0, not all 0")
    return weights
