"""The composition root: the only reader of the environment. Options of a command win over what it says.

What the search server is set up with is `eacps.settings`'s; the command line adds where models and a server are.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from eacps.settings import Settings

DEFAULT_MODEL_REPOSITORY = Path(".build/model_repository")


@dataclass(frozen=True)
class Composition:
    """What a command works with.

    Args:
        settings: Of the search server.
        model_repository: For an embedded Triton.
        server: ``host:port`` of a running search server; None where all is to be embedded.
    """

    settings: Settings = field(default_factory=Settings)
    model_repository: Path = DEFAULT_MODEL_REPOSITORY
    server: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Composition":
        """Read ``EACPS_*`` and ``OPENAI_API_KEY``; a variable that is empty counts as not set.

        Args:
            environment: By default this process's.

        Raises:
            InvalidRequest: Names every variable that cannot be read.
        """
        known = {name: value for name, value in (os.environ if environment is None else environment).items() if value}
        if "OPENAI_API_KEY" in known:  # the name that other clients of such endpoints read, too
            known.setdefault("EACPS_OPENAI_API_KEY", known["OPENAI_API_KEY"])
        return cls(
            settings=Settings.from_environment(known),
            model_repository=Path(known.get("EACPS_MODEL_REPOSITORY", DEFAULT_MODEL_REPOSITORY)),
            server=known.get("EACPS_SERVER"),
        )

    def with_options(
        self,
        *,
        address: str | None = None,
        triton: str | None = None,
        model_repository: Path | None = None,
        server: str | None = None,
    ) -> "Composition":
        """The same with what a command line gives in the place of what it replaces."""
        return Composition(
            settings=replace(
                self.settings, address=address or self.settings.address, triton=triton or self.settings.triton
            ),
            model_repository=model_repository or self.model_repository,
            server=server or self.server,
        )
