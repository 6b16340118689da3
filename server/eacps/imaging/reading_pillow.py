"""Read JPEG, WebP, AVIF and PNG with Pillow, where it preserves the bit depth."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
from PIL import Image

from eacps.errors import InvalidPicture
from eacps.imaging.limits import Header
from eacps.imaging.profiles import Color, checked_profile
from eacps.imaging.source import CENTIMETER, INCH, Alpha, Container, Resolution, Source, upright

_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")
_COLORS = {"L": Color.GRAY, "LA": Color.GRAY, "RGB": Color.RGB, "RGBA": Color.RGB, "CMYK": Color.CMYK}
_ORIENTATION = 0x0112


@contextmanager
def decoding_errors() -> Iterator[None]:
    """Report what a file makes Pillow raise within the block as the file's fault."""
    try:
        with warnings.catch_warnings():
            # Pillow warns at half of its own bomb limit; ours, checked before decoding, is lower than both.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except Image.DecompressionBombError as exc:
        raise InvalidPicture("has more pixels than are accepted") from exc
    except InvalidPicture:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError) as exc:
        # What Pillow's decoders are known to raise on broken files, one of them per format and version.
        raise InvalidPicture(f"cannot be decoded: {exc}") from exc


def opened(data: bytes) -> Image.Image:
    """Open a file of which nothing but the header is read yet."""
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def read_header(data: bytes) -> Header:
    """Read the size; see `eacps.imaging.reading.read_header`."""
    with opened(data) as image:
        return Header(*image.size, image.width * image.height * max(len(image.getbands()), 3))


def read_source(data: bytes) -> Source:
    """Decode; of an animation the first picture."""
    with opened(data) as image:
        image.load()
        notes = notes_of(image)
        if image.format == "AVIF" and _is_deep_avif(data):
            notes.append("has more than 8 bits a sample, of which 8 were read")
        return source_of(image, _resolution(image), notes)


def notes_of(image: Image.Image) -> list[str]:
    """Note what of a file is not in its first picture."""
    return ["is an animation, of which the first picture was taken"] if getattr(image, "n_frames", 1) > 1 else []


def orientation_of(image: Image.Image) -> int:
    """Return how a loaded picture has to be turned to be upright; see `upright`."""
    return int(image.getexif().get(_ORIENTATION, 1))


def source_of(image: Image.Image, resolution: Resolution | None, notes: list[str]) -> Source:
    """Return the source of a loaded picture of 8 bits a sample."""
    profile, orientation = image.info.get("icc_profile"), orientation_of(image)
    if image.mode not in _COLORS or "transparency" in image.info:
        image, more = _plain(image)
        notes += more
    color = _COLORS[image.mode]
    usable, ignored = checked_profile(profile, color)
    samples = np.asarray(image)
    samples = samples if samples.ndim == 3 else samples[..., None]
    return Source(
        upright(samples, orientation),
        color,
        Alpha.STRAIGHT if image.mode in ("LA", "RGBA") else None,
        Container.TIFF if color is Color.CMYK else Container.PNG,
        profile=usable,
        resolution=resolution,
        notes=(*notes, *ignored),
    )


def _plain(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Bring palettes, bilevel pictures and transparent colors to a mode in which anything can be drawn."""
    if image.mode == "1":
        return image.convert("L"), ["has two levels and was read as gray of 8 bits"]
    gray = image.mode in ("L", "LA", "La") or (image.mode == "P" and _is_gray(image))
    transparent = image.has_transparency_data
    mode = {(True, True): "LA", (True, False): "L", (False, True): "RGBA", (False, False): "RGB"}[gray, transparent]
    note = "has a palette" if image.mode == "P" else "has a transparent color" if transparent else f"is {image.mode}"
    return image.convert("RGBA" if transparent else "RGB").convert(mode), [f"{note} and was read as {mode}"]


def _is_gray(image: Image.Image) -> bool:
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return bool((palette[:, :1] == palette).all())


def _resolution(image: Image.Image) -> Resolution | None:
    density, unit = image.info.get("jfif_density"), image.info.get("jfif_unit")
    if density and unit is not None and min(density) > 0:
        return Resolution(Fraction(density[0]), Fraction(density[1]), {1: INCH, 2: CENTIMETER}.get(unit))
    dpi = image.info.get("dpi")
    if dpi and min(dpi) > 0:
        x, y = (Fraction(float(one)).limit_denominator(10_000) for one in dpi)
        return Resolution(x, y, INCH)
    return None


def _is_deep_avif(data: bytes) -> bool:
    """Whether the AV1 configuration of the file says more than 8 bits (AV1 in ISOBMFF, section 2.3.3)."""
    at = data.find(b"av1C")
    return 0 <= at < len(data) - 6 and bool(data[at + 6] & 0x40)
