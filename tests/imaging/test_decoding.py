"""Decoding what strangers send: every accepted mode comes out as sRGB, everything else names its fault."""

import contextlib
import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from eacps.errors import InvalidPicture
from eacps.imaging import Limits, decode, decode_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY = imagecodecs.cms_profile("gray", gamma=2.2)


def encode(image: Image.Image, fmt: str = "PNG", **options: Any) -> bytes:
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


def test_a_transparent_palette_color_is_laid_over_white() -> None:
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


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("profile", [b"not a profile", SRGB[:300], SRGB[:128] + bytes(len(SRGB) - 128)])
def test_a_damaged_profile_is_ignored_with_a_note(fmt: str, profile: bytes) -> None:
    options = {"quality": 100} if fmt in ("JPEG", "AVIF") else {} if fmt == "TIFF" else {"lossless": True}
    damaged = decode(encode(gradient(), fmt, icc_profile=profile, **options))
    assert np.array_equal(damaged.pixels, decode_picture(encode(gradient(), fmt, **options)))
    assert len(damaged.notes) == 1
    assert "color profile" in damaged.notes[0]
    assert "ignored" in damaged.notes[0]


@pytest.mark.parametrize(
    ("mode", "fmt", "profile"),
    [
        ("L", "PNG", SRGB),
        ("L", "JPEG", SRGB),
        ("L", "TIFF", SRGB),
        ("LA", "PNG", SRGB),
        ("CMYK", "JPEG", SRGB),
        ("CMYK", "TIFF", GRAY),
        ("RGB", "WEBP", GRAY),
        ("RGBA", "PNG", GRAY),
        ("P", "PNG", GRAY),
    ],
)
def test_a_profile_of_another_mode_is_ignored_with_a_note(mode: str, fmt: str, profile: bytes) -> None:
    image = gradient().convert(mode)
    decoded = decode(encode(image, fmt, icc_profile=profile))
    assert np.array_equal(decoded.pixels, decode_picture(encode(image, fmt)))
    assert any("which was ignored" in note for note in decoded.notes)


def test_a_fitting_profile_of_gray_is_applied() -> None:
    linear = imagecodecs.cms_profile("gray", gamma=1.0)
    image = Image.new("L", (40, 40), 55)
    decoded = decode(encode(image, icc_profile=linear))
    assert decoded.notes == ()
    expected = ImageCms.profileToProfile(image, io.BytesIO(linear), io.BytesIO(SRGB), outputMode="RGB")
    assert abs(int(decoded.pixels[0, 0, 0]) - np.asarray(expected)[0, 0, 0]) <= 1


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "empty"),
        (b"hello, I am not a picture", "not a PNG"),
        (encode(gradient(), "BMP"), "not a PNG"),
        (encode(gradient(), "TIFF")[:2000], "truncated"),
        (encode(gradient(), "AVIF")[:300], "decoded"),
        (encode(gradient())[:60], "decoded"),
        (encode(gradient())[:-40], "decoded"),
        (encode(gradient(), "JPEG")[:200], "decoded"),
        (encode(Image.new("RGB", (31, 64))), "31x64"),
        (encode(Image.new("RGB", (32_800, 32))), "32800x32"),
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
        decode_picture(png_claiming(10_001, 10_000))


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


CHROMATICITIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # of Display P3


@pytest.mark.parametrize(
    ("chunks", "named"),
    [
        ({b"cICP": bytes([12, 13, 0, 1])}, "cICP"),
        ({b"cICP": bytes([1, 13, 0, 1]), b"gAMA": struct.pack(">I", 100_000)}, None),
        ({b"gAMA": struct.pack(">I", 100_000)}, "gAMA"),
        ({b"gAMA": struct.pack(">I", 45_455)}, None),
        ({b"gAMA": struct.pack(">I", 45_455), b"cHRM": struct.pack(">8I", *CHROMATICITIES)}, "cHRM"),
        ({b"sRGB": b"\0", b"gAMA": struct.pack(">I", 100_000)}, None),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_colors_that_a_png_states_without_a_profile_are_noted(
    chunks: dict[bytes, bytes], named: str | None, depth: int
) -> None:
    plain = imagecodecs.png_encode(np.asarray(gradient()).astype(f"uint{depth}"))
    stated = b"".join(png_chunk(name, body) for name, body in chunks.items())
    decoded = decode(plain[:33] + stated + plain[33:])
    assert np.array_equal(decoded.pixels, decode(plain).pixels)
    assert [note.split()[2] for note in decoded.notes] == ([] if named is None else [named])
