"""``eacps http``: OpenAI's image API in the foreground, until Ctrl-C or SIGTERM."""

from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2
from rich.console import Console
from rich.markup import escape

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.gateway_access import access_to
from eacps.cli.health import health_of
from eacps.cli.interrupts import run_cancellable, signals_to_end
from eacps.cli.outcome import CommandFailed
from eacps.cli.remote import translated_errors
from eacps.cli.server_caller import DEFAULT_SERVER
from eacps.cli.streams import print_json
from eacps.descriptors import allow_descriptors
from eacps.settings.addresses import split_address

try:
    from eacps.http import HttpLimits, Upstream, create_app
    from eacps.http.serving import serving_http
except ModuleNotFoundError as exc:
    if exc.name not in ("starlette", "uvicorn", "python_multipart"):
        raise
    message = f"the package {exc.name} is not installed\ninstall it with: pip install 'eacps[http]'"
    raise CommandFailed(message, ExitCode.INSTALLATION, code="NO_HTTP") from exc


@dataclass(frozen=True)
class HttpGateway:
    """Runs the gateway.

    Args:
        composition: With the command's options applied.
        console: For people; standard error.
        as_json: Print one line of JSON with the address on standard output once it listens.
    """

    composition: Composition
    console: Console
    as_json: bool = False

    def run(self) -> None:
        """Serve until it is told to stop.

        Raises:
            InvalidRequest: Others than this machine could call a server that asks nobody for a key.
            CommandFailed: The server cannot be reached, where that has to be known.
            AddressUnavailable: It cannot listen.
        """
        allow_descriptors()
        server = self.composition.server or DEFAULT_SERVER
        with translated_errors(server):
            run_cancellable(lambda: self._serve(server))

    async def _serve(self, server: str) -> None:
        settings, tls = self.composition.http, self.composition.server_tls
        access = await access_to(self.composition, settings.address)

        async def ready() -> bool:
            try:
                return await health_of(server, tls) == health_pb2.HealthCheckResponse.SERVING
            except grpc.aio.AioRpcError:
                return False

        limits = HttpLimits(
            max_body_bytes=settings.max_body_bytes,
            max_edits=settings.max_edits,
            search_timeout_s=settings.search_timeout_s,
        )
        app = create_app(Upstream(server, ready, tls), limits, needs_key=access.needs_key, local=access.local)
        host, port = split_address(settings.address)
        async with serving_http(app, host, port, settings.certificate) as port:
            address = f"{settings.scheme}://{settings.address.rpartition(':')[0]}:{port}"
            stop = signals_to_end()
            self.console.print(f"[bold green]serving[/] {escape(address)}/v1 over {escape(server)}; Ctrl-C ends it")
            if self.as_json:
                print_json({"address": address, "server": server})
            await stop.wait()
            self.console.print("stopping")
