"""The commands of ``eacps``. Each gathers its options and hands over; heavy imports happen inside."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from eacps.cli import options
from eacps.cli.asking import asks_for_a_search
from eacps.cli.command import command
from eacps.cli.exit_codes import HELP
from eacps.cli.kept_commands import kept

if TYPE_CHECKING:
    from eacps.cli.request import SearchOptions


app = typer.Typer(
    name="eacps",
    help="Search the noise of an image-editing diffusion model for the picture with the highest potential.",
    epilog=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.command()
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
    with command(as_json, **given, model_repository=model_repository) as (console, composition):
        from eacps.cli.logs import log_to
        from eacps.cli.serving import Serving

        log_to(console, level=logging.INFO if verbose else logging.WARNING, as_json=log_json)
        Serving(composition, console, as_json).up(log_file)


@app.command()
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
    with command(as_json, **given, triton=triton) as (console, composition):
        from eacps.cli.logs import log_to
        from eacps.cli.serving import Serving

        log_to(console, level=logging.INFO if verbose else logging.WARNING, as_json=log_json)
        Serving(composition, console, as_json).over_triton()


@app.command()
@asks_for_a_search
def search(
    asked: "SearchOptions",
    out: options.Out = Path("out/search"),
    server: options.Server = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    model_repository: options.ModelRepository = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
    plot: options.Plot = False,
) -> None:
    """Put CHARACTER into SCENE, edited as --prompt says: search the noise for the best picture.

    Writes best.png, contact_sheet.png and result.json into --out, and search.png with --plot.
    """
    tls = tls_ca, tls_certificate, tls_key
    with command(as_json, tls, server=server, model_repository=model_repository) as (console, composition):
        from eacps.cli.request import build_request
        from eacps.cli.searching import Searching

        Searching(composition, out, console, as_json, timeout, plot).run(build_request(asked))


@app.command()
def demo(
    out: options.Out = Path("out/demo"),
    sample: options.Sample = "smile",
    samples: options.Samples = Path("export/studio_mini/samples"),
    server: options.Server = None,
    model_repository: options.ModelRepository = None,
    as_json: options.AsJson = False,
) -> None:
    """Search on bundled pictures of people that were never trained on."""
    with command(as_json, server=server, model_repository=model_repository) as (console, composition):
        from eacps.cli.demo import demo_request
        from eacps.cli.searching import Searching

        Searching(composition, out, console, as_json, plot=True).run(demo_request(samples, sample))


@app.command()
def key(tenant: options.Tenant, api_keys: options.KeysFile = Path("api_keys.json")) -> None:
    """Make an API key for TENANT and print it once; a server that is started with the file knows it from then on."""
    with command(False):
        from eacps.api.access import add_key

        print(add_key(api_keys, tenant))


@app.command()
def doctor(
    model_repository: options.ModelRepository = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what the embedded Triton needs on this machine, and the command that mends what is missing."""
    with command(as_json, model_repository=model_repository) as (_, composition):
        from eacps.cli.doctor import examine, report
        from eacps.cli.searching import result_console

        raise typer.Exit(report(examine(composition.model_repository), result_console(), as_json=as_json))


@app.command()
def version() -> None:
    """Print the version."""
    from eacps import __version__

    print(__version__)


app.add_typer(kept)


def main() -> None:
    """Run the command that was asked for."""
    app()
