"""Vision-language models elsewhere that judge pictures."""

from dataclasses import dataclass, field

from eacps.errors import FieldViolation
from eacps.settings.reader import Reader, count, positive, rate, seconds


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
        in_flight: Most calls at once, over all searches and both scorers.
        per_second: Most calls begun in a second; None for no bound.
    """

    base_url: str
    model: str
    api_key: str = field(default="none", repr=False)
    timeout_s: float = 30.0
    max_retries: int = 3
    in_flight: int = 16
    per_second: float | None = None


@dataclass(frozen=True)
class GeminiSettings:
    """Gemini as a judge; the scorers are called ``gemini.realism`` and ``gemini.prompt``.

    Args:
        model: Name of the model.
        api_key: Never logged.
        base_url: Of the service; None takes the client library's own.
        timeout_s: Of one call.
        attempts: Calls about one picture, the first included.
        in_flight: Most calls at once, over all searches and both scorers.
        per_second: Most calls begun in a second; None for no bound.
    """

    model: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    in_flight: int = 16
    per_second: float | None = None


@dataclass(frozen=True)
class MoondreamSettings:
    """Moondream as a judge; the scorers are called ``moondream.realism`` and ``moondream.prompt``.

    Args:
        base_url: Of the interface; None takes the cloud's.
        api_key: Of the cloud; empty for a local endpoint. Never logged.
        model: Which of the endpoint's models; None leaves it to the endpoint.
        timeout_s, attempts, in_flight, per_second: As for `GeminiSettings`.
    """

    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    model: str | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    in_flight: int = 16
    per_second: float | None = None


def openai_of(reader: Reader) -> OpenAISettings | None:
    own = OpenAISettings
    base_url = reader.get("EACPS_OPENAI_BASE_URL", str, "")
    model = reader.get("EACPS_OPENAI_MODEL", str, "")
    settings = own(
        base_url=base_url,
        model=model,
        api_key=reader.get("EACPS_OPENAI_API_KEY", str, "none"),
        timeout_s=reader.get("EACPS_OPENAI_TIMEOUT_S", seconds, own.timeout_s),
        max_retries=reader.get("EACPS_OPENAI_MAX_RETRIES", count, own.max_retries),
        in_flight=reader.get("EACPS_OPENAI_IN_FLIGHT", positive, own.in_flight),
        per_second=reader.get("EACPS_OPENAI_PER_SECOND", rate, None),
    )
    if bool(base_url) != bool(model):
        missing = "EACPS_OPENAI_MODEL" if base_url else "EACPS_OPENAI_BASE_URL"
        reader.violations.append(FieldViolation(missing, "is needed as well"))
    return settings if base_url and model else None


def gemini_of(reader: Reader) -> GeminiSettings | None:
    own = GeminiSettings
    api_key = reader.get("EACPS_GEMINI_API_KEY", str, "")
    model = reader.get("EACPS_GEMINI_MODEL", str, "")
    settings = own(
        model=model,
        api_key=api_key,
        base_url=reader.get("EACPS_GEMINI_BASE_URL", str, None),
        timeout_s=reader.get("EACPS_GEMINI_TIMEOUT_S", seconds, own.timeout_s),
        attempts=reader.get("EACPS_GEMINI_ATTEMPTS", positive, own.attempts),
        in_flight=reader.get("EACPS_GEMINI_IN_FLIGHT", positive, own.in_flight),
        per_second=reader.get("EACPS_GEMINI_PER_SECOND", rate, None),
    )
    if model and not api_key:
        reader.violations.append(FieldViolation("EACPS_GEMINI_API_KEY", "is needed as well"))
    return settings if api_key and model else None


def moondream_of(reader: Reader) -> MoondreamSettings | None:
    own = MoondreamSettings
    settings = own(
        base_url=reader.get("EACPS_MOONDREAM_BASE_URL", str, None),
        api_key=reader.get("EACPS_MOONDREAM_API_KEY", str, ""),
        model=reader.get("EACPS_MOONDREAM_MODEL", str, None),
        timeout_s=reader.get("EACPS_MOONDREAM_TIMEOUT_S", seconds, own.timeout_s),
        attempts=reader.get("EACPS_MOONDREAM_ATTEMPTS", positive, own.attempts),
        in_flight=reader.get("EACPS_MOONDREAM_IN_FLIGHT", positive, own.in_flight),
        per_second=reader.get("EACPS_MOONDREAM_PER_SECOND", rate, None),
    )
    return settings if settings.api_key or settings.base_url else None
