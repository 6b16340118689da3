"""Decoding what strangers send: every accepted mode comes out as sRGB, everything else names its fault."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from eacps.errors import InvalidPicture
from eacps.imaging import Limits, decode_mask, decode_picture


def encode(image: Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=fmt, **options)
    return buffer.getvalue()


def gradient(width: int = 48, height: int = 40) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 5, columns * 5, rows + columns], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_lossless_formats_come_back_exactly(fmt: str) -> None:
    image = gradient()
    assert np.array_equal(decode_picture(encode(image, fmt, lossless=True)), np.asarray(image))


def test_jpeg_comes_back_closely() -> None:
    image = gradient()
    difference = np.abs(decode_picture(encode(image, "JPEG", quality=95)).astype(int) - np.asarray(image))
    assert difference.mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_png_mode_becomes_rgb(mode: str) -> None:
    picture = decode_picture(encode(gradient().convert(mode)))
    assert picture.shape == (40, 48, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous


def test_cmyk_jpeg_becomes_rgb() -> None:
    picture = decode_picture(encode(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"))
    assert picture[20, 20, 0] > 200
    assert picture[20, 20, 1] < 60


def test_sixteen_bit_samples_are_scaled_not_cut() -> None:
    samples = np.full((40, 40), 65535, np.uint16)
    samples[:, :20] = 32768
    picture = decode_picture(encode(Image.fromarray(samples)))
    assert picture[0, 39].tolist() == [255, 255, 255]
    assert picture[0, 0].tolist() == [127, 127, 127]


def test_transparency_is_laid_over_white() -> None:
    picture = decode_picture(encode(Image.new("RGBA", (40, 40), (255, 0, 0, 0))))
    assert picture[0, 0].tolist() == [255, 255, 255]


def test_a_transparent_palette_colour_is_laid_over_white() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([255, 0, 0] * 256)
    assert decode_picture(encode(image, transparency=0))[0, 0].tolist() == [255, 255, 255]


def test_exif_orientation_is_applied() -> None:
    image = gradient(48, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_picture(encode(image, "PNG", exif=exif)).shape == (48, 40, 3)


def test_an_embedded_profile_is_converted_to_srgb() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = gradient()
    difference = np.abs(decode_picture(encode(image, icc_profile=profile)).astype(int) - np.asarray(image))
    assert difference.max() <= 1


def test_a_broken_profile_is_named() -> None:
    with pytest.raises(InvalidPicture, match="ICC"):
        decode_picture(encode(gradient(), icc_profile=b"not a profile"))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "empty"),
        (b"hello, I am not a picture", "not a PNG"),
        (encode(gradient(), "BMP"), "not a PNG"),
        (encode(gradient())[:60], "decoded"),
        (encode(gradient())[:-40], "decoded"),
        (encode(gradient(), "JPEG")[:200], "decoded"),
        (encode(Image.new("RGB", (31, 64))), "31x64"),
        (encode(Image.new("RGB", (8200, 32))), "8200x32"),
    ],
)
def test_faults_are_named(data: bytes, fault: str) -> None:
    with pytest.raises(InvalidPicture, match=fault):
        decode_picture(data)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body


def test_pixels_are_counted_before_decoding() -> None:
    with pytest.raises(InvalidPicture, match="pixels"):
        decode_picture(png_claiming(60_000, 60_000))
    with pytest.raises(InvalidPicture, match="pixels"):
        decode_picture(png_claiming(8000, 8000))


def test_bytes_are_counted_first() -> None:
    with pytest.raises(InvalidPicture, match="bytes"):
        decode_picture(encode(gradient()), Limits(max_bytes=10))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(InvalidPicture):
        decode_picture(data)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_flipped_byte_is_a_picture_or_a_named_fault(position: int, value: int) -> None:
    data = bytearray(encode(gradient()))
    data[position % len(data)] = value
    with contextlib.suppress(InvalidPicture):
        assert decode_picture(bytes(data)).ndim == 3


def test_masks_are_cut_at_half_brightness() -> None:
    grey = np.full((40, 40), 127, np.uint8)
    grey[:, 20:] = 128
    mask = decode_mask(encode(Image.fromarray(grey)))
    assert mask.shape == (40, 40)
    assert set(np.unique(mask[:, :20])) == {0}
    assert set(np.unique(mask[:, 20:])) == {255}
