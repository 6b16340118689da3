"""The commands of ``eacps``. Each gathers its options and hands over; heavy imports happen inside."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from eacps.cli import options
from eacps.cli.asking import asks_for_a_search
from eacps.cli.exit_codes import HELP
from eacps.cli.outcome import reported

if TYPE_CHECKING:
    from eacps.cli.composition import Composition
    from eacps.cli.request import SearchOptions

KEPT = "Searches that a server keeps"

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
    with _command(as_json, **given, model_repository=model_repository) as (console, composition):
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
    with _command(as_json, **given, triton=triton) as (console, composition):
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
    with _command(as_json, tls, server=server, model_repository=model_repository) as (console, composition):
        from eacps.cli.request import build_request
        from eacps.cli.searching import Searching

        Searching(composition, out, console, as_json, timeout, plot).run(build_request(asked))


@app.command(rich_help_panel=KEPT)
@asks_for_a_search
def submit(
    asked: "SearchOptions",
    request_id: options.RequestId = None,
    label: options.Labels = [],  # noqa: B006 - typer makes a new list for every call
    priority: options.Priority = None,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask a server for a search and leave it to it; print its id."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept
        from eacps.cli.request import build_request, parse_labels

        request = build_request(asked)
        request.request_id, request.priority = request_id or "", priority or request.priority
        if priority is None:
            request.ClearField("priority")
        request.labels.update(parse_labels(label))
        Kept(composition, console, as_json).submit(request)


@app.command(rich_help_panel=KEPT)
def watch(
    search_id: options.SearchId,
    out: options.Out = Path("out/search"),
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Follow a search from its beginning to its end, and write its result into --out. Leaving does not end it."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).watch(search_id, out)


@app.command("list", rich_help_panel=KEPT)
def list_searches(
    state: options.States = [],  # noqa: B006
    label: options.Labels = [],  # noqa: B006
    most: options.Most = 50,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """List your searches, newest first."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept
        from eacps.cli.request import parse_labels

        Kept(composition, console, as_json).list([one.value for one in state], parse_labels(label), most)


@app.command(rich_help_panel=KEPT)
def cancel(
    search_id: options.SearchId,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Cancel a search; what it found stays."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).cancel(search_id)


@app.command(rich_help_panel=KEPT)
def delete(
    search_id: options.SearchId,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
) -> None:
    """Delete a search and its pictures."""
    with _command(False, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console).delete(search_id)


@app.command(rich_help_panel=KEPT)
def download(
    artifact: options.Artifact,
    out: options.PictureFile,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a picture of one of your searches, named by its hash, to a file."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).download(artifact, out)


@app.command(rich_help_panel=KEPT)
def render(
    search_id: options.SearchId,
    candidate: options.CandidateId,
    out: options.PictureFile,
    steps: options.Steps = None,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a candidate of a search again from its recipe, perhaps with other --steps, and write its picture."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).render(search_id, candidate, out, steps)


@app.command(rich_help_panel=KEPT)
def score(
    scene: options.Scene,
    character: options.Character,
    pictures: options.Pictures,
    prompt: options.Prompt,
    weight: options.Weights = [],  # noqa: B006
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Score PICTURES as a search would score its candidates."""
    with _command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept
        from eacps.cli.request import parse_numbers, score_request

        request = score_request(scene, character, pictures, prompt, parse_numbers(weight))
        Kept(composition, console, as_json).score(request, [picture.name for picture in pictures])


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
    with _command(as_json, server=server, model_repository=model_repository) as (console, composition):
        from eacps.cli.demo import demo_request
        from eacps.cli.searching import Searching

        Searching(composition, out, console, as_json, plot=True).run(demo_request(samples, sample))


@app.command()
def key(tenant: options.Tenant, api_keys: options.KeysFile = Path("api_keys.json")) -> None:
    """Make an API key for TENANT and print it once; a server that is started with the file knows it from then on."""
    with _command(False):
        from eacps.api.access import add_key

        print(add_key(api_keys, tenant))


@app.command()
def doctor(
    model_repository: options.ModelRepository = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what the embedded Triton needs on this machine, and the command that mends what is missing."""
    with _command(as_json, model_repository=model_repository) as (_, composition):
        from eacps.cli.doctor import examine, report
        from eacps.cli.searching import result_console

        raise typer.Exit(report(examine(composition.model_repository), result_console(), as_json=as_json))


@app.command()
def version() -> None:
    """Print the version."""
    from eacps import __version__

    print(__version__)


@contextmanager
def _command(
    as_json: bool, tls: tuple[str | None, str | None, str | None] = (None, None, None), **given: Any
) -> Iterator[tuple[Console, "Composition"]]:
    """What every command runs in: its failures reported, its settings read, the options ``given`` winning over them."""
    console = Console(stderr=True)
    with reported(console, as_json=as_json):
        from eacps.cli.composition import Composition
        from eacps.client import ClientTls

        yield console, Composition.from_environment().with_options(server_tls=ClientTls.from_texts(*tls), **given)


def main() -> None:
    """Run the command that was asked for."""
    app()
