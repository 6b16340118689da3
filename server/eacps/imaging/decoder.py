"""The decoder protocol, and the decoder within this process; `eacps.imaging.workers` uses worker processes."""

from concurrent.futures import Executor
from typing import Protocol

import numpy as np

from eacps.arrays import Mask, Picture
from eacps.imaging.decoding import Decoded, decode
from eacps.imaging.delivery import Delivered, Layers, deliver, layers_of
from eacps.imaging.inlay import Inlay
from eacps.imaging.limits import Header, Limits
from eacps.imaging.masks import decode_mask
from eacps.imaging.reading import read_header


class Decoder(Protocol):
    """Decodes encoded pictures. Every method blocks and may be called from any thread.

    All raise `InvalidPicture` where the file is at fault, and `DecoderUnavailable` where the decoder is.
    """

    @property
    def delivery_threads(self) -> Executor | None:
        """Threads for `deliver` and `layers`, which take minutes for a large scene; None for any threads."""
        ...

    def header(self, data: bytes, limits: Limits) -> Header:
        """Read what the header says; see `eacps.imaging.reading.read_header`."""
        ...

    def picture(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Decoded:
        """Decode a picture; see `eacps.imaging.decoding.decode`.

        Args:
            data: The encoded file.
            limits: Of it.
            pixels: Whether they are wanted. Without, the file is checked all the same, and what is returned holds an
                array of the same shape that takes no memory (`blank`).
        """
        ...

    def mask(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Decoded:
        """Decode a mask; see `eacps.imaging.masks.decode_mask`. Without pixels it is all 255."""
        ...

    def deliver(self, scene: bytes, inlay: Inlay, limits: Limits, xmp: str | None = None) -> Delivered:
        """Lay a picture into a scene's file; see `eacps.imaging.delivery.deliver`."""
        ...

    def layers(self, scene: bytes, inlay: Inlay, limits: Limits, xmp: str | None = None) -> Layers:
        """Return plate, patch and matte; see `eacps.imaging.delivery.layers_of`."""
        ...


class LocalDecoder:
    """A `Decoder` within this process: for files that are trusted, and for tests."""

    delivery_threads = None

    def header(self, data: bytes, limits: Limits) -> Header:
        """See `Decoder.header`."""
        return read_header(data, limits)

    def picture(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Decoded:
        """See `Decoder.picture`."""
        decoded = decode(data, limits)
        return decoded if pixels else Decoded(blank(decoded.pixels.shape), decoded.notes)

    def mask(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Decoded:
        """See `Decoder.mask`."""
        decoded = decode_mask(data, limits)
        return decoded if pixels else Decoded(blank(decoded.pixels.shape, value=255), decoded.notes)

    def deliver(self, scene: bytes, inlay: Inlay, limits: Limits, xmp: str | None = None) -> Delivered:
        """See `Decoder.deliver`."""
        return deliver(scene, inlay, limits, xmp)

    def layers(self, scene: bytes, inlay: Inlay, limits: Limits, xmp: str | None = None) -> Layers:
        """See `Decoder.layers`."""
        return layers_of(scene, inlay, limits, xmp)


def blank(shape: tuple[int, ...], *, value: int = 0) -> Picture | Mask:
    """Make an array of one value that takes no memory; it cannot be written to."""
    return np.broadcast_to(np.uint8(value), shape)
