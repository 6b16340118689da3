"""Reading and writing the files that a command line names."""

import errno
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.limits import MAX_UPLOAD_BYTES

MAX_FILE_BYTES = MAX_UPLOAD_BYTES
"""Of a picture, as for an upload. More is never read: a device file has no end."""
_LACKING = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_PROBE_BYTES = 4096
_MOST_NAMED = 3


def failure_of_file(action: str, path: Path, error: OSError) -> CommandFailed:
    """Return what an operating system's error with a file means for a command.

    Args:
        action: ``read`` or ``write``.
        path: Of the file.
        error: What happened.
    """
    lacking = error.errno in _LACKING
    exit_code = ExitCode.INSTALLATION if lacking else ExitCode.REQUEST
    code = "MACHINE_FULL" if lacking else {"read": "UNREADABLE_FILE", "write": "UNWRITABLE_FILE"}[action]
    return CommandFailed(f"cannot {action} {path}: {error.strerror or error}", exit_code, code=code)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write files within the block.

    Args:
        path: The file, or the folder of several.

    Raises:
        CommandFailed: They cannot be written.
    """
    try:
        yield
    except OSError as exc:
        raise failure_of_file("write", path, exc) from exc


def check_new(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Check that no file is replaced without the caller's word, before any work is done for it.

    Raises:
        CommandFailed: A file is there, and ``overwrite`` is not given.
    """
    there = [str(path) for path in paths if path.is_file() and not path.is_relative_to("/dev")]
    if there and not overwrite:
        names = ", ".join(there[:_MOST_NAMED]) + (f" and {rest} more" if (rest := len(there) - _MOST_NAMED) > 0 else "")
        verb = "exists" if len(there) == 1 else "exist"
        raise CommandFailed(f"{names} already {verb}; use --overwrite to replace", ExitCode.REQUEST, code="FILE_EXISTS")


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; its folder is made if need be.

    Raises:
        CommandFailed: It cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_stream(path):  # which has no second name
            path.write_bytes(data)
            return
        part = path.with_name(f".{secrets.token_hex(8)}.part")  # the file's own name may be as long as names can be
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def write_picture(path: Path, data: bytes, *, overwrite: bool) -> Path:
    """Write a delivered picture, and return its file: the suffix is corrected if it names another format.

    Raises:
        CommandFailed: It cannot be written, or a file of the corrected name is there.
    """
    from eacps.client.file_names import fitting  # of the client, which takes a while to import

    fit = path if is_stream(path) else fitting(path, data)
    if fit != path:
        check_new([fit], overwrite=overwrite)
    write_file(fit, data)
    return fit


def is_stream(path: Path) -> bool:
    """Whether writing goes through a name to something else: a link, a pipe, a device such as ``/dev/stdout``."""
    return path.is_symlink() or path.is_relative_to("/dev") or (path.exists() and not path.is_file())


def read_file(path: Path) -> bytes:
    """Read a file, or a pipe to its end.

    Raises:
        CommandFailed: It cannot be read, or is larger than `MAX_FILE_BYTES`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise failure_of_file("read", path, exc) from exc
    if len(data) > MAX_FILE_BYTES:
        message = f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB"
        raise CommandFailed(message, ExitCode.REQUEST, code="UNREADABLE_FILE")
    return data


def make_folder(folder: Path) -> None:
    """Make a folder, and check that files can be written there before any work is done for them.

    Raises:
        CommandFailed: They cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".eacps-probe"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
