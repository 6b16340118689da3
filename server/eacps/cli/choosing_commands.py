"""The commands of ``eacps`` about shots, faces and candidates. Each gathers its options and hands over."""

from pathlib import Path

import typer

from eacps.cli import options
from eacps.cli import search_options as search
from eacps.cli.command import command
from eacps.cli.connection import SERVER_CONNECTION, Connection
from eacps.cli.examples import example_of
from eacps.cli.groups import grouped

CHOOSING = "Choosing faces and candidates"
choosing = typer.Typer()


@choosing.command(rich_help_panel=CHOOSING, epilog=example_of("faces"))
@grouped
def faces(
    picture: options.FacesOf,
    out: options.Drawing = None,
    overwrite: options.Overwrite = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Print the faces of a picture by number and box, as --scene-face takes them, and draw them into a copy of it."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.faces import show_faces
        from eacps.cli.server_caller import ServerCaller

        show_faces(ServerCaller(composition, console, as_json), picture, out, overwrite=overwrite)


@choosing.command(rich_help_panel=CHOOSING, epilog=example_of("batch"))
@grouped
def batch(
    shots: options.ShotsSource,
    out: options.BatchOut = Path("out/batch"),
    name: options.BatchName = "{shot}_{candidate}.png",
    pattern: options.Pattern = "{shot}/scene.png",
    column: options.Columns = [],  # noqa: B006 - typer makes a new list for every call
    top: options.Top = 1,
    overwrite: options.Overwrite = False,
    on_interrupt: options.OnInterrupt = "leave",
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Search for every shot of a list, and write the best picture of each; run again, only what is missing is done.

    Columns are the arguments and options of `eacps search`, and shot, priority and label.KEY. All rows are checked
    before anything runs.
    """
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.batch import BatchOptions, run_batch
        from eacps.cli.parsing import parse_labels
        from eacps.cli.server_caller import ServerCaller
        from eacps.cli.shot_list import ShotList

        console.print(f"reading shots from {shots}", markup=False, highlight=False, soft_wrap=True)
        listed = ShotList(shots, pattern, parse_labels(column)).shots()
        how = BatchOptions(out, name, top, overwrite, on_interrupt == "cancel")
        run_batch(ServerCaller(composition, console, as_json), listed, how)


@choosing.command("pick", rich_help_panel=CHOOSING, epilog=example_of("pick"))
@grouped
def pick_candidate(
    search_id: options.SearchId,
    candidate: options.Picked = None,
    out: options.PickedTo = None,
    everything: options.All = False,
    layers: options.LayersToo = False,
    overwrite: options.Overwrite = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Write another candidate of a search than the best: its kept picture in the whole scene, without asking a model.

    `eacps pick SEARCH CANDIDATE FILE`, or `eacps pick SEARCH --all FOLDER`. Searches that run, failed or were cancelled
    hand out what they have found.
    """
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.candidates import pick, pick_all
        from eacps.cli.server_caller import ServerCaller

        caller = ServerCaller(composition, console, as_json)
        if everything:
            if candidate is None or out is not None or layers:
                raise typer.BadParameter("--all takes SEARCH and FOLDER, and no --layers", param_hint="--all")
            pick_all(caller, search_id, Path(candidate), overwrite=overwrite)
        elif candidate is None or out is None:
            raise typer.BadParameter("SEARCH, CANDIDATE and FILE are needed, or --all", param_hint="FILE")
        else:
            pick(caller, search_id, candidate, out, overwrite=overwrite, layers=layers)


@choosing.command(rich_help_panel=CHOOSING, epilog=example_of("rank"))
@grouped
def rank(
    search_id: options.SearchId,
    weight: search.WeightsOption = [],  # noqa: B006
    floor: search.Floors = [],  # noqa: B006
    scalarization: search.ScalarizationOption = None,
    most: options.MostCandidates = 20,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Rank the candidates of a search by other weights, over the scores that are kept. Nothing is made or scored."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.candidates import Weighing, show_ranking
        from eacps.cli.parsing import parse_numbers
        from eacps.cli.server_caller import ServerCaller

        weighing = Weighing(parse_numbers(weight), parse_numbers(floor), scalarization)
        show_ranking(ServerCaller(composition, console, as_json), search_id, weighing, most)


@choosing.command(rich_help_panel=CHOOSING, epilog=example_of("review"))
@grouped
def review(
    what: options.Reviewed,
    out: options.ReviewTo = Path("review.html"),
    overwrite: options.Overwrite = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Write one HTML file to look at all candidates of a search or a batch, reweight them, compare and pick.

    The file holds its pictures and needs no network. They are read from the server that keeps the searches; a search
    that ran without --server is kept by none.
    """
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.review import write_review
        from eacps.cli.server_caller import ServerCaller

        write_review(ServerCaller(composition, console, as_json), what, out, overwrite=overwrite)
