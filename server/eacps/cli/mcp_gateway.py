"""``eacps mcp``: an MCP server, over standard input and output or over HTTP."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.gateway_access import access_to
from eacps.cli.interrupts import run_cancellable, signals_to_end
from eacps.cli.outcome import CommandFailed
from eacps.cli.remote import PATIENCE, translated_errors
from eacps.cli.server_caller import DEFAULT_SERVER
from eacps.cli.streams import print_json
from eacps.client import AsyncClient
from eacps.descriptors import allow_descriptors
from eacps.settings.addresses import split_address

try:
    from eacps.http.serving import serving_http
    from eacps.mcp import PictureFolder, create_server, mcp_app
    from eacps.mcp.app import PATH, with_callers_key
except ModuleNotFoundError as exc:
    if exc.name not in ("mcp", "mcp_types", "starlette", "uvicorn"):
        raise
    message = f"the package {exc.name} is not installed\ninstall it with: pip install 'eacps[mcp]'"
    raise CommandFailed(message, ExitCode.INSTALLATION, code="NO_MCP") from exc


@dataclass(frozen=True)
class McpGateway:
    """Runs the gateway.

    Args:
        composition: With the command's options applied.
        console: For people; standard error.
        as_json: Print one line of JSON with the address on standard output once it listens.
    """

    composition: Composition
    console: Console
    as_json: bool = False

    def over_stdio(self, pictures: Path | None) -> None:
        """Speak with the program that started this one, until it closes standard input.

        Args:
            pictures: Folder in which tools may read and write pictures; None for none.
        """
        if pictures is not None and not pictures.is_dir():
            raise CommandFailed(f"there is no folder {pictures}", ExitCode.REQUEST, code="NO_FOLDER")
        folder = None if pictures is None else PictureFolder(pictures)
        server = create_server(lambda _: self._open(self.composition.api_key), folder)
        # A read of standard input cannot be cancelled, and there is nothing to clean up: searches are the server's.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        asyncio.run(server.run_stdio_async())

    def over_http(self, address: str) -> None:
        """Serve until it is told to stop.

        Raises:
            InvalidRequest: Others than this machine could call a server that asks nobody for a key.
            CommandFailed: The server cannot be reached, where that has to be known.
            AddressUnavailable: It cannot listen.
        """
        allow_descriptors()
        with translated_errors(self._server):
            run_cancellable(lambda: self._serve(address))

    @property
    def _server(self) -> str:
        return self.composition.server or DEFAULT_SERVER

    def _open(self, api_key: str | None) -> AsyncClient:
        return AsyncClient(self._server, tls=self.composition.server_tls, api_key=api_key, retries=PATIENCE)

    async def _serve(self, address: str) -> None:
        access = await access_to(self.composition, address)
        server = create_server(with_callers_key(self._open))
        app = mcp_app(server, needs_key=access.needs_key, local=access.local)
        host, port = split_address(address)
        http = self.composition.http
        async with serving_http(app, host, port, http.certificate) as port:
            url = f"{http.scheme}://{address.rpartition(':')[0]}:{port}{PATH}"
            stop = signals_to_end()
            self.console.print(f"[bold green]serving[/] {escape(url)} over {escape(self._server)}; Ctrl-C ends it")
            if self.as_json:
                print_json({"url": url, "server": self._server})
            await stop.wait()
            self.console.print("stopping")
