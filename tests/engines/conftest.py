"""TensorRT for RTX, for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.engines.tensorrt_rtx import TensorRt, TensorRtMissing


@pytest.fixture(scope="session")
def tensorrt() -> TensorRt:
    """The library; without it these tests fail rather than pass over what only it can tell."""
    try:
        return TensorRt()
    except TensorRtMissing as missing:
        pytest.fail(str(missing))
