"""``eacps demo``: a search on bundled pictures of people that no part of studio-mini was trained on."""

from pathlib import Path

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import read_file
from eacps.cli.outcome import CommandFailed
from eacps.cli.request import SearchOptions, build_request
from eacps.v1 import search_service_pb2 as pb

SEED = 0
"""Seed of the search and of its first candidate: an ordinary number, not a chosen one."""


def demo_request(folder: Path, sample: str) -> pb.RunSearchRequest:
    """Return the request for the bundled task ``sample``, with fixed seeds and otherwise the server's settings.

    Args:
        folder: Holds a folder for each task with ``scene.png``, ``character.png`` and ``prompt.txt``.
        sample: Name of the task.

    Raises:
        CommandFailed: There is no such task, or it cannot be read.
    """
    sources = folder / sample
    if not (sources / "prompt.txt").is_file():
        known = sorted(path.parent.name for path in folder.glob("*/prompt.txt"))
        message = f"there is no sample {sample!r} in {folder}; there are: {', '.join(known)}"
        if not known:
            message = f"no samples in {folder}; run this in a clone of the repository, or use --samples FOLDER"
        raise CommandFailed(message, ExitCode.REQUEST, code="NO_SAMPLE")
    options = SearchOptions(
        scene=sources / "scene.png",
        character=sources / "character.png",
        prompt=_text_of(sources / "prompt.txt"),
        search={"seed": SEED, "first_seed": SEED},
    )
    return build_request(options)


def _text_of(path: Path) -> str:
    try:
        return read_file(path).decode().strip()
    except UnicodeDecodeError as exc:
        raise CommandFailed(f"{path} is not UTF-8", ExitCode.REQUEST, code="UNREADABLE_FILE") from exc
