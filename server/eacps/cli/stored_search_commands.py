"""The commands of ``eacps`` over searches that a server keeps. Each gathers its options and hands over."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from eacps.cli import options
from eacps.cli import search_options as search
from eacps.cli.command import command
from eacps.cli.connection import SERVER_CONNECTION, Connection
from eacps.cli.examples import example_of
from eacps.cli.groups import grouped
from eacps.cli.request_options import REQUEST_OPTIONS

if TYPE_CHECKING:
    from eacps.cli.request import SearchOptions

STORED_SEARCHES = "Searches that a server keeps"
stored_searches = typer.Typer()


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("submit"))
@grouped
def submit(
    requested: "SearchOptions" = REQUEST_OPTIONS,
    request_id: options.RequestId = None,
    label: options.Labels = [],  # noqa: B006 - typer makes a new list for every call
    priority: options.Priority = None,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Submit a search to a server and print its id. The server keeps it and runs it by itself."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.parsing import parse_labels
        from eacps.cli.request import build_request
        from eacps.cli.stored_searches import StoredSearches

        request = build_request(requested)
        if request_id is not None:
            request.request_id = request_id
        if priority is not None:
            request.priority = priority
        request.labels.update(parse_labels(label))
        StoredSearches(composition, console, as_json).submit(request)


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("watch"))
@grouped
def watch(
    search_id: options.SearchId,
    out: options.Out = Path("out/search"),
    overwrite: options.Overwrite = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Follow a search from its beginning to its end, and write its result. Leaving does not end the search."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.stored_searches import StoredSearches

        StoredSearches(composition, console, as_json).watch(search_id, out, overwrite=overwrite)


@stored_searches.command("list", rich_help_panel=STORED_SEARCHES, epilog=example_of("list"))
@grouped
def list_searches(
    state: options.States = [],  # noqa: B006
    label: options.Labels = [],  # noqa: B006
    most: options.Most = 50,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """List your searches, newest first."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.parsing import parse_labels
        from eacps.cli.stored_searches import StoredSearches

        StoredSearches(composition, console, as_json).list(state, parse_labels(label), most)


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("cancel"))
@grouped
def cancel(search_id: options.SearchId, via: Connection = SERVER_CONNECTION, as_json: options.AsJson = False) -> None:
    """Cancel a search. What it found so far is kept."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.stored_searches import StoredSearches

        StoredSearches(composition, console, as_json).cancel(search_id)


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("delete"))
@grouped
def delete(search_id: options.SearchId, via: Connection = SERVER_CONNECTION, as_json: options.AsJson = False) -> None:
    """Delete a search and its pictures."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.stored_searches import StoredSearches

        StoredSearches(composition, console, as_json).delete(search_id)


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("download"))
@grouped
def download(
    artifact: options.ArtifactHash,
    out: options.PictureFile,
    overwrite: options.Overwrite = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Write a picture of one of your searches to a file."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.stored_searches import StoredSearches

        StoredSearches(composition, console, as_json).download(artifact, out, overwrite=overwrite)


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("render"))
@grouped
def render(
    search_id: options.SearchOrFile,
    candidate: options.CandidateOrFile = None,
    out: options.RenderedTo = None,
    steps: search.Steps = None,
    framing: search.FramingOption = None,
    overwrite: options.Overwrite = False,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Make a candidate's picture again from its recipe, with the search's settings unless options change them.

    `eacps render SEARCH CANDIDATE FILE`, or `eacps render PICTURE FILE` with a picture that says how it was made.
    """
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.inspecting import made_by
        from eacps.cli.stored_searches import StoredSearches

        if candidate is not None and out is None:
            out = Path(candidate)
            search_id, candidate = made_by(Path(search_id))
        if candidate is None or out is None:
            raise typer.BadParameter("SEARCH, CANDIDATE and FILE are needed, or PICTURE and FILE", param_hint="FILE")
        StoredSearches(composition, console, as_json).render(
            search_id, candidate, out, steps, framing, overwrite=overwrite
        )


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("inspect"))
@grouped
def inspect(picture: options.Inspected, as_json: options.AsJson = False) -> None:
    """Print what a picture says of how it was made: the record inside its file, and its content credentials."""
    with command(as_json=as_json):
        from eacps.cli.inspecting import inspect_picture
        from eacps.cli.streams import result_console

        inspect_picture(picture, result_console(), as_json=as_json)


@stored_searches.command(rich_help_panel=STORED_SEARCHES, epilog=example_of("score"))
@grouped
def score(
    scene: options.SceneFile,
    character: options.CharacterFile,
    pictures: options.PictureFiles,
    prompt: search.Prompt,
    scene_face: search.SceneFace = None,
    character_face: search.CharacterFace = None,
    more_character: search.MoreCharacters = [],  # noqa: B006
    weight: search.WeightsOption = [],  # noqa: B006
    ask: search.Questions = [],  # noqa: B006
    framing: search.FramingOption = None,
    via: Connection = SERVER_CONNECTION,
    as_json: options.AsJson = False,
) -> None:
    """Score pictures as a search would score its candidates."""
    with command(as_json=as_json, via=via) as (console, composition):
        from eacps.cli.face_options import FaceOptions
        from eacps.cli.parsing import parse_numbers, parse_questions
        from eacps.cli.request import score_request
        from eacps.cli.stored_searches import StoredSearches

        request = score_request(
            scene,
            character,
            pictures,
            prompt,
            weights=parse_numbers(weight),
            questions=parse_questions(ask),
            faces=FaceOptions(scene_face, character_face, more_character),
            framing=framing,
        )
        StoredSearches(composition, console, as_json).score(request, [picture.name for picture in pictures])
