"""Checks the pictures of a request: first their headers, then, if the rest of the request is valid, their pixels.

The check of a request reads its pictures through a `PictureReader`, and runs up to three times: with placeholders, to
find which pictures it reads and what else is invalid; after the headers were read; and after the pictures were decoded,
one at a time. A request that is only stored never holds pixels.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Protocol, TypeVar

from eacps.api.decoding import Decoding
from eacps.api.violations import UnusableName
from eacps.arrays import Mask, Picture
from eacps.durable import ObjectStore
from eacps.errors import ArtifactNotFound, FieldViolation, InvalidPicture, InvalidRequest, TooManyCalls
from eacps.imaging import Decoded, Decoder, Header, Limits, blank
from eacps.v1 import search_service_pb2 as pb

T = TypeVar("T")
Found = Decoded | InvalidPicture
MOST_BYTES = 512 * 2**20
"""Most bytes of all uploaded pictures that a request names: a search holds them together when it begins."""
_HEADER_BYTES = 256 * 1024
_PLACEHOLDER = (64, 64, 3)
_MASK, SCENE = "mask", "scene"
_NO_FILES: Mapping[str, bytes] = MappingProxyType({})


class PictureReader(Protocol):
    """Returns the pictures of a request to its check.

    Attributes:
        notes: By path of a picture that was read, what differs from its file; grows.
    """

    notes: dict[str, tuple[str, ...]]

    def picture(self, path: str, image: pb.Image) -> Picture:
        """Return a picture.

        Args:
            path: Path of its field in the request.
            image: The field.

        Raises:
            InvalidPicture: Its bytes cannot be used; `UnusableName`: its name cannot.
        """
        ...

    def mask(self, path: str, image: pb.Image) -> Mask:
        """Return a mask; as `picture`."""
        ...

    def file(self, path: str, image: pb.Image) -> bytes:
        """Return the file of a picture that was read; empty if no pixels are held."""
        ...


def limits_of(image: pb.Image, inline: Limits, uploaded: Limits) -> Limits:
    """Return the limits of a picture: uploaded ones have their own."""
    return uploaded if image.artifact else inline


def decoder_of(decoding: Decoding, path: str) -> Callable[..., Awaitable[Decoded]]:
    """Return what decodes the picture of a field."""
    return decoding.mask if path == _MASK else decoding.picture


class DirectReader:
    """A `PictureReader` that decodes a picture when it is read.

    Args:
        decoder: Decodes one picture.
        inline, uploaded: Limits of pictures within a request, and of those that were uploaded.
    """

    def __init__(self, decoder: Decoder, inline: Limits, uploaded: Limits) -> None:
        self._decoder, self._inline, self._uploaded = decoder, inline, uploaded
        self.notes: dict[str, tuple[str, ...]] = {}

    def picture(self, path: str, image: pb.Image) -> Picture:
        """See `PictureReader.picture`."""
        return self._noted(path, self._decoder.picture(image.data, limits_of(image, self._inline, self._uploaded)))

    def mask(self, path: str, image: pb.Image) -> Mask:
        """See `PictureReader.mask`."""
        return self._noted(path, self._decoder.mask(image.data, limits_of(image, self._inline, self._uploaded)))

    def file(self, _: str, image: pb.Image) -> bytes:
        """See `PictureReader.file`."""
        return image.data

    def _noted(self, path: str, decoded: Decoded) -> Picture | Mask:
        self.notes[path] = decoded.notes
        return decoded.pixels


class _RecordingReader:
    """A `PictureReader` of placeholders, which records the pictures that are read."""

    def __init__(self) -> None:
        self.read: dict[str, pb.Image] = {}
        self.notes: dict[str, tuple[str, ...]] = {}

    def picture(self, path: str, image: pb.Image) -> Picture:
        self.read[path] = image
        return blank(_PLACEHOLDER)

    def mask(self, path: str, image: pb.Image) -> Mask:
        self.read[path] = image
        return blank(_PLACEHOLDER[:2], value=255)

    def file(self, _: str, __: pb.Image) -> bytes:
        return b""


class KnownPictures:
    """A `PictureReader` of pictures that were decoded before, or of their errors; of placeholders for the others.

    Args:
        found: Decoded pictures and errors, by path of the field.
        files: Files of pictures, by path of the field.
    """

    def __init__(self, found: Mapping[str, Found], files: Mapping[str, bytes] = _NO_FILES) -> None:
        self._found, self._files = found, files
        self.notes: dict[str, tuple[str, ...]] = {}

    def picture(self, path: str, _: pb.Image) -> Picture:
        """See `PictureReader.picture`."""
        return self._read(path, blank(_PLACEHOLDER))

    def mask(self, path: str, _: pb.Image) -> Mask:
        """See `PictureReader.mask`."""
        return self._read(path, blank(_PLACEHOLDER[:2], value=255))

    def file(self, path: str, _: pb.Image) -> bytes:
        """See `PictureReader.file`."""
        return self._files.get(path, b"")

    def _read(self, path: str, placeholder: Picture | Mask) -> Picture | Mask:
        found = self._found.get(path)
        if isinstance(found, InvalidPicture):
            raise found
        if found is None:
            return placeholder
        self.notes[path] = found.notes
        return found.pixels


class RequestPictures:
    """Reads the pictures of requests.

    Args:
        objects: Holds the uploaded pictures.
        decoding: Decodes pictures.
        inline, uploaded: Limits of pictures within a request, and of those that were uploaded.
    """

    def __init__(self, objects: ObjectStore, decoding: Decoding, inline: Limits, uploaded: Limits) -> None:
        self._objects, self._decoding, self._inline, self._uploaded = objects, decoding, inline, uploaded

    async def checked(self, check: Callable[[PictureReader], T], tenant: str) -> T:
        """Check a request, decoding its pictures without holding their pixels.

        Args:
            check: Reads pictures and returns what the request asks for.
            tenant: Tenant of the caller, who cannot use pictures of others.

        Raises:
            InvalidRequest: Names every invalid field.
            TooManyCalls: Too many pictures wait to be decoded.
        """
        images, headers = await self._preliminary(check, tenant)
        self._decoding.memory.check(self._decoding.bytes_of(headers))  # else it could never begin
        return check(KnownPictures(await self._read(images, tenant, {}, pixels=False)))

    @asynccontextmanager
    async def decoded(self, check: Callable[[PictureReader], T], tenant: str) -> AsyncIterator[T]:
        """Check a request, and reserve memory for its decoded pictures until the block ends; otherwise as `checked`."""
        images, headers = await self._preliminary(check, tenant)
        with self._decoding.memory_for(headers, tenant):
            files: dict[str, bytes] = {}
            yield check(KnownPictures(await self._read(images, tenant, files, pixels=True), files))

    @asynccontextmanager
    async def memory_of(self, artifact: str, tenant: str) -> AsyncIterator[None]:
        """Reserve memory for a stored picture of the tenant until the block ends.

        Raises:
            ArtifactNotFound: It is not stored any more.
            TooManyCalls: There is not enough memory, or too many pictures wait to be decoded.
        """
        header = await self._stored_header(artifact, tenant)
        with self._decoding.memory_for([header], tenant):
            yield

    async def _preliminary(
        self, check: Callable[[PictureReader], T], tenant: str
    ) -> tuple[Mapping[str, pb.Image], Sequence[Header]]:
        """Check all that needs no pixels. Return the pictures that the check reads, and their headers."""
        recording, known = _RecordingReader(), list[FieldViolation]()
        try:
            check(recording)
        except InvalidRequest as exc:
            known += exc.violations
        found: dict[str, Found] = {}
        try:
            headers = await self._headers(recording.read, tenant, found)
        except TooManyCalls as exc:
            if known:  # other violations can be reported without a decoder
                raise InvalidRequest(known) from exc
            raise
        check(KnownPictures(found))
        return recording.read, headers

    async def _headers(self, images: Mapping[str, pb.Image], tenant: str, found: dict[str, Found]) -> list[Header]:
        """Read the headers of all pictures; add their errors to ``found``."""
        headers, left = list[Header](), MOST_BYTES
        for path, image in images.items():
            try:
                if image.artifact:
                    left -= await self._objects.size_for_tenant(tenant, image.artifact)
                    if left < 0:
                        raise UnusableName(f"is beyond {MOST_BYTES} bytes of pictures by name")
                    headers.append(await self._stored_header(image.artifact, tenant))
                else:
                    async with self._decoding.slot(tenant):
                        headers.append(await self._decoding.header(image.data, self._inline))
            except ArtifactNotFound as exc:
                found[path] = UnusableName(str(exc))
            except InvalidPicture as exc:
                found[path] = exc
        return headers

    async def _stored_header(self, artifact: str, tenant: str) -> Header:
        """Read the header of a stored picture, from the beginning of its file if that is enough."""
        async with self._decoding.slot(tenant):
            try:
                beginning = await self._objects.get_range(artifact, 0, _HEADER_BYTES)
                return await self._decoding.header(beginning, self._uploaded)
            except InvalidPicture:
                return await self._decoding.header(await self._objects.get(artifact), self._uploaded)

    async def _read(
        self, images: Mapping[str, pb.Image], tenant: str, files: dict[str, bytes], *, pixels: bool
    ) -> dict[str, Found]:
        """Decode pictures; add the scene's file to ``files`` if pixels are wanted."""
        found: dict[str, Found] = {}
        for path, image in images.items():
            limits = limits_of(image, self._inline, self._uploaded)
            async with self._decoding.slot(tenant):
                data = await self._objects.get(image.artifact) if image.artifact else image.data
                if pixels and path == SCENE:
                    files[path] = data
                decode = decoder_of(self._decoding, path)
                try:
                    found[path] = await decode(data, limits, pixels=pixels)
                except InvalidPicture as exc:
                    found[path] = exc
        return found
