"""``eacps studio``: the web application, over a running search server or an embedded one."""

import asyncio
import importlib.util
import logging
import tempfile
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.gateway_access import access_to
from eacps.cli.interrupts import first_of, run_cancellable, signals_to_end
from eacps.cli.outcome import CommandFailed
from eacps.cli.remote import translated_errors
from eacps.cli.streams import print_json
from eacps.client import AsyncClient, Retries
from eacps.descriptors import allow_descriptors
from eacps.settings.addresses import split_address

_NEEDED = ("starlette", "uvicorn", "python_multipart")
_TENANT = "studio"
_AT_ONCE = Retries(attempts=2)
"""A person is waiting, and the page itself says that the server is away, and tries again."""


@dataclass(frozen=True)
class StudioCommand:
    """Runs the studio.

    Args:
        composition: With the command's options applied; ``server`` decides whether a server is embedded.
        listen: ``host:port`` to listen on.
        hosts: Further names by which browsers may call it.
        samples: Folder of bundled pictures.
        console: For people; standard error.
        as_json: Print the address as JSON on standard output.
        opens_browser: Whether to open the page in the browser of this machine.
    """

    composition: Composition
    listen: str
    hosts: Sequence[str]
    samples: Path
    console: Console
    as_json: bool = False
    opens_browser: bool = True

    def run(self, log_file: Path) -> None:
        """Run it until Ctrl-C or SIGTERM.

        Args:
            log_file: For the output of the embedded Triton.

        Raises:
            InvalidRequest: Others than this machine could use a server that asks nobody for a key.
            CommandFailed, EacpsError: See `eacps.cli.outcome`.
        """
        from eacps.cli.logs import log_to

        if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
            message = f"the studio needs {' and '.join(missing)}: pip install 'eacps[studio]'"
            raise CommandFailed(message, ExitCode.INSTALLATION, code="NO_STUDIO")
        log_to(self.console, level=logging.WARNING)
        if (server := self.composition.server) is not None:
            here = self.composition

            def connect(key: str | None) -> AsyncClient:
                return AsyncClient(server, tls=here.server_tls, api_key=key, retries=_AT_ONCE)

            async def serve() -> None:
                if here.api_key is None:
                    await access_to(here, self.listen)
                await self._open(connect, here.api_key, asyncio.Event().wait)

            with translated_errors(server):
                run_cancellable(serve)
            return
        self._embedded(log_file)

    def _embedded(self, log_file: Path) -> None:
        from eacps.assembly import preflight
        from eacps.cli.embedding import embedded_triton
        from eacps.cli.serving import kept_running

        with tempfile.TemporaryDirectory(prefix="eacps-studio-") as folder:
            composition, key = self._with_key(Path(folder))
            preflight(composition.settings)
            with embedded_triton(composition, log_file, self.console) as triton:
                settings = composition.with_options(triton=triton.grpc_url).settings

                async def serve() -> None:
                    from eacps.assembly import serving

                    async with serving(settings) as server:

                        def connect(given: str | None) -> AsyncClient:
                            return AsyncClient(f"127.0.0.1:{server.port}", api_key=given, retries=_AT_ONCE)

                        await self._open(connect, key, lambda: kept_running(triton, self.console))

                run_cancellable(serve)

    def _with_key(self, folder: Path) -> tuple[Composition, str | None]:
        """Return settings of a server for this studio alone, and the key to it: others on this machine have none."""
        from eacps.api.access import add_key

        here = self.composition.with_options(address="127.0.0.1:0")
        key = here.api_key
        settings = replace(here.settings, tls=None, insecure=False)
        if settings.api_keys is None:
            keys = folder / "api_keys.json"
            key, settings = add_key(keys, _TENANT), replace(settings, api_keys=keys)
        return replace(here, settings=settings), key

    async def _open(
        self, connect: Callable[[str | None], AsyncClient], key: str | None, death: Callable[[], Awaitable[object]]
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="eacps-studio-") as folder:
            async with self._running(connect, key) as url:
                stop = signals_to_end()
                self.console.print(f"[bold green]studio[/] at {escape(url)}; Ctrl-C ends it", soft_wrap=True)
                if self.as_json:
                    print_json({"url": url})
                if self.opens_browser:
                    webbrowser.open(_link_file(url, Path(folder)))
                await first_of(stop.wait(), death())
                self.console.print("stopping")

    @asynccontextmanager
    async def _running(self, connect: Callable[[str | None], AsyncClient], key: str | None) -> AsyncIterator[str]:
        """Run the web server until the block ends; give the address to open."""
        from eacps.http.serving import serving_http
        from eacps.studio import Sessions, StudioSamples, studio_app
        from eacps.studio.app import TOKEN

        allow_descriptors()
        host, port = split_address(self.listen)
        sessions = Sessions(connect, key=key)
        name = f"[{host}]" if ":" in host else host
        app = studio_app(sessions, StudioSamples.found_in(self.samples), hosts=[*self.hosts, name])
        http = self.composition.http
        async with serving_http(app, host, port, http.certificate) as bound:
            address = f"{http.scheme}://{name}:{bound}/"
            try:
                yield address if sessions.link_token is None else f"{address}?{TOKEN}={sessions.link_token}"
            finally:
                app.state.stopping.set()


def _link_file(url: str, folder: Path) -> str:
    """Return the address of a file that leads to the studio: others on this machine can read command lines."""
    page = folder / "studio.html"
    page.write_text(f'<meta http-equiv="refresh" content="0; url={url}">', encoding="utf-8")
    return page.as_uri()
