"""The options of the commands, with their help texts; those of a search request are in `search_options`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from eacps.cli.declare import number, option
from eacps.cli.parsing import checked, checked_list, one_of, parse_labels, seconds, shown, some_of, text, texts
from eacps.enums import SEARCH_STATE
from eacps.search.defaults import MAX_CANDIDATES
from eacps.settings.addresses import address_of, target_of, targets_of

CONNECTION_PANEL = "Connection"


def _input(metavar: str, help_text: str) -> Any:
    """Declare a file that is read."""
    return typer.Argument(metavar=metavar, exists=True, dir_okay=False, help=help_text)


SceneFile = Annotated[Path, _input("SCENE", "Picture to edit.")]
CharacterFile = Annotated[Path, _input("CHARACTER", "Picture of the person to put into it.")]
PictureFiles = Annotated[list[Path], _input("PICTURES...", "Pictures to score.")]
FacesOf = Annotated[Path, _input("PICTURE", "Picture to look for faces in.")]
SearchId = Annotated[str, typer.Argument(metavar="SEARCH", callback=text, help="Id of the search, or its beginning.")]
CandidateId = Annotated[
    str, typer.Argument(metavar="CANDIDATE", callback=text, help="Id of the candidate within the search.")
]
SearchOrFile = Annotated[
    str,
    typer.Argument(
        metavar="SEARCH|PICTURE", callback=text, help="Id of the search, or a picture that says how it was made."
    ),
]
CandidateOrFile = Annotated[
    str | None,
    typer.Argument(
        metavar="CANDIDATE", callback=text, help="Id of the candidate within the search; left out of PICTURE."
    ),
]
RenderedTo = Annotated[
    Path | None, typer.Argument(metavar="FILE", dir_okay=False, help="File to write the picture to.")
]
Inspected = Annotated[Path, _input("PICTURE", "Picture to read.")]
Picked = Annotated[
    str | None,
    typer.Argument(
        metavar="CANDIDATE", callback=text, help="Id of the candidate, or the word best; with --all, FOLDER."
    ),
]
PickedTo = Annotated[Path | None, typer.Argument(metavar="FILE", dir_okay=False, help="File to write the picture to.")]
All = Annotated[bool, typer.Option("--all", help="Write the pictures of all candidates into FOLDER.")]
MostCandidates = Annotated[int, option("Most candidates to print.", "--most", min=1, max=100_000)]
Reviewed = Annotated[
    str,
    typer.Argument(
        metavar="SEARCH|FOLDER",
        callback=text,
        help="Id of a search or its beginning, or folder of a batch or a result, which names them.",
    ),
]
ReviewTo = Annotated[Path, option("File for the page.", metavar="FILE", dir_okay=False)]
ArtifactHash = Annotated[
    str,
    typer.Argument(metavar="HASH", callback=text, help='SHA-256 of the picture, "artifact" in events and result.json.'),
]
PictureFile = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="File to write the picture to.")]
Drawing = Annotated[
    Path | None,
    option(
        "File for the picture with its faces marked.",
        metavar="FILE",
        dir_okay=False,
        default="PICTURE_faces.png in the current folder",
    ),
]
ShotsSource = Annotated[
    Path,
    typer.Argument(metavar="SHOTS", exists=True, help="List of shots (.csv, .jsonl, .parquet), or folder of scenes."),
]
BatchOut = Annotated[
    Path, option("Folder for the pictures, results.parquet and batch.jsonl.", metavar="FOLDER", file_okay=False)
]
BatchName = Annotated[str, option("File of each picture, of {shot}, {candidate} and {search}.", metavar="NAME.png")]
Top = Annotated[int, option("Candidates of each shot to write, best first.", "--top", min=1, max=MAX_CANDIDATES)]
Pattern = Annotated[str, option("Where a folder has its scenes; {shot} names the shot.", metavar="PATH")]
Columns = Annotated[
    list[str],
    option(
        "Value of a column where a row has none, {shot} being its name, @PATH the text of a file; repeatable.",
        "--set",
        metavar="COLUMN=VALUE",
        callback=checked_list(parse_labels),
    ),
]
OnInterrupt = Annotated[
    str,
    option(
        "What Ctrl-C does to searches that are not over.",
        metavar="leave|cancel",
        callback=one_of(("leave", "cancel")),
    ),
]
Overwrite = Annotated[bool, option("Replace files that exist already.", "--overwrite")]
Tenant = Annotated[
    str, typer.Argument(metavar="TENANT", callback=text, help="Name of the tenant: letters, digits, - and _.")
]

AsJson = Annotated[bool, option("Print JSON on standard output, and everything else on standard error.", "--json")]
Verbose = Annotated[bool, option("Log what the search server does.", "--verbose", "-v")]
Live = Annotated[bool, typer.Option("--live", help="Ask only whether the process answers, whatever Triton does.")]
LogJson = Annotated[bool, option("Log lines of JSON, each with the id of its search.", "--log-json")]
ModelRepository = Annotated[
    Path | None,
    option(
        "Model repository of the embedded Triton.",
        metavar="FOLDER",
        default="$EACPS_MODEL_REPOSITORY, else .build/model_repository",
    ),
]
Listen = Annotated[
    str | None,
    option(
        "Address to listen on.",
        metavar="HOST:PORT",
        callback=checked(address_of),
        default="$EACPS_ADDRESS, else 127.0.0.1:50051",
    ),
]
HttpListen = Annotated[
    str | None,
    option(
        "Address to listen on.",
        "--listen",
        metavar="HOST:PORT",
        callback=checked(address_of),
        default="$EACPS_HTTP_ADDRESS, else 127.0.0.1:8080",
    ),
]
McpListen = Annotated[
    str | None,
    option(
        "Address to listen on.",
        "--listen",
        metavar="HOST:PORT",
        callback=checked(address_of),
        default="standard input and output",
    ),
]
McpPictures = Annotated[
    Path | None,
    option("Folder in which tools may read and write pictures.", metavar="FOLDER", file_okay=False, default="none"),
]
LogFile = Annotated[Path, option("File for Triton's output.", metavar="FILE", dir_okay=False)]
Triton = Annotated[
    str | None,
    option(
        "Address of Triton's gRPC endpoint.",
        metavar="HOST:PORT",
        callback=checked(targets_of),
        default="$EACPS_TRITON, else 127.0.0.1:8001",
    ),
]
Metrics = Annotated[
    str | None,
    option(
        "Address to serve Prometheus metrics on.",
        metavar="HOST:PORT",
        callback=checked(address_of),
        default="$EACPS_METRICS, else none",
    ),
]
ApiKeys = Annotated[
    Path | None,
    option(
        "File of the API keys that may call, as `eacps key` writes it.",
        metavar="FILE",
        dir_okay=False,
        default="$EACPS_API_KEYS, else none",
    ),
]
KeysFile = Annotated[Path, option("File to add the key's digest to.", "--api-keys", metavar="FILE", dir_okay=False)]
Insecure = Annotated[
    bool, option("Let anyone on this machine call, without API keys or client certificates.", "--insecure")
]
Data = Annotated[
    Path | None,
    option("Folder to keep searches in.", metavar="FOLDER", file_okay=False, default="$EACPS_DATA, else eacps-data"),
]
Out = Annotated[Path, option("Folder for the result. It is made if need be.", metavar="FOLDER", file_okay=False)]
Timeout = Annotated[
    float | None, option("Cancel the search after so many seconds.", metavar="SECONDS", callback=seconds)
]
SampleName = Annotated[str, option("Name of the bundled task.", metavar="NAME", callback=text)]
SamplesFolder = Annotated[Path, option("Folder of the bundled tasks.", metavar="FOLDER")]
StudioListen = Annotated[
    str,
    option(
        "Address to listen on. With EACPS_HTTP_TLS_CERTIFICATE it serves HTTPS, else plain HTTP.",
        metavar="HOST:PORT",
        callback=checked(address_of),
    ),
]
StudioHosts = Annotated[
    list[str],
    option(
        "Further name by which browsers may call the studio, or * for any; repeatable.",
        "--host",
        metavar="NAME",
        callback=texts,
    ),
]
NoBrowser = Annotated[bool, option("Open no browser.", "--no-browser")]
LayersToo = Annotated[
    bool, option("Write plate, patch and matte of the result as separate files, too, for a compositor.", "--layers")
]
Plot = Annotated[bool, option("Also draw the progress of the search as search.png.", "--plot")]

Server = Annotated[
    str | None,
    option(
        "Address of a running search server.",
        metavar="HOST:PORT",
        callback=checked(target_of),
        default="$EACPS_SERVER, else one is embedded",
        panel=CONNECTION_PANEL,
    ),
]
ServerOfSearches = Annotated[
    str | None,
    option(
        "Address of the search server.",
        "--server",
        metavar="HOST:PORT",
        callback=checked(target_of),
        default="$EACPS_SERVER, else 127.0.0.1:50051",
        panel=CONNECTION_PANEL,
    ),
]
TlsCa = Annotated[
    str | None,
    option(
        "Use TLS, and trust these root certificates (a PEM file, or the system's).",
        metavar="FILE|system",
        default="$EACPS_SERVER_TLS_CA, else no TLS",
        panel=CONNECTION_PANEL,
    ),
]
TlsCertificate = Annotated[
    str | None,
    option(
        "Client certificate for mutual TLS.",
        metavar="FILE",
        default="$EACPS_SERVER_TLS_CERTIFICATE, else none",
        panel=CONNECTION_PANEL,
    ),
]
TlsKey = Annotated[
    str | None,
    option(
        "Private key of the client certificate.",
        metavar="FILE",
        default="$EACPS_SERVER_TLS_KEY, else none",
        panel=CONNECTION_PANEL,
    ),
]

RequestId = Annotated[
    str | None,
    option(
        "Name of the request. Sent again with the same name, it is the same search.",
        metavar="NAME",
        callback=text,
        default="every request is a new search",
    ),
]
Labels = Annotated[
    list[str],
    option(
        "Label to find searches by; repeatable.", "--label", metavar="KEY=VALUE", callback=checked_list(parse_labels)
    ),
]
Priority = Annotated[
    int | None,
    number(
        "priority",
        "Order among waiting searches; lower goes first.",
    ),
]
States = Annotated[
    list[str],
    option(
        "List searches in this state only; repeatable.",
        "--state",
        metavar="|".join(shown(SEARCH_STATE)),
        callback=some_of(shown(SEARCH_STATE)),
    ),
]
Most = Annotated[int, option("Most searches to list.", "--most", min=1, max=100_000)]
