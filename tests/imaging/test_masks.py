"""Masks: soft where they are gray, opacity where they were painted on transparency, refused where they say nothing."""

import io
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from eacps.errors import InvalidPicture
from eacps.imaging import decode_mask

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SIDE = 48
PAINTED = np.zeros((SIDE, SIDE), bool)
PAINTED[10:30, 12:40] = True
EXPECTED = np.where(PAINTED, np.uint8(255), np.uint8(0))


def encode(image: Image.Image, fmt: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=fmt, **options)
    return buffer.getvalue()


def painted(color: int, under: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    """Opaque paint of one level on transparency over another; alpha is the last channel."""
    most = np.iinfo(dtype).max
    array = np.where(PAINTED[..., None], dtype(color * most // 255), dtype(under * most // 255)).repeat(
        channels, axis=2
    )
    array[..., -1] = np.where(PAINTED, most, 0)
    return np.ascontiguousarray(array)


def palette(color: int, under: int) -> bytes:
    image = Image.fromarray(PAINTED.astype(np.uint8), "P")
    image.putpalette([under] * 3 + [color] * 3)
    return encode(image, transparency=0)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer.getvalue()


def exr(levels: np.ndarray, *, opacity: bool) -> bytes:
    buffer = io.BytesIO()
    values = levels.astype(np.float32)
    channels = {"R": values, "G": values.copy(), "B": values.copy()} | ({"A": values.copy()} if opacity else {})
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("color", "under"), [(255, 0), (255, 255), (0, 0), (90, 200)])
def test_painted_is_white_and_transparent_is_black_whatever_the_color(color: int, under: int) -> None:
    files = {
        "RGBA": encode(Image.fromarray(painted(color, under, 4))),
        "LA": encode(Image.fromarray(painted(color, under, 2))),
        "P": palette(color, under),
        "WebP": encode(Image.fromarray(painted(color, under, 4)), "WEBP", lossless=True, exact=True),
        "16-bit RGBA": imagecodecs.png_encode(painted(color, under, 4, np.uint16)),
        "16-bit LA": imagecodecs.png_encode(painted(color, under, 2, np.uint16)),
        "TIFF": tiff(painted(color, under, 4), photometric="rgb", extrasamples=[2]),
        "16-bit TIFF": tiff(painted(color, under, 4, np.uint16), photometric="rgb", extrasamples=[2]),
    }
    for name, data in files.items():
        assert np.array_equal(decode_mask(data).pixels, EXPECTED), name
    if color and not under:
        assert np.array_equal(decode_mask(exr(PAINTED, opacity=True)).pixels, EXPECTED)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "RGBA", "LA", "CMYK"])
def test_an_opaque_mask_is_its_brightness(mode: str) -> None:
    image = Image.fromarray(EXPECTED).convert("RGB").convert(mode)
    assert np.array_equal(decode_mask(encode(image, "TIFF" if mode == "CMYK" else "PNG")).pixels, EXPECTED)


def test_grays_are_shares_in_every_depth() -> None:
    ramp = np.tile(np.linspace(0, 255, SIDE).round().astype(np.uint8), (SIDE, 1))
    expected = np.where(ramp < 8, 0, np.where(ramp > 247, 255, ramp))
    files = {
        "8 bit": encode(Image.fromarray(ramp)),
        "16 bit": encode(Image.fromarray(ramp.astype(np.uint16) * np.uint16(257))),
        "float": exr(ramp / 255, opacity=False),
        "opacity": encode(Image.fromarray(np.dstack([np.zeros_like(ramp), ramp]))),
        "with a profile": encode(Image.fromarray(ramp), icc_profile=imagecodecs.cms_profile("gray", gamma=1.0)),
        "with the profile of another mode": encode(Image.fromarray(ramp), icc_profile=SRGB),
    }
    for name, data in files.items():
        assert np.array_equal(decode_mask(data).pixels, expected), name


def test_of_a_mask_only_its_levels_are_noted() -> None:
    """It is never delivered, and a share is no color."""
    levels, gamma = Image.fromarray(EXPECTED), PngInfo()
    gamma.add(b"gAMA", (100_000).to_bytes(4, "big"))
    files = [
        encode(levels, icc_profile=b"damaged"),
        encode(levels.convert("P"), transparency=0),
        encode(levels, pnginfo=gamma),
    ]
    for data in files:
        assert [note for note in decode_mask(data).notes if "color" in note or "delivered" in note] == []


def test_noise_of_formats_with_loss_counts_as_black_and_white() -> None:
    mask = decode_mask(encode(Image.fromarray(EXPECTED), "JPEG", quality=90)).pixels
    assert (mask[:6] == 0).all()
    assert (mask[14:26, 18:34] == 255).all()


@pytest.mark.parametrize(
    ("levels", "fault"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), "is black everywhere"),
        (np.where(PAINTED, np.uint8(90), np.uint8(0)), "shows no white: its brightest pixel is 90 of 255"),
        (np.full((SIDE, SIDE), 255, np.uint8), "shows no contrast"),
        (np.full((SIDE, SIDE), 128, np.uint8), "shows no contrast"),
        (np.zeros((SIDE, SIDE, 4), np.uint8), "is black everywhere"),
    ],
)
def test_a_mask_that_says_nothing_is_refused_by_name(levels: np.ndarray, fault: str) -> None:
    with pytest.raises(InvalidPicture, match=fault):
        decode_mask(encode(Image.fromarray(levels)))
