"""Which suffix the name of a picture's file should have: results are in the format of their scene."""

import re
from pathlib import Path

import grpc

from eacps.client.errors import CallFailed

_SUFFIXES = {
    b"\x89PNG": (".png",),
    b"II*\0": (".tif", ".tiff"),
    b"MM\0*": (".tif", ".tiff"),
    b"II+\0": (".tif", ".tiff"),
    b"MM\0+": (".tif", ".tiff"),
    b"v/1\x01": (".exr",),
}

_OF_PICTURES = (".png", ".tif", ".tiff", ".exr", ".jpg", ".jpeg", ".webp", ".avif")
LAYERS = ("plate", "patch", "matte")
"""Files that a result is put together from."""
SUFFIXES = (".png", ".tif", ".exr")


def id_in_name(server_id: str) -> str:
    """Return an id that a server gave, for the name of a file.

    Raises:
        CallFailed: It holds what could lead out of the folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", server_id):
        raise CallFailed(grpc.StatusCode.DATA_LOSS, f"the server names a candidate or search {server_id!r}")
    return server_id


def suffix_of(data: bytes) -> str:
    """Return the suffix for the bytes of a delivered picture, such as ``.png``.

    Raises:
        ValueError: They are in no format in which pictures are delivered.
    """
    return _suffixes_of(data)[0]


def names_picture(path: Path) -> bool:
    """Return whether a path has a suffix in which pictures are delivered."""
    return path.suffix.lower() in (*SUFFIXES, ".tiff")


def fitting(path: Path, data: bytes) -> Path:
    """Return a path whose suffix, if it names a format of pictures, is that of a delivered picture."""
    suffixes = _suffixes_of(data)
    named = path.suffix.lower()
    return path.with_suffix(suffixes[0]) if named in _OF_PICTURES and named not in suffixes else path


def _suffixes_of(data: bytes) -> tuple[str, ...]:
    if data[:4] not in _SUFFIXES:
        raise ValueError("neither PNG nor TIFF nor OpenEXR")
    return _SUFFIXES[data[:4]]
