"""The commands of ``eacps`` that serve other protocols than gRPC, over a search server."""

import logging

import typer

from eacps.cli import options
from eacps.cli.command import command
from eacps.cli.connection import SERVER_CONNECTION, Connection
from eacps.cli.examples import example_of
from eacps.cli.groups import grouped

GATEWAYS = "Other protocols over a search server"
gateways = typer.Typer()


@gateways.command(rich_help_panel=GATEWAYS, epilog=example_of("http"))
@grouped
def http(
    listen: options.HttpListen = None,
    via: Connection = SERVER_CONNECTION,
    verbose: options.Verbose = False,
    log_json: options.LogJson = False,
    as_json: options.AsJson = False,
) -> None:
    """Serve OpenAI's image API over a search server: POST /v1/images/edits. Needs the extra eacps[http]."""
    with command(as_json=as_json, via=via, http_address=listen) as (console, composition):
        from eacps.cli.logs import log_to

        log_to(console, level=logging.INFO if verbose else logging.WARNING, as_json=log_json)
        from eacps.cli.http_gateway import HttpGateway

        HttpGateway(composition, console, as_json).run()


@gateways.command(rich_help_panel=GATEWAYS, epilog=example_of("mcp"))
@grouped
def mcp(
    listen: options.McpListen = None,
    pictures: options.McpPictures = None,
    via: Connection = SERVER_CONNECTION,
    verbose: options.Verbose = False,
    log_json: options.LogJson = False,
    as_json: options.AsJson = False,
) -> None:
    """Serve the tools of an assistant (MCP) over a search server. Needs the extra eacps[mcp].

    Without --listen it speaks over standard input and output with the program that started it, and calls with
    EACPS_API_KEY. With --listen every caller sends its own key as a bearer token.
    """
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.exit_codes import ExitCode
        from eacps.cli.logs import log_to
        from eacps.cli.outcome import CommandFailed

        log_to(console, level=logging.INFO if verbose else logging.WARNING, as_json=log_json)
        from eacps.cli.mcp_gateway import McpGateway

        gateway = McpGateway(composition, console, as_json)
        if listen is None:
            gateway.over_stdio(pictures)
        elif pictures is not None:
            message = "--pictures is for the program that starts this one, not for callers over the network"
            raise CommandFailed(message, ExitCode.REQUEST, code="PICTURES")
        else:
            gateway.over_http(listen)
