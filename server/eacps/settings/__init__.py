"""Settings of the search server, read from an environment that the composition root hands over."""

from eacps.settings.http import HttpSettings, http_settings_of
from eacps.settings.judges import JudgeProvider, JudgeSettings
from eacps.settings.limits import LimitSettings
from eacps.settings.server import ANYWHERE, Settings, TlsSettings, check_access
from eacps.settings.store import StoreSettings

__all__ = [
    "ANYWHERE",
    "HttpSettings",
    "JudgeProvider",
    "JudgeSettings",
    "LimitSettings",
    "Settings",
    "StoreSettings",
    "TlsSettings",
    "check_access",
    "http_settings_of",
]
