"""The composition root: the only reader of the environment. Options of a command override it.

`eacps.settings` reads the settings of the search server; the command line adds where models and a server are.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from eacps.client import ClientTls
from eacps.errors import InvalidRequest
from eacps.settings import HttpSettings, Settings, StoreSettings, http_settings_of
from eacps.settings.addresses import target_of
from eacps.settings.reader import Reader, header_value

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
    """Settings that a command works with.

    Args:
        settings: Settings of the search server.
        model_repository: Model repository of the embedded Triton.
        server: ``host:port`` of a running search server; None embeds one.
        tls_files: Roots, client certificate and its key, each None if not given; see `ClientTls.from_texts`.
        api_key: Sent to it. Read from the environment alone, since others can see command lines.
        http: Settings of the HTTP interface.
    """

    settings: Settings = field(default_factory=Settings)
    model_repository: Path = DEFAULT_MODEL_REPOSITORY
    server: str | None = None
    tls_files: tuple[str | None, ...] = (None, None, None)
    api_key: str | None = field(default=None, repr=False)
    http: HttpSettings = field(default_factory=HttpSettings)

    @property
    def server_tls(self) -> ClientTls | None:
        """How to trust the server; None uses no TLS."""
        return ClientTls.from_texts(*self.tls_files)

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
        reader = Reader(known)
        settings, server = Settings.read(reader), reader.get("EACPS_SERVER", target_of, None)
        api_key, http = reader.get("EACPS_API_KEY", header_value, None), http_settings_of(reader)
        if reader.violations:
            raise InvalidRequest(reader.violations)
        return cls(
            settings=settings,
            model_repository=Path(known.get("EACPS_MODEL_REPOSITORY", DEFAULT_MODEL_REPOSITORY)),
            server=server,
            tls_files=tuple(known.get(f"EACPS_SERVER_TLS_{name}") for name in _TLS_FILES),
            api_key=api_key,
            http=http,
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
        tls_files: tuple[str | None, ...] = (None, None, None),
        http_address: str | None = None,
    ) -> "Composition":
        """Return the same with the options of a command line in place of what each of them replaces."""
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
            tls_files=tuple(given or known for given, known in zip(tls_files, self.tls_files, strict=True)),
            api_key=self.api_key,
            http=replace(self.http, address=http_address or self.http.address),
        )
