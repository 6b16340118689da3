"""Networks of the contract behind ONNX Runtime's session interface."""

from collections.abc import Sequence

import numpy as np
import pytest

from eacps.arrays import Arrays
from eacps.errors import TritonModelFailed
from eacps.models.faces.session import NetworkSession
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER


class Recorder:
    """A recognizer whose embedding is the crop's first value; remembers the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        crops = feeds["input"]
        assert crops.dtype == np.float32
        self.batches.append(len(crops))
        return {wanted[0]: np.repeat(crops[:, :1, 0, 0], 512, axis=1)}


def test_large_batches_are_split_at_the_models_limit_and_keep_their_order() -> None:
    network = Recorder()
    session = NetworkSession(FACE_RECOGNIZER, network)
    crops = np.zeros((37, 3, 112, 112))
    crops[:, 0, 0, 0] = np.arange(37)
    (embeddings,) = session.run(None, {"input": crops})
    assert network.batches == [16, 16, 5]
    np.testing.assert_array_equal(embeddings[:, 0], np.arange(37))


def test_shapes_read_as_onnx_runtime_gives_them() -> None:
    recognizer = NetworkSession(FACE_RECOGNIZER, Recorder())
    assert recognizer.get_inputs()[0].shape == ("batch", 3, 112, 112)
    detector = NetworkSession(FACE_DETECTOR, Recorder())
    assert detector.get_inputs()[0].shape == (1, 3, "height", "width")
    assert [port.name for port in detector.get_outputs()][:4] == ["score_8", "score_16", "score_32", "bbox_8"]
    assert len(detector.get_outputs()[0].shape) == 2


def test_an_answer_off_the_contract_is_an_error() -> None:
    narrow = NetworkSession(FACE_RECOGNIZER, lambda feeds, wanted: {"embedding": np.zeros((1, 128), np.float32)})
    with pytest.raises(TritonModelFailed, match=r"output embedding has shape \[1, 128\] instead of \[batch=1, 512\]"):
        narrow.run(None, {"input": np.zeros((1, 3, 112, 112))})
    silent = NetworkSession(FACE_RECOGNIZER, lambda feeds, wanted: {})
    with pytest.raises(TritonModelFailed, match="output embedding is missing"):
        silent.run(["embedding"], {"input": np.zeros((1, 3, 112, 112))})
    double = NetworkSession(FACE_RECOGNIZER, lambda feeds, wanted: {"embedding": np.zeros((1, 512))})
    with pytest.raises(TritonModelFailed, match="has dtype float64 instead of float32"):
        double.run(None, {"input": np.zeros((1, 3, 112, 112))})
