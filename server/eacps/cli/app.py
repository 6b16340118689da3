"""The commands of ``eacps``. Each gathers its options and hands over; heavy imports happen inside."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eacps.cli import options
from eacps.cli.choosing_commands import choosing
from eacps.cli.command import command
from eacps.cli.connection import CONNECTION, SERVER_CONNECTION, Connection
from eacps.cli.examples import example_of
from eacps.cli.exit_codes import HELP
from eacps.cli.gateway_commands import gateways
from eacps.cli.groups import grouped
from eacps.cli.request_options import REQUEST_OPTIONS
from eacps.cli.stored_search_commands import stored_searches
from eacps.cli.streams import guard_streams

if TYPE_CHECKING:
    from eacps.cli.request import SearchOptions


app = typer.Typer(
    name="eacps",
    help="Search the noise of an image-editing diffusion model for the picture with the highest potential.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(requested: bool) -> None:
    if requested:
        from eacps import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Search the noise of an image-editing diffusion model for the picture with the highest potential."""


@app.command(epilog=example_of("up"))
def up(
    listen: options.Listen = None,
    model_repository: options.ModelRepository = None,
    log_file: options.LogFile = Path("out/triton.log"),
    metrics: options.Metrics = None,
    api_keys: options.ApiKeys = None,
    insecure: options.Insecure = False,
    data: options.Data = None,
    verbose: options.Verbose = False,
    log_json: options.LogJson = False,
    as_json: options.AsJson = False,
) -> None:
    """Run an embedded Triton and the search server in the foreground."""
    given: dict[str, Any] = {
        "address": listen,
        "metrics": metrics,
        "api_keys": api_keys,
        "insecure": insecure,
        "data": data,
    }
    with command(as_json=as_json, **given, model_repository=model_repository) as (console, composition):
        from eacps.cli.logs import log_to
        from eacps.cli.serving import Serving

        log_to(console, level=logging.INFO if verbose else logging.WARNING, as_json=log_json)
        Serving(composition, console, as_json).up(log_file)


@app.command(epilog=example_of("serve"))
def serve(
    triton: options.Triton = None,
    listen: options.Listen = None,
    metrics: options.Metrics = None,
    api_keys: options.ApiKeys = None,
    insecure: options.Insecure = False,
    data: options.Data = None,
    verbose: options.Verbose = False,
    log_json: options.LogJson = False,
    as_json: options.AsJson = False,
) -> None:
    """Run the search server alone, over a Triton that runs elsewhere."""
    given: dict[str, Any] = {
        "address": listen,
        "metrics": metrics,
        "api_keys": api_keys,
        "insecure": insecure,
        "data": data,
    }
    with command(as_json=as_json, **given, triton=triton) as (console, composition):
        from eacps.cli.logs import log_to
        from eacps.cli.serving import Serving

        log_to(console, level=logging.INFO if verbose else logging.WARNING, as_json=log_json)
        Serving(composition, console, as_json).over_triton()


@app.command(epilog=example_of("search"))
@grouped
def search(
    requested: "SearchOptions" = REQUEST_OPTIONS,
    out: options.Out = Path("out/search"),
    timeout: options.Timeout = None,
    plot: options.Plot = False,
    layers: options.LayersToo = False,
    overwrite: options.Overwrite = False,
    model_repository: options.ModelRepository = None,
    via: Connection = CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Put the person in CHARACTER into SCENE, edit it as --prompt says, and search the noise for the best picture.

    Writes best.png, contact_sheet.png and result.json, search.png with --plot, and best_plate, best_patch and
    best_matte with --layers.
    """
    with command(as_json=as_json, via=via, model_repository=model_repository) as (console, composition):
        from eacps.cli.request import build_request
        from eacps.cli.searching import Searching

        Searching(composition, out, console, as_json, timeout, plot, layers, overwrite).run(build_request(requested))


@app.command(epilog=example_of("demo"))
@grouped
def demo(
    out: options.Out = Path("out/demo"),
    sample: options.SampleName = "smile",
    samples: options.SamplesFolder = Path("studio_mini/samples"),
    model_repository: options.ModelRepository = None,
    via: Connection = CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Search on bundled pictures of people on whom nothing was trained."""
    with command(as_json=as_json, via=via, model_repository=model_repository) as (console, composition):
        from eacps.cli.demo import demo_request
        from eacps.cli.searching import Searching

        Searching(composition, out, console, as_json, plot=True, overwrite=True).run(demo_request(samples, sample))


@app.command(epilog=example_of("studio"))
@grouped
def studio(
    listen: options.StudioListen = "127.0.0.1:7860",
    host: options.StudioHosts = [],  # noqa: B006 - typer makes a new list for every call
    samples: options.SamplesFolder = Path("studio_mini/samples"),
    no_browser: options.NoBrowser = False,
    data: options.Data = None,
    model_repository: options.ModelRepository = None,
    log_file: options.LogFile = Path("out/triton.log"),
    via: Connection = CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Open the studio: a page in the browser to make, compare and choose pictures.

    It works with the server that --server names, or with one of its own, which keeps its searches in --data.
    """
    with command(as_json=as_json, via=via, data=data, model_repository=model_repository) as (console, composition):
        from eacps.cli.studio import StudioCommand

        command_of = StudioCommand(composition, listen, host, samples, console, as_json, opens_browser=not no_browser)
        command_of.run(log_file)


@app.command(epilog=example_of("key"))
def key(tenant: options.Tenant, api_keys: options.KeysFile = Path("api_keys.json")) -> None:
    """Make an API key for a tenant, and print it once. Only its digest is stored in the file."""
    with command():
        from eacps.api.access import add_key

        print(add_key(api_keys, tenant))


@app.command(epilog=example_of("health"))
@grouped
def health(
    live: options.Live = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Exit with 0 if a search server is ready to search, else with 3."""
    with command(as_json=as_json, via=via) as (_, composition):
        from eacps.cli.health import check_health

        check_health(composition, live=live)


@app.command(epilog=example_of("doctor"))
def doctor(
    model_repository: options.ModelRepository = None,
    as_json: options.AsJson = False,
) -> None:
    """Check what the embedded Triton needs on this machine, and print a command for everything that is missing."""
    with command(as_json=as_json, model_repository=model_repository) as (_, composition):
        from eacps.cli.doctor import examine, report
        from eacps.cli.streams import result_console

        raise typer.Exit(report(examine(composition.model_repository), result_console(), as_json=as_json))


@app.command(epilog=example_of("version"))
def version() -> None:
    """Print the version."""
    from eacps import __version__

    print(__version__)


app.add_typer(stored_searches)
app.add_typer(choosing)
app.add_typer(gateways)


def main() -> None:
    """Run a command."""
    guard_streams()
    app()
