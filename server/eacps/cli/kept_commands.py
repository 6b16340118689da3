"""The commands of ``eacps`` over searches that a server keeps. Each gathers its options and hands over."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from eacps.cli import options
from eacps.cli.asking import asks_for_a_search
from eacps.cli.command import command

if TYPE_CHECKING:
    from eacps.cli.request import SearchOptions

KEPT = "Searches that a server keeps"
kept = typer.Typer()


@kept.command(rich_help_panel=KEPT)
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
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept
        from eacps.cli.request import build_request, parse_labels

        request = build_request(asked)
        request.request_id, request.priority = request_id or "", priority or request.priority
        if priority is None:
            request.ClearField("priority")
        request.labels.update(parse_labels(label))
        Kept(composition, console, as_json).submit(request)


@kept.command(rich_help_panel=KEPT)
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
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).watch(search_id, out)


@kept.command("list", rich_help_panel=KEPT)
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
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept
        from eacps.cli.request import parse_labels

        Kept(composition, console, as_json).list([one.value for one in state], parse_labels(label), most)


@kept.command(rich_help_panel=KEPT)
def cancel(
    search_id: options.SearchId,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Cancel a search; what it found stays."""
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).cancel(search_id)


@kept.command(rich_help_panel=KEPT)
def delete(
    search_id: options.SearchId,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
) -> None:
    """Delete a search and its pictures."""
    with command(False, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console).delete(search_id)


@kept.command(rich_help_panel=KEPT)
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
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).download(artifact, out)


@kept.command(rich_help_panel=KEPT)
def render(
    search_id: options.SearchId,
    candidate: options.CandidateId,
    out: options.PictureFile,
    steps: options.Steps = None,
    framing: options.FramingOption = None,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a candidate of a search again from its recipe, perhaps with other --steps, and write its picture.

    Without --framing, the search's counts.
    """
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept

        Kept(composition, console, as_json).render(search_id, candidate, out, steps, framing)


@kept.command(rich_help_panel=KEPT)
def score(
    scene: options.Scene,
    character: options.Character,
    pictures: options.Pictures,
    prompt: options.Prompt,
    scene_face: options.SceneFace = None,
    character_face: options.CharacterFace = None,
    more_character: options.MoreCharacters = [],  # noqa: B006
    weight: options.Weights = [],  # noqa: B006
    ask: options.Questions = [],  # noqa: B006
    framing: options.FramingOption = None,
    server: options.KeptServer = None,
    tls_ca: options.TlsCa = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Score PICTURES as a search would score its candidates."""
    with command(as_json, (tls_ca, tls_certificate, tls_key), server=server) as (console, composition):
        from eacps.cli.kept import Kept
        from eacps.cli.people import PeopleOptions
        from eacps.cli.request import parse_numbers, parse_questions, score_request

        weights, questions = parse_numbers(weight), parse_questions(ask)
        people = PeopleOptions(scene_face, character_face, more_character)
        request = score_request(
            scene,
            character,
            pictures,
            prompt,
            weights=weights,
            questions=questions,
            people=people,
            framing=framing,
        )
        Kept(composition, console, as_json).score(request, [picture.name for picture in pictures])
