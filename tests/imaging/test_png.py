"""PNG as other libraries read it: Pillow and OpenCV (libpng), and every chunk by the specification."""

import io
import struct
import zlib

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from eacps.imaging import decode_picture, encode_png

RANDOM = np.random.default_rng(0)
UInt8 = npt.NDArray[np.uint8]


def smooth(*shape: int) -> UInt8:
    ramps = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 256
    return np.broadcast_to(ramps.astype(np.uint8).reshape(ramps.shape + (1,) * (len(shape) - 2)), shape).copy()


PICTURES = {
    "noise": RANDOM.integers(0, 256, (640, 480, 3), dtype=np.uint8),
    "smooth": smooth(65, 129, 3),
    "flat": np.full((32, 33, 3), 200, np.uint8),
    "one pixel": np.array([[[1, 2, 3]]], np.uint8),
    "one row": RANDOM.integers(0, 256, (1, 300, 3), dtype=np.uint8),
    "one column": RANDOM.integers(0, 256, (300, 1, 3), dtype=np.uint8),
    "not contiguous": RANDOM.integers(0, 256, (64, 64, 6), dtype=np.uint8)[::2, :, ::2],
    "mask": RANDOM.integers(0, 2, (40, 50), dtype=np.uint8) * 255,
}


@pytest.mark.parametrize("name", PICTURES)
def test_others_read_the_same_pixels(name: str) -> None:
    picture = PICTURES[name]
    data = encode_png(picture)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), picture)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read if picture.ndim == 2 else read[..., ::-1], picture)


def test_ours_reads_the_same_pixels() -> None:
    assert np.array_equal(decode_picture(encode_png(PICTURES["noise"])), PICTURES["noise"])


def test_chunks_are_those_of_the_specification() -> None:
    data, kinds = encode_png(PICTURES["smooth"]), []
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place = 8
    while place < len(data):
        (length,), kind = struct.unpack(">I", data[place : place + 4]), data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length]) == (zlib.crc32(kind + body),)
        kinds.append(kind)
        place += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_a_photograph_takes_no_more_room_than_by_zlib() -> None:
    grain = RANDOM.normal(0, 2, (512, 512, 3)).round().astype(np.int8)
    photograph = (smooth(512, 512, 3) // 2 + 64 + grain).astype(np.uint8)
    plain = io.BytesIO()
    Image.fromarray(photograph).save(plain, "PNG", compress_level=3)
    assert len(encode_png(photograph)) < 1.2 * plain.tell()
