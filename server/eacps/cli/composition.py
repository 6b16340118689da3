"""The composition root: the only reader of the environment. Options of a command win over what it says.

What the search server is set up with is `eacps.settings`'s; the command line adds where models and a server are.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from eacps.client import ClientTls
from eacps.settings import Settings, StoreSettings

# Names of keys that other clients of these services read, too.
_USUAL_NAMES = (
    ("OPENAI_API_KEY", "EACPS_OPENAI_API_KEY"),
    ("GEMINI_API_KEY", "EACPS_GEMINI_API_KEY"),
    ("GOOGLE_API_KEY", "EACPS_GEMINI_API_KEY"),
    ("MOONDREAM_API_KEY", "EACPS_MOONDREAM_API_KEY"),
)
_TLS_FILES = ("CA", "CERTIFICATE", "KEY")
DEFAULT_MODEL_REPOSITORY = Path(".build/model_repository")


@dataclass(frozen=True)
class Composition:
    """What a command works with.

    Args:
        settings: Of the search server.
        model_repository: For an embedded Triton.
        server: ``host:port`` of a running search server; None where all is to be embedded.
        server_tls: How to trust it; None speaks in the clear.
        api_key: Shown to it. Read from the environment alone: command lines are seen by others.
    """

    settings: Settings = field(default_factory=Settings)
    model_repository: Path = DEFAULT_MODEL_REPOSITORY
    server: str | None = None
    server_tls: ClientTls | None = None
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Composition":
        """Read ``EACPS_*`` and the usual names of the services' keys; a variable that is empty counts as not set.

        Args:
            environment: By default this process's.

        Raises:
            InvalidRequest: Names every variable that cannot be read.
        """
        known = {name: value for name, value in (os.environ if environment is None else environment).items() if value}
        for usual, ours in _USUAL_NAMES:
            if usual in known:
                known.setdefault(ours, known[usual])
        return cls(
            settings=Settings.from_environment(known),
            model_repository=Path(known.get("EACPS_MODEL_REPOSITORY", DEFAULT_MODEL_REPOSITORY)),
            server=known.get("EACPS_SERVER"),
            server_tls=ClientTls.from_texts(*(known.get(f"EACPS_SERVER_TLS_{name}") for name in _TLS_FILES)),
            api_key=known.get("EACPS_API_KEY"),
        )

    def with_options(
        self,
        *,
        address: str | None = None,
        triton: str | None = None,
        metrics: str | None = None,
        api_keys: Path | None = None,
        insecure: bool = False,
        data: Path | None = None,
        model_repository: Path | None = None,
        server: str | None = None,
        server_tls: ClientTls | None = None,
    ) -> "Composition":
        """The same with what a command line gives in the place of what it replaces."""
        store = self.settings.store
        return Composition(
            settings=replace(
                self.settings,
                store=replace(store or StoreSettings(), folder=data) if data else store,
                address=address or self.settings.address,
                triton=triton or self.settings.triton,
                metrics=metrics or self.settings.metrics,
                api_keys=api_keys or self.settings.api_keys,
                insecure=self.settings.insecure or insecure,
            ),
            model_repository=model_repository or self.model_repository,
            server=server or self.server,
            server_tls=server_tls or self.server_tls,
            api_key=self.api_key,
        )
