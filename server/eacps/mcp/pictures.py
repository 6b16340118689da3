"""Pictures that a tool is given, and that it returns."""

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path

from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ImageContent

from eacps.imaging import TRUSTED, decode_picture, encode_thumbnail, shrink_to
from eacps.v1 import search_service_pb2 as pb

MAX_PICTURE_BYTES = 256 * 2**20
_DATA = re.compile(r"data:image/[\w.+-]+;base64,")
_ARTIFACT = re.compile(r"artifact:([0-9a-f]{64})")
_MAX_SHOWN_BYTES = 512 * 1024
_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"v/1\x01": "image/x-exr",
}


@dataclass(frozen=True)
class PictureFolder:
    """The one folder of this machine in which tools may read and write pictures."""

    path: Path

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            ToolError: It is not in the folder, is too large or cannot be read.
        """
        file = self._within(name)
        try:
            if file.stat().st_size > MAX_PICTURE_BYTES:
                raise ToolError(f"{name} is larger than {MAX_PICTURE_BYTES} bytes")
            return file.read_bytes()
        except OSError as exc:
            raise ToolError(f"cannot read {name}: {exc.strerror}") from exc

    def write(self, name: str, data: bytes) -> Path:
        """Write a new file, and return its path.

        Raises:
            ToolError: It would not be in the folder, is there already or cannot be written.
        """
        file = self._within(name)
        try:
            with file.open("xb") as stream:
                stream.write(data)
        except OSError as exc:
            raise ToolError(f"cannot write {name}: {exc.strerror}") from exc
        return file

    def _within(self, name: str) -> Path:
        root = self.path.resolve()
        try:
            file = (root / name).resolve()
        except (OSError, ValueError) as exc:
            raise ToolError("the name of the file is not valid") from exc
        if root not in file.parents:
            raise ToolError(f"{name} is not in the folder of pictures")
        return file


def image_of(text: str, folder: PictureFolder | None) -> pb.Image:
    """Return a picture as an assistant gives it.

    Args:
        text: ``data:image/png;base64,...``, ``artifact:HASH``, or the name of a file.
        folder: Where files are; None for no files.

    Raises:
        ToolError: It is none of these.
    """
    if match := _ARTIFACT.fullmatch(text):
        return pb.Image(artifact=match[1])
    if match := _DATA.match(text):
        try:
            return pb.Image(data=base64.b64decode(text[match.end() :], validate=True))
        except binascii.Error as exc:
            raise ToolError("a picture is not valid base64") from exc
    if folder is None:
        raise ToolError("a picture must be data:image/...;base64,... or artifact:HASH; files cannot be read here")
    return pb.Image(data=folder.read(text))


def preview_of(delivered: bytes, max_side: int) -> ImageContent:
    """Return a picture small enough to look at: a JPEG of at most 512 KiB."""
    small = shrink_to(decode_picture(delivered, TRUSTED), max_side=max_side)
    data = encode_thumbnail(small, max_side=max_side, max_bytes=_MAX_SHOWN_BYTES)
    return ImageContent(type="image", data=base64.b64encode(data).decode("ascii"), mime_type="image/jpeg")


def media_type(delivered: bytes) -> str:
    """Return the media type of a delivered file."""
    return next((name for magic, name in _TYPES.items() if delivered.startswith(magic)), "application/octet-stream")
