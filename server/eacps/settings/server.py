"""Settings of the search server. Read from the environment by the composition root, and by nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eacps.errors import FieldViolation, InvalidRequest
from eacps.settings.judges import (
    GeminiSettings,
    MoondreamSettings,
    OpenAISettings,
    gemini_of,
    moondream_of,
    openai_of,
)
from eacps.settings.reader import Reader, address_of, count, positive, rate, seconds, weights
from eacps.settings.store import StoreSettings, store_of

ANYWHERE = "anywhere"
LOOPBACK = ("127.", "localhost:", "[::1]:")


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
        triton: ``host:port`` of Triton's gRPC endpoint, or of several; see `eacps.triton.TritonGateway.connect`.
        triton_ready_timeout_s: How long to wait for it at the start.
        triton_retries: How often a call that finds it unavailable is tried again, after growing pauses of up to 10 s:
            12 times are a minute and a half.
        grace_s: How long running searches may go on after the server was told to stop.
        max_searches: Searches that run at once on this server; further ones wait.
        calls_per_second: Of every tenant: requests for searches, and calls that make or take in pictures; None for no
            bound.
        decoders: Processes that decode pictures.
        store: Where searches are kept; None keeps them while the server runs.
        default_weights: Weights where a request names no scorer; None takes the API's own.
        metrics: ``host:port`` to serve Prometheus metrics on; None serves none.
        otlp: ``http://host:port`` of an OpenTelemetry collector (gRPC) that gets traces; None makes none.
        tls: Certificates to serve with; None serves in the clear.
        api_keys: File of the keys of who may call, hashed.
        insecure: Let anyone call who reaches the address, without ``api_keys`` or certificates of clients. Only on
            this machine, unless it is `ANYWHERE`.
        openai, gemini, moondream: Outside judges, as far as there are any.
    """

    address: str = "127.0.0.1:50051"
    triton: str = "127.0.0.1:8001"
    triton_ready_timeout_s: float = 120.0
    triton_retries: int = 12
    grace_s: float = 10.0
    max_searches: int = 8
    calls_per_second: float | None = 100.0
    decoders: int = 2
    store: StoreSettings | None = None
    default_weights: Mapping[str, float] | None = None
    metrics: str | None = None
    otlp: str | None = None
    tls: TlsSettings | None = None
    api_keys: Path | None = None
    insecure: bool | str = False
    openai: OpenAISettings | None = None
    gemini: GeminiSettings | None = None
    moondream: MoondreamSettings | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read ``EACPS_*``; what is not set keeps its default.

        ``EACPS_ADDRESS``, ``EACPS_TRITON``, ``EACPS_TRITON_READY_TIMEOUT_S``, ``EACPS_TRITON_RETRIES``,
        ``EACPS_GRACE_S``, ``EACPS_MAX_SEARCHES``, ``EACPS_DECODERS``, ``EACPS_CALLS_PER_SECOND``, ``EACPS_METRICS``,
        ``EACPS_OTLP``, ``EACPS_TLS_CERTIFICATE``, ``EACPS_TLS_KEY``, ``EACPS_TLS_CLIENT_CA``, ``EACPS_API_KEYS``,
        ``EACPS_INSECURE``, ``EACPS_DEFAULT_WEIGHTS`` (``identity=0.5,realism=0.3,prompt=0.2``).

        Where searches are kept: ``EACPS_DATA`` (a folder), ``EACPS_DATABASE``, ``EACPS_ARTIFACTS``,
        ``EACPS_EXECUTOR_ID``, ``EACPS_CLAIM_PATIENCE_S``, ``EACPS_MAX_SEARCHES_EVERYWHERE``,
        ``EACPS_MAX_SEARCHES_PER_TENANT``, ``EACPS_MAX_UNFINISHED``, ``EACPS_MAX_UNFINISHED_PER_TENANT``,
        ``EACPS_KEEP_S``, ``EACPS_KEEP_UPLOADS_S``,
        ``EACPS_KEEP_BYTES``, ``EACPS_SWEEP_S``; see `StoreSettings`.

        Outside judges: ``EACPS_OPENAI_BASE_URL`` and ``EACPS_OPENAI_MODEL`` together, ``EACPS_OPENAI_API_KEY``,
        ``EACPS_OPENAI_TIMEOUT_S``, ``EACPS_OPENAI_MAX_RETRIES``, ``EACPS_OPENAI_IN_FLIGHT``, ``..._PER_SECOND``. Gemini
        takes ``EACPS_GEMINI_API_KEY`` and ``EACPS_GEMINI_MODEL`` together, Moondream ``EACPS_MOONDREAM_API_KEY`` or,
        for a local endpoint, ``EACPS_MOONDREAM_BASE_URL``, or both; each of them further ``..._BASE_URL``,
        ``..._MODEL``, ``..._TIMEOUT_S``, ``..._ATTEMPTS``, ``..._IN_FLIGHT`` and ``..._PER_SECOND``.

        Raises:
            InvalidRequest: Names every variable that cannot be read.
        """
        reader = Reader(environment)
        settings = cls(
            address=reader.get("EACPS_ADDRESS", str, cls.address),
            triton=reader.get("EACPS_TRITON", str, cls.triton),
            triton_ready_timeout_s=reader.get("EACPS_TRITON_READY_TIMEOUT_S", seconds, cls.triton_ready_timeout_s),
            triton_retries=reader.get("EACPS_TRITON_RETRIES", count, cls.triton_retries),
            grace_s=reader.get("EACPS_GRACE_S", seconds, cls.grace_s),
            max_searches=reader.get("EACPS_MAX_SEARCHES", positive, cls.max_searches),
            calls_per_second=reader.get("EACPS_CALLS_PER_SECOND", rate, cls.calls_per_second),
            decoders=reader.get("EACPS_DECODERS", positive, cls.decoders),
            store=store_of(reader),
            default_weights=reader.get("EACPS_DEFAULT_WEIGHTS", weights, None),
            metrics=reader.get("EACPS_METRICS", address_of, None),
            otlp=reader.get("EACPS_OTLP", str, None),
            tls=_tls(reader),
            api_keys=reader.get("EACPS_API_KEYS", Path, None),
            insecure=reader.get("EACPS_INSECURE", _insecure, cls.insecure),
            openai=openai_of(reader),
            gemini=gemini_of(reader),
            moondream=moondream_of(reader),
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


def _tls(reader: Reader) -> TlsSettings | None:
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


def _insecure(text: str) -> bool | str:
    known: dict[str, bool | str] = {"1": True, "true": True, "0": False, "false": False, ANYWHERE: ANYWHERE}
    if text.lower() not in known:
        raise ValueError(f"is {text}, not true, false or {ANYWHERE}")
    return known[text.lower()]
