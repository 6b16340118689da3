"""``eacps inspect``: what a picture's file says of how it was made."""

import io
import json
from pathlib import Path
from typing import Any

import c2pa
from rich.console import Console
from rich.table import Table

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import read_file
from eacps.cli.outcome import CommandFailed
from eacps.cli.streams import print_json
from eacps.provenance import read_record
from eacps.provenance.credentials import format_of

_UNREADABLE = "problem"
"""Name of what is said of credentials that cannot be read."""


def inspect_picture(path: Path, console: Console, *, as_json: bool) -> None:
    """Print the record inside a file and whether its content credentials hold.

    Raises:
        CommandFailed: It cannot be read, or holds no record.
    """
    data = read_file(path)
    record, credentials = record_in(path, data), _credentials(data)
    if record is None and credentials is not None and _UNREADABLE in credentials:
        raise CommandFailed(f"{path}: {credentials[_UNREADABLE]}", ExitCode.REQUEST, code="UNREADABLE_FILE")
    if record is None and credentials is None:
        message = f"{path} does not say how it was made"
        raise CommandFailed(message, ExitCode.REQUEST, code="NO_RECORD")
    if as_json:
        print_json({"record": record, "credentials": credentials})
        return
    table = Table(show_header=False)
    for name, value in {**(record or {}), **{f"credentials: {k}": v for k, v in (credentials or {}).items()}}.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    console.print(table, markup=False)


def made_by(path: Path) -> tuple[str, str]:
    """Return the search and the candidate that a picture's record names.

    Raises:
        CommandFailed: It names none.
    """
    record = record_in(path, read_file(path)) or {}
    search, candidate = record.get("search_id"), record.get("candidate_id")
    if not isinstance(search, str) or not isinstance(candidate, str) or not search or not candidate:
        message = f"{path} names no search and candidate that made it"
        raise CommandFailed(message, ExitCode.REQUEST, code="NO_RECORD")
    return search, candidate


def record_in(path: Path, data: bytes) -> dict[str, Any] | None:
    """Return the record inside a file, as a command needs it.

    Raises:
        CommandFailed: It cannot be read.
    """
    try:
        return read_record(data)
    except ValueError as exc:
        raise CommandFailed(f"{path}: {exc}", ExitCode.REQUEST, code="UNREADABLE_FILE") from exc


def _credentials(data: bytes) -> dict[str, Any] | None:
    kind = format_of(data)
    if kind is None:
        return None
    try:
        with c2pa.Reader(kind, io.BytesIO(data)) as reader:
            store = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as exc:
        return {_UNREADABLE: f"content credentials cannot be read: {exc}"}
    manifest = store["manifests"][store["active_manifest"]]
    return {
        "state": store.get("validation_state", "unknown"),
        "signed by": manifest.get("signature_info", {}).get("common_name") or manifest["signature_info"].get("issuer"),
        "problems": [one["code"] for one in store.get("validation_status", [])],
        "made from": [one.get("title") for one in manifest.get("ingredients", [])],
    }
