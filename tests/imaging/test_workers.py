"""Decoding in processes of their own: the same pictures, and no picture that ends more than its own decoder."""

import io
import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from eacps.errors import InvalidPicture
from eacps.imaging import Limits, decode_picture, encode_png
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
        picture = workers.decode(data)
        assert np.array_equal(picture, decode_picture(data))
        assert picture.flags.writeable


def test_faults_are_those_that_are_found_here(workers: DecodingWorkers) -> None:
    for data, limits in ((b"", None), (b"no picture", None), (encode_png(NOISE), Limits(max_pixels=100))):
        with pytest.raises(InvalidPicture) as here:
            decode_picture(data, limits)
        with pytest.raises(InvalidPicture, match=str(here.value)[:20]):
            workers.decode(data, limits)


def test_a_decoder_that_died_while_nobody_asked_it_is_not_missed(workers: DecodingWorkers) -> None:
    for worker in list(workers._workers):
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    for _ in range(4):
        assert np.array_equal(workers.decode(encode_png(NOISE)), NOISE)


def test_a_decoder_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("out of memory")

    with DecodingWorkers(1) as some:
        os.kill(some._workers[0].pid, signal.SIGKILL)
        some._workers[0].wait()
        with monkeypatch.context() as patch:
            patch.setattr(workers_module, "_start", refuse)
            for _ in range(2):
                with pytest.raises(InvalidPicture, match="crashed"):
                    some.decode(encode_png(NOISE))
        assert np.array_equal(some.decode(encode_png(NOISE)), NOISE)


def test_a_decoder_that_hangs_is_ended() -> None:
    with DecodingWorkers(1, timeout_s=0.5) as some:
        (worker,) = some._workers
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(InvalidPicture, match="took too long"):
            some.decode(encode_png(NOISE))
        some._timeout_s = 20.0
        assert np.array_equal(some.decode(encode_png(NOISE)), NOISE)


def test_the_largest_pictures_fit_into_a_decoders_memory(workers: DecodingWorkers) -> None:
    samples = np.full((4000, 4000), 40_000, np.uint16)
    assert workers.decode(encode_of(Image.fromarray(samples))).shape == (4000, 4000, 3)


def test_many_may_ask_at_once(workers: DecodingWorkers) -> None:
    data, results = encode_png(NOISE), list[bool]()
    threads = [
        threading.Thread(target=lambda: results.append(np.array_equal(workers.decode(data), NOISE))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [True] * 12


def encode_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
