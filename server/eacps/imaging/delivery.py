"""Delivering: a picture laid into the file that its scene came in, and written again."""

from dataclasses import dataclass, replace

import numpy as np

from eacps.imaging.inlay import Inlay, bands, lay_in, registered
from eacps.imaging.limits import Limits
from eacps.imaging.profiles import Color
from eacps.imaging.reading import read_source
from eacps.imaging.source import Container, Samples, Source
from eacps.imaging.writing import exr_of, write_source


@dataclass(frozen=True)
class Delivered:
    """A scene with a picture in it.

    Args:
        data: The file.
        container: Its format.
    """

    data: bytes
    container: Container


@dataclass(frozen=True)
class Layers:
    """The same as files that a compositor puts together: ``plate + matte * (patch - plate)`` of the stored samples.

    Args:
        plate: The scene as it came.
        patch: All of the scene with the picture in it, before it fades into the scene.
        matte: Gray, the share of the patch.
        container: Format of the three.
    """

    plate: bytes
    patch: bytes
    matte: bytes
    container: Container


def deliver(scene: bytes, inlay: Inlay, limits: Limits | None = None, xmp: str | None = None) -> Delivered:
    """Lay a picture into a scene's file.

    A picture that the model has shifted or zoomed is moved back first, where that is sure
    (`eacps.imaging.registration`). Outside the rectangle, where the mask is black and where the picture changes
    nothing, the samples of the result are those of the file, in its own depth, mode and profile, and so is all of its
    alpha.

    Args:
        scene: The file.
        inlay: The picture, and where.
        limits: Of the file.
        xmp: XMP packet to put into it; None: none.

    Raises:
        InvalidPicture: As of `read_source`.
    """
    source = replace(read_source(scene, limits or Limits()), xmp=xmp)
    lay_in(source, registered(inlay))
    return Delivered(write_source(source), source.container)


def layers_of(scene: bytes, inlay: Inlay, limits: Limits | None = None, xmp: str | None = None) -> Layers:
    """Return plate, patch and matte of what `deliver` would deliver, each in the depth of the scene.

    The XMP packet goes into the patch: a model made nothing of the two others.
    """
    source = read_source(scene, limits or Limits())
    plate, colors = write_source(source), source.color.channels
    dtype = source.samples.dtype
    white = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    matte = np.zeros((*source.samples.shape[:2], 1), dtype)
    for band in bands(source, registered(inlay)):
        weight = band.weight[..., None] * white
        matte[band.rows, band.columns] = weight if dtype.kind == "f" else np.rint(weight)
        source.samples[band.rows, band.columns, :colors] = band.patch
    patch = write_source(replace(source, xmp=xmp))
    return Layers(plate, patch, _matte(source, matte), source.container)


def _matte(source: Source, samples: Samples) -> bytes:
    matte = Source(samples, Color.GRAY, None, source.container, resolution=source.resolution)
    return write_source(replace(matte, kept=exr_of(samples)) if source.container is Container.EXR else matte)
