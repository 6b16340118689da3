"""Decoding in processes of their own: the same pictures, and no picture that ends more than its own decoder."""

import io
import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image

from eacps.errors import DecoderUnavailable, InvalidPicture
from eacps.imaging import (
    Inlay,
    Limits,
    LocalDecoder,
    decode,
    decode_mask,
    decode_picture,
    deliver,
    encode_png,
    layers_of,
)
from eacps.imaging import workers as workers_module
from eacps.imaging.workers import DecodingWorkers

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def workers() -> Iterator[DecodingWorkers]:
    with DecodingWorkers(2, timeout_s=20.0) as some:
        yield some


def test_pictures_are_those_that_are_decoded_here(workers: DecodingWorkers) -> None:
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "JPEG", quality=80)
    for data in (encode_png(NOISE), file.getvalue()):
        picture = workers.picture(data, Limits()).pixels
        assert np.array_equal(picture, decode_picture(data))
        assert picture.flags.writeable


def test_faults_are_those_that_are_found_here(workers: DecodingWorkers) -> None:
    for data, limits in ((b"", None), (b"no picture", None), (encode_png(NOISE), Limits(max_pixels=100))):
        with pytest.raises(InvalidPicture) as here:
            decode_picture(data, limits)
        with pytest.raises(InvalidPicture, match=str(here.value)[:20]):
            workers.picture(data, limits or Limits())


def test_a_decoder_that_hangs_is_ended_and_the_picture_not_blamed() -> None:
    with DecodingWorkers(1, timeout_s=0.5) as some:
        (worker,) = some.pool.workers
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(DecoderUnavailable, match="took too long, or was killed"):
            some.picture(encode_png(NOISE), Limits())
        some._timeout_s = 20.0
        assert np.array_equal(some.picture(encode_png(NOISE), Limits()).pixels, NOISE)


def test_a_picture_that_takes_too_much_memory_says_so_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the limits of a picture, and yet more than the process may have."""
    monkeypatch.setattr(workers_module, "_MODULE", "tests.imaging.small_worker")
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((10_000, 10_000, 3), np.uint16), compression="zlib", metadata=None)
    with DecodingWorkers(1) as some:
        (worker,) = some.pool.workers
        with pytest.raises(InvalidPicture, match="takes more memory than a worker may have"):
            some.picture(file.getvalue(), Limits())
        assert np.array_equal(some.picture(encode_png(NOISE), Limits()).pixels, NOISE)
        assert some.pool.workers == [worker]


def test_what_is_only_checked_brings_no_pixels(workers: DecodingWorkers) -> None:
    data, black = encode_png(NOISE), encode_png(np.zeros((40, 50, 3), np.uint8))
    header = workers.header(data, Limits())
    assert (header.width, header.height, header.samples) == (64, 48, 64 * 48 * 3)
    for decoder in (workers, LocalDecoder()):
        for read in (decoder.picture, decoder.mask):
            checked = read(data, Limits(), pixels=False).pixels
            assert checked.shape == read(data, Limits()).pixels.shape
            assert not any(checked.strides)
        with pytest.raises(InvalidPicture, match="is black everywhere"):
            decoder.mask(black, Limits(), pixels=False)
        with pytest.raises(InvalidPicture, match="cannot be decoded"):
            decoder.picture(data[:-200], Limits(), pixels=False)


def test_masks_are_those_that_are_decoded_here(workers: DecodingWorkers) -> None:
    data = encode_png(NOISE)
    assert np.array_equal(workers.mask(data, Limits()).pixels, decode_mask(data).pixels)


def test_notes_come_with_the_picture(workers: DecodingWorkers) -> None:
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "PNG", icc_profile=b"damaged")
    assert workers.picture(file.getvalue(), Limits()).notes == decode(file.getvalue()).notes
    assert decode(file.getvalue()).notes


@pytest.mark.parametrize("masked", [True, False])
def test_files_are_delivered_as_they_are_here(workers: DecodingWorkers, masked: bool) -> None:
    picture, mask = NOISE.copy(), np.zeros(NOISE.shape[:2], np.uint8)
    picture[10:20, 10:20], mask[12:30, 8:40] = 255, 200
    inlay = Inlay(picture, NOISE, (0, 0, 64, 48), (2.0, 3.0, 20.0, 30.5), mask if masked else None)
    scene = encode_png(NOISE)
    assert workers.deliver(scene, inlay, Limits()) == deliver(scene, inlay)
    layers = workers.layers(scene, inlay, Limits(), "<xmp/>")
    assert layers == layers_of(scene, inlay, xmp="<xmp/>")
    assert [b"<xmp/>" in data for data in (layers.plate, layers.patch, layers.matte)] == [False, True, False]
    with pytest.raises(InvalidPicture, match="cannot be decoded"):
        workers.deliver(scene[:-200], inlay, Limits())


def test_what_libraries_print_does_not_come_between(workers: DecodingWorkers) -> None:
    file = io.BytesIO()
    half = np.random.default_rng(0).random((64, 64, 3)).astype(np.float16)
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGB": half}).write(file)
    with pytest.raises(InvalidPicture, match="truncated"):  # of which the library says more on standard output
        workers.picture(file.getvalue()[:-100], Limits())
    assert np.array_equal(workers.picture(encode_png(NOISE), Limits()).pixels, NOISE)


def test_the_largest_pictures_fit_into_a_decoders_memory(workers: DecodingWorkers) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((10_000, 10_000), 40_000, np.uint16), compression="zlib", metadata=None)
    picture = workers.picture(file.getvalue(), Limits()).pixels
    assert picture.shape == (10_000, 10_000, 3)
    assert picture[-1, -1].tolist() == [155, 155, 155]


def test_many_may_ask_at_once(workers: DecodingWorkers) -> None:
    data, results = encode_png(NOISE), list[bool]()
    threads = [
        threading.Thread(target=lambda: results.append(np.array_equal(workers.picture(data, Limits()).pixels, NOISE)))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [True] * 12
