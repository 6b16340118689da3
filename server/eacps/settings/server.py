"""Settings of the search server. Only the composition root reads them from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eacps.errors import FieldViolation, InvalidRequest
from eacps.settings.addresses import address_of, is_loopback, targets_of, url_of
from eacps.settings.judges import JudgeSettings, judges_of
from eacps.settings.limits import LimitSettings, limit_settings_of
from eacps.settings.provenance import ProvenanceSettings, provenance_of
from eacps.settings.reader import Reader, count, duration_s, positive, weights
from eacps.settings.store import StoreSettings, store_of

ANYWHERE = "anywhere"


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
    """All settings of the search server.

    Args:
        address: ``host:port`` to serve on; port 0 takes a free one.
        triton: ``host:port`` of Triton's gRPC endpoint, or of several; see `eacps.triton.TritonGateway.connect`.
        triton_ready_timeout_s: How long to wait at the start until Triton is ready.
        triton_retries: How often a call is tried again if Triton is unavailable, after growing pauses of up to 10 s:
            12 times are a minute and a half.
        grace_s: Time for running searches after the server was asked to stop.
        max_searches: Searches that run at once on this server; further ones wait.
        limits: How much is done at once, and for one tenant.
        decoders: Processes that decode uploaded pictures; starting searches have an additional one.
        store: Where searches are kept; None keeps them while the server runs.
        default_weights: Weights that count if a request gives none; None takes the API's own.
        metrics: ``host:port`` to serve Prometheus metrics on; None serves none.
        otlp: ``http://host:port`` of an OpenTelemetry collector (gRPC) that gets traces; None makes none.
        tls: Certificates to serve with; None uses no TLS.
        api_keys: File of the digests of the API keys that may call.
        insecure: Let anyone call who reaches the address, without ``api_keys`` or certificates of clients. Only on
            this machine, unless it is `ANYWHERE`.
        judges: Vision-language models elsewhere.
        provenance: What delivered files say of how they were made.
    """

    address: str = "127.0.0.1:50051"
    triton: str = "127.0.0.1:8001"
    triton_ready_timeout_s: float = 120.0
    triton_retries: int = 12
    grace_s: float = 10.0
    max_searches: int = 8
    limits: LimitSettings = field(default_factory=LimitSettings)
    decoders: int = 2
    store: StoreSettings | None = None
    default_weights: Mapping[str, float] | None = None
    metrics: str | None = None
    otlp: str | None = None
    tls: TlsSettings | None = None
    api_keys: Path | None = None
    insecure: bool | str = False
    judges: tuple[JudgeSettings, ...] = ()
    provenance: ProvenanceSettings = field(default_factory=ProvenanceSettings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read ``EACPS_*``; what is not set keeps its default.

        ``EACPS_ADDRESS``, ``EACPS_TRITON``, ``EACPS_TRITON_READY_TIMEOUT_S``, ``EACPS_TRITON_RETRIES``,
        ``EACPS_GRACE_S``, ``EACPS_MAX_SEARCHES``, ``EACPS_DECODERS``, ``EACPS_METRICS``,
        ``EACPS_OTLP``, ``EACPS_TLS_CERTIFICATE``, ``EACPS_TLS_KEY``, ``EACPS_TLS_CLIENT_CA``, ``EACPS_API_KEYS``,
        ``EACPS_INSECURE``, ``EACPS_DEFAULT_WEIGHTS`` (``identity=0.5,realism=0.3,prompt=0.2``).

        How much is done at once: ``EACPS_CALLS_PER_SECOND``, ``EACPS_READS_PER_SECOND``, ``EACPS_MAX_STREAMS``,
        ``EACPS_MAX_PICTURE_CALLS``, ``EACPS_MAX_UPLOADS``, ``EACPS_MAX_DOWNLOADS``, ``EACPS_TENANT_SHARE``,
        ``EACPS_UPLOADED_BYTES``, ``EACPS_DECODED_BYTES``; see `LimitSettings`.

        Where searches are kept: ``EACPS_DATA`` (a folder), ``EACPS_DATABASE``, ``EACPS_ARTIFACTS``,
        ``EACPS_EXECUTOR_ID``, ``EACPS_CLAIM_PATIENCE_S``, ``EACPS_MAX_SEARCHES_EVERYWHERE``,
        ``EACPS_MAX_SEARCHES_PER_TENANT``, ``EACPS_MAX_UNFINISHED``, ``EACPS_MAX_UNFINISHED_PER_TENANT``,
        ``EACPS_KEEP_S``, ``EACPS_KEEP_UPLOADS_S``,
        ``EACPS_KEEP_BYTES``, ``EACPS_SWEEP_S``; see `StoreSettings`.

        What delivered files say: ``EACPS_CREDENTIALS``, ``EACPS_CREDENTIALS_CERTIFICATE``, ``EACPS_CREDENTIALS_KEY``,
        ``EACPS_RECORD``; see `ProvenanceSettings`.

        External judges: ``EACPS_OPENAI_...``, ``EACPS_GEMINI_...``, ``EACPS_MOONDREAM_...``, ``EACPS_REWARD_...``, see
        `JudgeSettings`.

        Raises:
            InvalidRequest: Names every variable that cannot be read.
        """
        reader = Reader(environment)
        settings = cls.read(reader)
        if reader.violations:
            raise InvalidRequest(reader.violations)
        return settings

    @classmethod
    def read(cls, reader: Reader) -> "Settings":
        """Read as `from_environment` does; the reader collects the variables that cannot be read."""
        return cls(
            address=reader.get("EACPS_ADDRESS", address_of, cls.address),
            triton=reader.get("EACPS_TRITON", targets_of, cls.triton),
            triton_ready_timeout_s=reader.get("EACPS_TRITON_READY_TIMEOUT_S", duration_s, cls.triton_ready_timeout_s),
            triton_retries=reader.get("EACPS_TRITON_RETRIES", count, cls.triton_retries),
            grace_s=reader.get("EACPS_GRACE_S", duration_s, cls.grace_s),
            max_searches=reader.get("EACPS_MAX_SEARCHES", positive, cls.max_searches),
            limits=limit_settings_of(reader),
            decoders=reader.get("EACPS_DECODERS", positive, cls.decoders),
            store=store_of(reader),
            default_weights=reader.get("EACPS_DEFAULT_WEIGHTS", weights, None),
            metrics=reader.get("EACPS_METRICS", address_of, None),
            otlp=reader.get("EACPS_OTLP", url_of, None),
            tls=_tls(reader),
            api_keys=reader.get("EACPS_API_KEYS", Path, None),
            insecure=reader.get("EACPS_INSECURE", _insecure, cls.insecure),
            judges=judges_of(reader),
            provenance=provenance_of(reader),
        )


def check_access(settings: Settings) -> None:
    """Check that the server authenticates callers, or is explicitly configured not to.

    Raises:
        InvalidRequest: Neither keys nor certificates of clients are asked for, and ``insecure`` does not allow it.
        ValueError: The address is malformed; see `eacps.settings.addresses`.
    """
    asks = settings.api_keys is not None or (settings.tls is not None and settings.tls.client_ca is not None)
    if asks or settings.insecure == ANYWHERE:
        return
    if not settings.insecure:
        text = "is needed, or certificates of clients (tls_client_ca), or an explicit --insecure"
        raise InvalidRequest([FieldViolation("api_keys", text)])
    if not is_loopback(settings.address):
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
