"""Settings of the search server, read from an environment that the composition root hands over."""

from eacps.settings.judges import GeminiSettings, MoondreamSettings, OpenAISettings
from eacps.settings.server import ANYWHERE, Settings, TlsSettings, check_access
from eacps.settings.store import StoreSettings

__all__ = [
    "ANYWHERE",
    "GeminiSettings",
    "MoondreamSettings",
    "OpenAISettings",
    "Settings",
    "StoreSettings",
    "TlsSettings",
    "check_access",
]
