"""The commands of ``eacps``. Each gathers its options and hands over; heavy imports happen inside."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from eacps.cli import options
from eacps.cli.exit_codes import HELP
from eacps.cli.outcome import reported

if TYPE_CHECKING:
    from eacps.cli.composition import Composition

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
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Run an embedded Triton and the search server in the foreground."""
    given = {"address": listen, "metrics": metrics, "api_keys": api_keys, "insecure": insecure}
    with _command(as_json, **given, model_repository=model_repository) as (console, composition):
        from eacps.cli.logs import log_to
        from eacps.cli.serving import Serving

        log_to(console, level=logging.INFO if verbose else logging.WARNING)
        Serving(composition, console, as_json).up(log_file)


@app.command()
def serve(
    triton: options.Triton = None,
    listen: options.Listen = None,
    metrics: options.Metrics = None,
    api_keys: options.ApiKeys = None,
    insecure: options.Insecure = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Run the search server alone, over a Triton that runs elsewhere."""
    given = {"address": listen, "metrics": metrics, "api_keys": api_keys, "insecure": insecure}
    with _command(as_json, **given, triton=triton) as (console, composition):
        from eacps.cli.logs import log_to
        from eacps.cli.serving import Serving

        log_to(console, level=logging.INFO if verbose else logging.WARNING)
        Serving(composition, console, as_json).over_triton()


@app.command()
def search(
    scene: options.Scene,
    character: options.Character,
    prompt: options.Prompt,
    out: options.Out = Path("out/search"),
    server: options.Server = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    model_repository: options.ModelRepository = None,
    mask: options.Mask = None,
    negative_prompt: options.NegativePrompt = None,
    scene_face: options.SceneFace = None,
    character_face: options.CharacterFace = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
    steps: options.Steps = None,
    true_cfg_scale: options.TrueCfgScale = None,
    character_as_reference: options.CharacterAsReference = None,
    strategy: options.Strategy = None,
    trajectories: options.Trajectories = None,
    global_candidates: options.GlobalCandidates = None,
    parents: options.Parents = None,
    children: options.Children = None,
    rounds: options.Rounds = None,
    local_move: options.LocalMove = None,
    angle: options.Angle = None,
    angle_decay: options.AngleDecay = None,
    seed_radius: options.SeedRadius = None,
    seed: options.Seed = None,
    first_seed: options.FirstSeed = None,
    micro_batch: options.MicroBatch = None,
    pruning: options.PruningOption = None,
    weight: options.Weights = [],  # noqa: B006 - typer makes a new list for every call
    floor: options.Floors = [],  # noqa: B006
    held_out: options.HeldOut = [],  # noqa: B006
    scalarisation: options.Scalarisation = None,
    max_evaluations: options.MaxEvaluations = None,
    max_pictures: options.MaxPictures = None,
    max_vlm_calls: options.MaxVlmCalls = None,
    max_seconds: options.MaxSeconds = None,
    target: options.Target = None,
    plot: options.Plot = False,
) -> None:
    """Put CHARACTER into SCENE, edited as --prompt says: search the noise for the best picture.

    Writes best.png, contact_sheet.png and result.json into --out, and search.png with --plot.
    """
    with _command(as_json, server=server, model_repository=model_repository) as (console, composition):
        from eacps.cli.channel import ClientTls
        from eacps.cli.request import SearchOptions, build_request, parse_numbers
        from eacps.cli.searching import Searching

        asked = SearchOptions(
            scene,
            character,
            prompt,
            mask=mask,
            negative_prompt=negative_prompt,
            scene_face=scene_face,
            character_face=character_face,
            sampler={
                "steps": steps,
                "true_cfg_scale": true_cfg_scale,
                "character_as_reference": character_as_reference,
            },
            search={
                "strategy": strategy,
                "trajectories": trajectories,
                "global_candidates": global_candidates,
                "parents": parents,
                "children_per_parent": children,
                "local_rounds": rounds,
                "local_move": local_move,
                "angle": angle,
                "angle_decay": angle_decay,
                "seed_radius": seed_radius,
                "random_seed": seed,
                "first_seed": first_seed,
                "micro_batch": micro_batch,
            },
            pruning=pruning,
            budget={
                "denoiser_evaluations": max_evaluations,
                "pictures": max_pictures,
                "vlm_calls": max_vlm_calls,
                "target_potential": target,
            },
            max_seconds=max_seconds,
            weights=parse_numbers(weight),
            floors=parse_numbers(floor),
            held_out=held_out,
            scalarisation=scalarisation,
        )
        composition = composition.with_options(server_tls=ClientTls.from_texts(tls_ca, tls_certificate, tls_key))
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
def _command(as_json: bool, **given: Any) -> Iterator[tuple[Console, "Composition"]]:
    """What every command runs in: its failures reported, its settings read, the options ``given`` winning over them."""
    console = Console(stderr=True)
    with reported(console, as_json=as_json):
        from eacps.cli.composition import Composition

        yield console, Composition.from_environment().with_options(**given)


def main() -> None:
    """Run the command that was asked for."""
    app()
