"""Encoding: bounded thumbnails, hashes that tell content apart."""

import io

import numpy as np
import pytest
from PIL import Image

from eacps.imaging import content_hash, encode_thumbnail

NOISE = np.random.default_rng(0).integers(0, 256, (640, 480, 3), dtype=np.uint8)


@pytest.mark.parametrize("max_bytes", [32 * 1024, 4 * 1024, 1024])
def test_even_noise_fits_the_thumbnail_budget(max_bytes: int) -> None:
    data = encode_thumbnail(NOISE, max_bytes=max_bytes)
    assert len(data) <= max_bytes
    assert max(Image.open(io.BytesIO(data)).size) <= 256


def test_an_impossible_budget_is_an_error() -> None:
    with pytest.raises(ValueError, match="thumbnail"):
        encode_thumbnail(NOISE, max_bytes=10)


def test_small_pictures_are_not_blown_up() -> None:
    assert Image.open(io.BytesIO(encode_thumbnail(NOISE[:64, :32]))).size == (32, 64)


def test_the_hash_tells_shape_and_pixels_apart() -> None:
    flat = np.zeros((2, 8, 3), np.uint8)
    assert content_hash(flat) == content_hash(flat.copy())
    assert content_hash(flat) != content_hash(flat.reshape(4, 4, 3))
    changed = flat.copy()
    changed[1, 1, 1] = 1
    assert content_hash(flat) != content_hash(changed)
