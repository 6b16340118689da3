"""Settings of external judges."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from eacps.errors import FieldViolation
from eacps.settings.addresses import endpoint_of
from eacps.settings.reader import Reader, header_value, positive, rate, timeout


class JudgeProvider(StrEnum):
    """Whose interface a judge speaks; the first part of its scorers' names, such as ``openai.realism``."""

    OPENAI = "openai"
    GEMINI = "gemini"
    MOONDREAM = "moondream"
    REWARD = "reward"


@dataclass(frozen=True)
class JudgeSettings:
    """One judge.

    Args:
        provider: Whose interface it speaks. ``openai`` and ``reward`` are OpenAI-compatible; ``reward`` serves
            a reward model for edits (EditScore, UnifiedReward-Edit).
        model: Name of the model; None for the default of the endpoint (only ``moondream``).
        base_url: Of the endpoint, such as ``https://host/v1``; None takes the service's own.
        api_key: Empty for an endpoint without keys. Never logged.
        timeout_s: Of one call.
        attempts: Tries for one picture, the first included.
        in_flight: Most calls at once, over all searches and scorers.
        per_second: Most calls begun in a second; None for no bound.
        max_tokens: Most tokens of one answer of a model that thinks.
        rubrics: Folder with ``prompt.txt`` and ``realism.txt``, tasks in the words that a reward model was trained on;
            None takes the package's own.
    """

    provider: JudgeProvider
    model: str | None = None
    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    timeout_s: float = 60.0
    attempts: int = 4
    in_flight: int = 16
    per_second: float | None = None
    max_tokens: int = 16_384
    rubrics: Path | None = None


@dataclass(frozen=True)
class _Presence:
    """Which variables say that a judge is wanted, and which it needs then."""

    wanted_by: Sequence[str]
    needs: Sequence[str]


_PRESENCE = {
    JudgeProvider.OPENAI: _Presence(("BASE_URL", "MODEL"), ("BASE_URL", "MODEL")),
    JudgeProvider.REWARD: _Presence(("BASE_URL", "MODEL"), ("BASE_URL", "MODEL")),
    # The key has the service's own name, so it may be set for other programs.
    JudgeProvider.GEMINI: _Presence(("MODEL",), ("MODEL", "API_KEY")),
    JudgeProvider.MOONDREAM: _Presence(("BASE_URL", "API_KEY"), ()),
}


def judges_of(reader: Reader) -> tuple[JudgeSettings, ...]:
    """Read ``EACPS_OPENAI_...``, ``EACPS_GEMINI_...``, ``EACPS_MOONDREAM_...`` and ``EACPS_REWARD_...``."""
    return tuple(judge for provider in JudgeProvider if (judge := _judge_of(provider, reader)) is not None)


def _judge_of(provider: JudgeProvider, reader: Reader) -> JudgeSettings | None:
    prefix, own, presence = f"EACPS_{provider.upper()}_", JudgeSettings, _PRESENCE[provider]
    wanted = any(reader.has(prefix + name) for name in presence.wanted_by)
    settings = own(
        provider,
        model=reader.get(f"{prefix}MODEL", str, None),
        base_url=reader.get(f"{prefix}BASE_URL", endpoint_of, None),
        api_key=reader.get(f"{prefix}API_KEY", header_value, "") if wanted else "",
        timeout_s=reader.get(f"{prefix}TIMEOUT_S", timeout, own.timeout_s),
        attempts=reader.get(f"{prefix}ATTEMPTS", positive, own.attempts),
        in_flight=reader.get(f"{prefix}IN_FLIGHT", positive, own.in_flight),
        per_second=reader.get(f"{prefix}PER_SECOND", rate, None),
        max_tokens=reader.get(f"{prefix}MAX_TOKENS", positive, own.max_tokens),
        rubrics=reader.get(f"{prefix}RUBRICS", Path, None),
    )
    missing = [prefix + name for name in presence.needs if wanted and not reader.has(prefix + name)]
    reader.violations += [FieldViolation(name, "is needed as well") for name in missing]
    return settings if wanted and not missing else None
